//! A box announces itself, from its start to its goodbye.
//!
//! What is announced comes from a `watch` channel, so that a new revision or a changed role reaches the
//! LAN by itself, but not more often than mDNS allows.
//! Its name is made from its key and announced without the second of probing that other names need.
//! Should another box have it all the same (a copied disk), which the election notices, the box that is told first
//! takes another one: the library notices conflicts only while it probes.
//!
//! Addresses that come and go, and links that go down and up, are followed by the library.
//! Dropped at an await, the announcer says goodbye as well, without waiting for it.

use std::time::{Duration, Instant};

use mdns_sd::{DaemonEvent, Receiver, ServiceInfo};
use storebox_proto::beacon::{Beacon, FIXED_NAME, Label, Role};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::daemon::{Daemon, DaemonError, Interfaces, Service};
use super::electing::Namesake;
use crate::env;

/// RFC 6762 allows ten changes of a record a minute.
const CHANGE_EVERY_MIN: Duration = Duration::from_secs(6);
/// How soon a daemon that died is started again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// What stays the same while a box runs.
#[derive(Debug, Clone)]
pub struct AnnounceConfig {
    /// Its name, made from its key.
    pub label: Label,
    /// Its port, for every service.
    pub port: u16,
    /// Who should find it.
    pub services: Vec<Service>,
    /// Where it is announced.
    pub interfaces: Interfaces,
    /// Whether it answers to `storebox.local` while it is in charge of its store.
    pub alias: bool,
}

/// Carries the name of the box in charge; nobody looks for it.
const ALIAS_SERVICE: &str = "_storebox-site._tcp.local.";

/// Announces one box.
pub struct Announcer {
    config: AnnounceConfig,
    beacons: watch::Receiver<Beacon>,
    beacons_open: bool,
    daemon: Daemon,
    events: Receiver<DaemonEvent>,
    changed_last: Instant,
    change_waits: bool,
    /// Under which name it answers to the fixed one, while it does.
    alias: Option<String>,
    moved: bool,
    namesakes: watch::Receiver<Option<Namesake>>,
}

enum Event {
    Shutdown,
    Beacon,
    BeaconsEnd,
    ChangeDue,
    Daemon(DaemonEvent),
    DaemonSilent,
    Namesake,
}

impl Announcer {
    /// Announces the box; nothing is awaited, so that the first packet leaves at once.
    ///
    /// `namesakes` tells of another box that says it is this one.
    pub fn start(
        config: AnnounceConfig,
        beacons: watch::Receiver<Beacon>,
        namesakes: watch::Receiver<Option<Namesake>>,
    ) -> Result<Self, DaemonError> {
        let daemon = Daemon::open(&config.interfaces)?;
        let events = daemon.monitor().map_err(DaemonError::order("watch mDNS"))?;
        let mut announcer = Self {
            config,
            beacons,
            beacons_open: true,
            daemon,
            events,
            changed_last: env::instant(),
            change_waits: false,
            alias: None,
            moved: false,
            namesakes,
        };
        announcer.announce()?;
        Ok(announcer)
    }

