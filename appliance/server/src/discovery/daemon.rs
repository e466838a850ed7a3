//! The mDNS library's daemon thread, opened on the interfaces we want and shut down with its owner.

use std::time::Duration;

use mdns_sd::{IfKind, Receiver, ServiceDaemon};
use storebox_proto::beacon;

/// How often the daemon looks whether addresses came or went; its default of five seconds makes a box
/// that got a new address unreachable for four.
const ADDRESS_CHECK_S: u32 = 1;
/// What the library calls its thread.
const DAEMON_THREAD: &str = "mDNS_daemon";
/// How long the daemon may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Whether a panic on this thread is the mDNS library's own, whose owner starts it again.
///
/// The process's panic hook asks before it aborts: no packet from the LAN may stop the box.
pub fn panic_is_contained(thread: &str) -> bool {
    thread == DAEMON_THREAD
}

/// Which network interfaces take part; the line to the internet never should.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces(Vec<String>);

impl Interfaces {
    /// Only these, by name; none means all but loopback.
    pub fn only(names: Vec<String>) -> Self {
        Self(names)
    }
}

/// Who is meant to find a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Tills and other clients.
    Tills,
    /// Neighbouring boxes.
    Peers,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tills, Self::Peers];

    /// The service type in DNS.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tills => beacon::SERVICE,
            Self::Peers => beacon::PEER_SERVICE,
        }
    }
}

/// Why mDNS does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its thread could not be started.
    #[error("start mDNS")]
    Start(#[source] mdns_sd::Error),
    /// It refused an order.
    #[error("{order} over mDNS")]
    Order {
        /// What was wanted.
        order: &'static str,
        /// Why not.
        #[source]
        source: mdns_sd::Error,
    },
}

impl DaemonError {
    pub(super) fn order(order: &'static str) -> impl FnOnce(mdns_sd::Error) -> Self {
        move |source| Self::Order { order, source }
    }
}

/// A daemon; its thread and sockets would outlive a plain handle that is dropped.
pub(super) struct Daemon(ServiceDaemon);

impl Daemon {
    pub(super) fn open(interfaces: &Interfaces) -> Result<Self, DaemonError> {
        let daemon = Self(ServiceDaemon::new().map_err(DaemonError::Start)?);
        let chosen = || DaemonError::order("choose interfaces");
        if interfaces.0.is_empty() {
            let loopback = vec![IfKind::LoopbackV4, IfKind::LoopbackV6];
            daemon.disable_interface(loopback).map_err(chosen())?;
        } else {
            daemon.disable_interface(IfKind::All).map_err(chosen())?;
            let names: Vec<&str> = interfaces.0.iter().map(String::as_str).collect();
            daemon.enable_interface(names).map_err(chosen())?;
        }
        let order = DaemonError::order("watch addresses");
        daemon.set_ip_check_interval(ADDRESS_CHECK_S).map_err(order)?;
        Ok(daemon)
    }

    /// Says goodbye for everything announced, and waits until it is sent.
    pub(super) async fn close(self) {
        if let Ok(closed) = self.shutdown() {
            answer(closed, GOODBYE_MAX).await;
        }
    }
}

impl std::ops::Deref for Daemon {
    type Target = ServiceDaemon;
    fn deref(&self) -> &ServiceDaemon {
        &self.0
    }
}

impl Drop for Daemon {
    /// A second shutdown is refused by a daemon that is gone, which is what is wanted.
    fn drop(&mut self) {
        drop(self.0.shutdown());
    }
}

/// The one answer of the daemon, unless it takes too long.
pub(super) async fn answer<T>(receiver: Receiver<T>, limit: Duration) -> Option<T> {
    tokio::time::timeout(limit, receiver.recv_async()).await.ok()?.ok()
}
