//! Whether this box is the one in charge of its store: it listens to the others, asks whether they are alive, and
//! decides by `storebox_proto::sync::election`.
//!
//! It also notices a box that says it is this one: a copied disk, or a name that was given twice.
//!
//! Dropped at an await, the box stays what it said last.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures_util::future::join_all;
use storebox_proto::beacon::Role;
use storebox_proto::ids::{NodeId, SiteId};
use storebox_proto::sync::book::Outcome;
use storebox_proto::sync::election::{Candidate, Election, Neighbour};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::browse::{BrowseConfig, Browser, Found, Sighting};
use super::daemon::{DaemonError, Interfaces, Service};
use super::probe::probe;
use super::tongue::{Greeting, Tongues};
use crate::env;

/// How often the others are asked whether they are alive.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A box on the same LAN answers far sooner.
const ANSWER_MAX: Duration = Duration::from_millis(700);
/// Boxes of one store that are listened to.
const NEIGHBOURS_MAX: usize = 16;
/// Addresses of one box that are asked.
const ADDRESSES_ASKED: usize = 2;

/// Who this box is among the others.
#[derive(Debug, Clone)]
pub struct ElectConfig {
    /// Its store.
    pub site: SiteId,
    /// Its name and priority.
    pub own: Candidate,
    /// Its start.
    pub boot: u32,
    /// Where the others are heard.
    pub interfaces: Interfaces,
    /// What a living box answers.
    pub probe_path: String,
    /// Whom to believe over TLS; nothing: boxes are asked in the open only.
    pub greeting: Option<Greeting>,
}

/// Another box that says it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namesake {
    /// The name under which it is announced; a copy of the disk has that of this box.
    pub instance: String,
    /// Where it answers.
    pub address: SocketAddr,
}

/// Whom the election tells.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Whether this box is in charge.
    pub in_charge: watch::Sender<bool>,
    /// Who else says it is this box, while it answers.
    pub namesake: watch::Sender<Option<Namesake>>,
}

/// Takes part in the election of a store.
pub struct Elector {
    config: ElectConfig,
    browser: Browser,
    election: Election,
    heard: BTreeMap<String, Heard>,
    /// Announced as this box by another start than this one: under which name, and where it may be asked.
    suspect: Option<(String, Vec<SocketAddr>)>,
    tongues: Tongues,
}

struct Heard {
    candidate: Candidate,
    is_primary: bool,
    addresses: Vec<SocketAddr>,
}

impl Elector {
    /// Begins to listen.
    pub fn start(config: ElectConfig) -> Result<Self, DaemonError> {
        let browse =
            BrowseConfig { services: vec![Service::Tills], interfaces: config.interfaces.clone() };
        let browser = Browser::start(browse)?;
        let election = Election::new(config.own.clone());
        let tongues = Tongues::new(config.greeting.clone());
        Ok(Self { config, browser, election, heard: BTreeMap::new(), suspect: None, tongues })
    }

    /// Takes part until the shutdown, and tells what it finds out.
    pub async fn run(mut self, told: &Told, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(ASK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                sighting = self.browser.next() => self.hear(sighting),
                _ = tick.tick() => {
                    let (alive, namesake) = tokio::join!(self.alive(), self.namesake());
                    self.election.handle_neighbours(&alive, env::instant());
                    let is_primary = self.election.is_primary();
                    if replace(&told.in_charge, is_primary) {
                        tracing::info!(is_primary, neighbours = alive.len(), "who is in charge of the store");
                    }
                    if replace(&told.namesake, namesake.clone()) {
                        tracing::warn!(?namesake, "who else says it is this box");
                    }
                }
            }
        }
    }

    fn hear(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Gone { instance, .. } => {
                self.heard.remove(&instance);
                self.suspect.take_if(|(suspect, _)| *suspect == instance);
            }
            Sighting::Seen(found) => {
                let Found { instance, beacon, addresses, .. } = *found;
                let takes_part = matches!(beacon.role, Role::Primary | Role::Standby);
                let is_own = beacon.boot == self.config.boot;
                if beacon.site != self.config.site || !takes_part || is_own {
                    return;
                }
                let addresses = addresses.into_iter().collect();
                if beacon.node == self.config.own.node {
                    self.suspect = Some((instance, addresses));
                    return;
                }
                if self.heard.len() >= NEIGHBOURS_MAX && !self.heard.contains_key(&instance) {
                    return;
                }
                let candidate = Candidate { priority: beacon.priority, node: beacon.node };
                let is_primary = beacon.role == Role::Primary;
                self.heard.insert(instance, Heard { candidate, is_primary, addresses });
            }
        }
    }

    /// Whoever was announced as this box, if it answers as this box from elsewhere: what was announced before this box
    /// was started last may still be told by others.
    async fn namesake(&self) -> Option<Namesake> {
        let (instance, addresses) = self.suspect.as_ref()?;
        let elsewhere = addresses.iter().filter(|address| !is_here(address));
        let asks = elsewhere.take(ADDRESSES_ASKED).map(|address| async {
            let path = self.config.probe_path.clone();
            let (outcome, _) = probe(*address, path, None, &self.tongues, ANSWER_MAX).await;
            let own = Outcome::Answered(Some(self.config.own.node.clone()));
            (outcome == own).then(|| Namesake { instance: instance.clone(), address: *address })
        });
        join_all(asks).await.into_iter().flatten().next()
    }

    /// The boxes that answer now, whatever mDNS still believes.
    async fn alive(&self) -> Vec<Neighbour> {
        let asked = self.heard.values().map(|heard| async {
            let path = &self.config.probe_path;
            let asks = heard
                .addresses
                .iter()
                .take(ADDRESSES_ASKED)
                .map(|address| probe(*address, path.clone(), None, &self.tongues, ANSWER_MAX));
            let outcomes = join_all(asks).await;
            let answers = outcomes.iter().any(|(outcome, _)| is_of(outcome, &heard.candidate.node));
            answers.then(|| Neighbour {
                candidate: heard.candidate.clone(),
                is_primary: heard.is_primary,
            })
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// Whether that was news.
fn replace<T: PartialEq>(told: &watch::Sender<T>, news: T) -> bool {
    told.send_if_modified(|told| {
        let is_news = *told != news;
        *told = news;
        is_news
    })
}

/// Whether the address is one of this machine: then what is sent there comes from there. One that nothing can be sent
/// to is of no interest either.
fn is_here(address: &SocketAddr) -> bool {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let from = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    from.map_or(true, |from| from.ip() == address.ip())
}

/// Whether that box answered; one that does not give its name is believed to be the one that was announced.
fn is_of(outcome: &Outcome, node: &NodeId) -> bool {
    match outcome {
        Outcome::Answered(name) => name.as_ref().is_none_or(|name| name == node),
        Outcome::Failed | Outcome::Stranger => false,
    }
}
