//! What systemd is told: ready, beginning again, stopping, a line of status, and that the box is alive.
//!
//! The protocol is one datagram of lines (sd_notify(3)); a box that was not started by systemd says nothing.
//! A box that begins again in its own place is one that reloads: after `STOPPING=1` systemd would wait for the end of
//! the process, kill it, and hear no `READY=1` any more.
//! The watchdog is fed by the health of the work loops, never by a timer alone.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::env;
use crate::supervise::Supervisor;

/// Tells systemd; cheap to clone into tasks.
#[derive(Debug, Default, Clone)]
pub struct Notifier {
    to: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// What the environment of the process asks for.
    pub fn from_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let mine = |pid: String| pid.parse() == Ok(std::process::id());
        let for_me = std::env::var("WATCHDOG_PID").map_or(true, mine);
        let micros = std::env::var("WATCHDOG_USEC").ok().filter(|_| for_me);
        let watchdog = micros.and_then(|text| text.parse().ok()).map(Duration::from_micros);
        Self::new(name.as_bytes(), watchdog)
    }

    /// A notifier to this socket; a leading `@` names an abstract one.
    pub fn new(name: &[u8], watchdog: Option<Duration>) -> Self {
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
        };
        let to = address.and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        if let Err(error) = &to {
            tracing::warn!(%error, "cannot notify systemd");
        }
        Self { to: to.ok().map(Arc::new), watchdog: watchdog.filter(|every| !every.is_zero()) }
    }

    /// The box serves.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The box begins again in its own place: [`ready`](Self::ready) follows, from the same process.
    pub fn again(&self) {
        let now = env::monotonic_us();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=begins again"));
    }

    /// The box is alive, whatever it does for the next while; nothing to a systemd without a watchdog.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.send("WATCHDOG=1");
        }
    }

    /// The process is going to end.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    fn send(&self, lines: &str) {
        if let Some((socket, address)) = self.to.as_deref()
            && let Err(error) = socket.send_to_addr(lines.as_bytes(), address)
        {
            tracing::warn!(%error, "cannot notify systemd");
        }
    }

    /// Feeds the watchdog at half its time while every pulse is fresh, with a line of status.
    ///
    /// Nothing is lost when this is dropped at an await.
    pub async fn run(
        self,
        supervisor: Supervisor,
        status: impl Fn() -> BoxFuture<'static, String>,
        stop: CancellationToken,
    ) {
        let Some(watchdog) = self.watchdog else { return stop.cancelled().await };
        let mut beat = tokio::time::interval(watchdog / 2);
        while stop.run_until_cancelled(beat.tick()).await.is_some() {
            match supervisor.silent(watchdog) {
                None => self.send(&format!("WATCHDOG=1\nSTATUS={}", status().await)),
                Some(task) => tracing::error!(task, "silent for too long, the watchdog is not fed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_reaches_a_named_and_an_abstract_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let named = UnixDatagram::bind(&path).unwrap();
        Notifier::new(path.as_os_str().as_bytes(), None).ready("serving");
        let unique = format!("@{}", path.display());
        let address = SocketAddr::from_abstract_name(&unique[1..]).unwrap();
        let hidden = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::new(unique.as_bytes(), None).ready("serving");
        for socket in [named, hidden] {
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=serving");
        }
    }
}