    /// Keeps the announcement true until the shutdown, then says goodbye.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            match self.next_event(&shutdown).await {
                Event::Shutdown => return self.daemon.close().await,
                Event::Beacon => self.change_waits = true,
                Event::BeaconsEnd => self.beacons_open = false,
                Event::ChangeDue => self.change(),
                Event::Daemon(event) => self.handle_daemon(event),
                Event::DaemonSilent => self.revive(&shutdown).await,
                Event::Namesake => self.move_away(),
            }
        }
    }

    async fn next_event(&mut self, shutdown: &CancellationToken) -> Event {
        let due = (self.changed_last + CHANGE_EVERY_MIN).into();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Event::Shutdown,
            () = tokio::time::sleep_until(due), if self.change_waits => Event::ChangeDue,
            changed = self.beacons.changed(), if self.beacons_open && !self.change_waits => {
                if changed.is_ok() { Event::Beacon } else { Event::BeaconsEnd }
            }
            event = self.events.recv_async() => event.map_or(Event::DaemonSilent, Event::Daemon),
            Ok(()) = self.namesakes.changed() => Event::Namesake,
        }
    }

    fn change(&mut self) {
        self.change_waits = false;
        self.changed_last = env::instant();
        if let Err(error) = self.announce() {
            tracing::warn!(%error, "announcement not changed");
        }
    }

    fn announce(&mut self) -> Result<(), DaemonError> {
        let entries = self.beacons.borrow_and_update().entries();
        for service in &self.config.services {
            let label = &self.config.label;
            let order = || DaemonError::order("announce the box");
            let info = ServiceInfo::new(
                service.as_str(),
                label.as_str(),
                &label.host(),
                "",
                self.config.port,
                &entries[..],
            );
            let mut info = info.map_err(order())?.enable_addr_auto();
            info.set_requires_probe(false);
            self.daemon.register(info).map_err(order())?;
        }
        self.announce_alias()
    }

    /// The box in charge answers to the name that every till knows.
    fn announce_alias(&mut self) -> Result<(), DaemonError> {
        let wanted = self.config.alias && self.beacons.borrow().role == Role::Primary;
        let label = &self.config.label;
        let name = format!("{label}.{ALIAS_SERVICE}");
        match (wanted, &self.alias) {
            (true, None) => {
                let order = || DaemonError::order("answer to the fixed name");
                let (host, port) = (format!("{FIXED_NAME}."), self.config.port);
                let none: &[(&str, &str)] = &[];
                let info = ServiceInfo::new(ALIAS_SERVICE, label.as_str(), &host, "", port, none);
                let mut info = info.map_err(order())?.enable_addr_auto();
                info.set_requires_probe(false);
                self.daemon.register(info).map_err(order())?;
                self.alias = Some(name);
            }
            (false, Some(known)) => {
                drop(self.daemon.unregister(known));
                self.alias = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
        Ok(())
    }

    fn handle_daemon(&mut self, event: DaemonEvent) {
        match event {
            DaemonEvent::IpAdd(address) => tracing::info!(%address, "announced at a new address"),
            DaemonEvent::IpDel(address) => tracing::info!(%address, "address gone"),
            DaemonEvent::Error(error) => tracing::debug!(%error, "mDNS"),
            // Names are not probed for, so that the library changes none.
            DaemonEvent::Announce(..) | DaemonEvent::Respond(_) | _ => {}
        }
    }

    /// Moves to a name with our `boot` in it, once: should the other box do the same, no harm is done.
    fn move_away(&mut self) {
        let Some(other) = self.namesakes.borrow_and_update().clone() else { return };
        let old = self.config.label.clone();
        if self.moved || other.instance != old.as_str() {
            return;
        }
        self.moved = true;
        let new = old.contested(self.beacons.borrow().boot);
        for service in &self.config.services {
            // The goodbye of a name that two boxes had; whoever drops both finds the new names.
            drop(self.daemon.unregister(&format!("{old}.{}", service.as_str())));
        }
        tracing::warn!(%old, %new, other = %other.address, "another box has our name");
        self.config.label = new;
        self.change();
    }

    /// The event channel is closed: we fell behind, or the daemon's thread is gone.
    async fn revive(&mut self, shutdown: &CancellationToken) {
        if let Ok(events) = self.daemon.monitor() {
            self.events = events;
            return;
        }
        tracing::warn!("mDNS stopped, starting it again");
        while !shutdown.is_cancelled() {
            if let Err(error) = self.reopen() {
                tracing::warn!(%error, "mDNS not started");
            } else {
                return;
            }
            let pause = tokio::time::sleep(REOPEN_AFTER);
            shutdown.run_until_cancelled(pause).await;
        }
    }

    fn reopen(&mut self) -> Result<(), DaemonError> {
        self.daemon = Daemon::open(&self.config.interfaces)?;
        self.alias = None;
        self.events = self.daemon.monitor().map_err(DaemonError::order("watch mDNS"))?;
        self.announce()
    }
}
