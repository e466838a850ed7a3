//! Which source to use: the tiers of a box as a machine without effects.
//!
//! ```text
//!            a hard failure                 its time has come
//! Closed ───────────────────▶ Open ─────────────────────────────▶ Probing
//!    ▲                          ▲   after 1, 2, 4 … 30 s             │ │
//!    │                          └────────────── no ──────────────────┘ │
//!    └───────────────────────────────── it works ──────────────────────┘
//! ```
//!
//! One definition says which sources there are and in which order: by priority, then by kind, then by lot among those
//! that share the boxes of a chain by weight, then by name.
//! Health is per source and service, so that a server which settles no sales may still feed masterdata.
//! There is no mode of the whole box: each request takes the best rung that holds at that moment, and the last
//! rung, the box's own copy, always does.
//!
//! Invariants:
//! - a source whose breaker is open is never chosen, and one that is closed is never passed over for one behind it;
//! - every open breaker has a moment at which it is looked at again, at most [`PROBE_MAX`] or, for a source that
//!   lied, [`DISTRUST`] away;
//! - what was found on the LAN never takes the place of what was configured, however much of it there is;
//! - storage is for feeds: transactions go to boxes only.

mod breaker;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ids::SourceId;
use crate::limits::{SOURCES_FOUND_MAX, SOURCES_MAX};

use breaker::Health;

pub use breaker::{Breaker, DISTRUST, Fault, PROBE_FIRST, PROBE_LIMIT, PROBE_MAX, SLOW_MAX};
pub use view::RungView;

/// Shares that one source can have.
pub const WEIGHT_MAX: u16 = 1000;

/// What a source is; the order is that of sources with the same priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The main server.
    Primary,
    /// Another server of the same company with the same feeds.
    Additional,
    /// A replica at somebody who hosts it.
    Hosted,
    /// Another box of the store.
    Peer,
    /// Internet storage, a web server or a USB stick with published feeds.
    Storage,
    /// This very node.
    Local,
}

impl Kind {
    /// The word in the configuration and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Additional => "additional",
            Self::Hosted => "hosted",
            Self::Peer => "peer",
            Self::Storage => "storage",
            Self::Local => "local",
        }
    }

    /// Where a source of this kind stands if nobody says otherwise.
    pub fn usual_priority(self) -> u16 {
        match self {
            Self::Primary => 10,
            Self::Additional => 20,
            Self::Hosted => 30,
            Self::Peer => 40,
            Self::Storage => 50,
            Self::Local => 60,
        }
    }

    /// Whether a source of this kind can serve this at all.
    pub fn can_serve(self, service: Service) -> bool {
        match (self, service) {
            (Self::Storage | Self::Local, Service::Transactions) => false,
            (Self::Storage | Self::Local, Service::Feeds)
            | (Self::Primary | Self::Additional | Self::Hosted | Self::Peer, _) => true,
        }
    }
}

/// What a source is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Heads and objects of masterdata.
    Feeds,
    /// Sales on their way to head office.
    Transactions,
}

impl Service {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::Feeds, Self::Transactions];

    /// The word in the configuration and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Feeds => "feeds",
            Self::Transactions => "transactions",
        }
    }
}

/// One source of the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Its name.
    pub id: SourceId,
    /// What it is.
    pub kind: Kind,
    /// Lower is asked first.
    pub priority: u16,
    /// What it is used for.
    pub services: Vec<Service>,
    /// Found on the LAN or lent for once instead of configured: it may go again.
    pub found: bool,
    /// Reading it costs no line: objects are taken from here first.
    pub near: bool,
    /// Its share of the boxes among sources of the same priority and kind that have a share too; 0: it has none, and
    /// stands behind those by its name.
    pub weight: u16,
}

impl Rung {
    /// A configured source with the usual priority, for all that its kind can serve.
    pub fn new(id: SourceId, kind: Kind) -> Self {
        let services = Service::ALL.into_iter().filter(|service| kind.can_serve(*service));
        let (priority, services) = (kind.usual_priority(), services.collect());
        let near = matches!(kind, Kind::Peer | Kind::Local);
        Self { id, kind, priority, services, found: false, near, weight: 0 }
    }

    fn rank(&self, seed: u64) -> (u16, Kind, u64, &SourceId) {
        (self.priority, self.kind, self.lot(seed), &self.id)
    }

    /// What this box draws for the source, the lowest first: of as many tickets as it has shares, the best.
    fn lot(&self, seed: u64) -> u64 {
        let mut lots = blake3::Hasher::new();
        lots.update(&seed.to_le_bytes()).update(self.id.as_str().as_bytes());
        let mut lots = lots.finalize_xof();
        let draw = |_| {
            let mut lot = [0; 8];
            lots.fill(&mut lot);
            u64::from_le_bytes(lot)
        };
        (0..self.weight.min(WEIGHT_MAX)).map(draw).min().unwrap_or(u64::MAX)
    }
}

/// What the log and the status are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A source is no longer used for this.
    Opened {
        /// Which.
        id: SourceId,
        /// For what.
        service: Service,
        /// Why.
        fault: Fault,
    },
    /// A source is used again.
    Closed {
        /// Which.
        id: SourceId,
        /// For what.
        service: Service,
        /// How long it was not.
        after: Duration,
    },
    /// Another source is the best one now; nothing: none answers.
    Chosen {
        /// For what.
        service: Service,
        /// Which.
        id: Option<SourceId>,
        /// None answered before.
        back: bool,
    },
}

#[derive(Debug, Clone)]
struct Step {
    rung: Rung,
    health: BTreeMap<Service, Health>,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// In order.
    steps: Vec<Step>,
    chosen: BTreeMap<Service, Option<SourceId>>,
    /// Spreads probes and shares over many boxes; any number that differs between them and stays.
    seed: u64,
    events: VecDeque<Event>,
}

impl Ladder {
    /// A ladder of configured sources; all are believed to work until they do not.
    pub fn new(rungs: impl IntoIterator<Item = Rung>, seed: u64) -> Self {
        let mut ladder =
            Self { steps: Vec::new(), chosen: BTreeMap::new(), seed, events: VecDeque::new() };
        for rung in rungs {
            ladder.put(rung);
        }
        ladder.events.clear();
        ladder
    }

    /// Adds a source or changes its place; its health stays. False if there is no room for it.
    ///
    /// A found one gets in only while there are not too many of them, and never under a configured one's name.
    pub fn put(&mut self, rung: Rung) -> bool {
        let known = self.steps.iter().position(|step| step.rung.id == rung.id);
        let health = match known {
            Some(at) if rung.found && !self.steps[at].rung.found => return false,
            Some(at) => self.steps.remove(at).health,
            None if self.is_full_for(&rung) => return false,
            None => BTreeMap::new(),
        };
        let served = rung.services.iter().filter(|service| rung.kind.can_serve(**service));
        let health = served
            .map(|service| (*service, health.get(service).cloned().unwrap_or_default()))
            .collect();
        self.steps.push(Step { rung, health });
        let seed = self.seed;
        self.steps.sort_by(|a, b| a.rung.rank(seed).cmp(&b.rung.rank(seed)));
        self.choose_again();
        true
    }

    /// A found source is gone; a configured one stays whatever happens.
    pub fn remove(&mut self, id: &SourceId) {
        self.steps.retain(|step| step.rung.id != *id || !step.rung.found);
        self.choose_again();
    }

    /// The source to use now; nothing: none answers, the box works on what it has.
    pub fn best(&self, service: Service) -> Option<&SourceId> {
        self.closed(service).next().map(|rung| &rung.id)
    }

    /// All that may be used now, best first; where all are open, those that are due to be tried.
    pub fn order(&self, service: Service, now: Instant) -> Vec<SourceId> {
        let closed: Vec<SourceId> = self.closed(service).map(|rung| rung.id.clone()).collect();
        if closed.is_empty() { self.due(service, now) } else { closed }
    }

    /// The same for what is named by its hash and may come from anywhere: the nearest first.
    pub fn order_near(&self, service: Service, now: Instant) -> Vec<SourceId> {
        let closed: Vec<&Rung> = self.closed(service).collect();
        let (near, far): (Vec<&Rung>, Vec<&Rung>) = closed.into_iter().partition(|rung| rung.near);
        let order: Vec<_> = near.into_iter().chain(far).map(|rung| rung.id.clone()).collect();
        if order.is_empty() { self.due(service, now) } else { order }
    }

    /// How long a request to this source may take before the next one is asked as well.
    pub fn hedge_after(&self, id: &SourceId, service: Service) -> Duration {
        self.health(id, service).map_or(breaker::HEDGE_MAX, Health::hedge_after)
    }

    /// A request or a probe was answered well, within this time if that says something about it.
    pub fn handle_success(
        &mut self,
        id: &SourceId,
        service: Service,
        took: Option<Duration>,
        now: Instant,
    ) {
        let Some(health) = self.health_mut(id, service) else { return };
        if let Some(after) = health.worked(took, now) {
            self.events.push_back(Event::Closed { id: id.clone(), service, after });
            self.choose_again();
        }
    }

    /// A request or a probe failed.
    pub fn handle_fault(&mut self, id: &SourceId, service: Service, fault: Fault, now: Instant) {
        let Some(kind) = self.kind(id) else { return };
        let rung = (kind, self.spread(id));
        let Some(health) = self.health_mut(id, service) else { return };
        if health.failed(fault.clone(), rung, now) {
            self.events.push_back(Event::Opened { id: id.clone(), service, fault });
            self.choose_again();
        }
    }

    /// Another source answered first although this one was asked before it.
    pub fn handle_slow(&mut self, id: &SourceId, service: Service, now: Instant) {
        let is_too_slow = self.health_mut(id, service).is_some_and(Health::beaten);
        if is_too_slow {
            self.handle_fault(id, service, Fault::Slow, now);
        }
    }

    /// Somebody cannot wait: what is open is tried at once, except what lied.
    pub fn handle_hurry(&mut self, now: Instant) {
        for step in &mut self.steps {
            step.health.values_mut().for_each(|health| health.hurry(now));
        }
    }

    /// The next source to probe; the answer comes by [`Self::handle_success`] or [`Self::handle_fault`].
    pub fn poll_probe(&mut self, now: Instant) -> Option<(SourceId, Service)> {
        self.steps.iter_mut().find_map(|step| {
            let due = step.health.iter_mut().find(|(_, health)| health.is_due(now))?;
            due.1.probe(now);
            Some((step.rung.id.clone(), *due.0))
        })
    }

    /// When [`Self::poll_probe`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.steps.iter().flat_map(|step| step.health.values()).filter_map(Health::due_at).min()
    }

    /// Time passed: a probe that nobody answered for counts as failed.
    pub fn handle_timeout(&mut self, now: Instant) {
        for at in 0..self.steps.len() {
            let (id, kind) = (self.steps[at].rung.id.clone(), self.steps[at].rung.kind);
            let rung = (kind, self.spread(&id));
            for health in self.steps[at].health.values_mut() {
                health.expire(rung, now);
            }
        }
    }

    /// What the source is, if it is known.
    pub fn kind(&self, id: &SourceId) -> Option<Kind> {
        self.steps.iter().find(|step| step.rung.id == *id).map(|step| step.rung.kind)
    }

    /// Whether reading it costs no line.
    pub fn is_near(&self, id: &SourceId) -> bool {
        self.steps.iter().any(|step| step.rung.id == *id && step.rung.near)
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn closed(&self, service: Service) -> impl Iterator<Item = &Rung> {
        let closed = move |step: &&Step| step.health.get(&service).is_some_and(Health::is_closed);
        self.steps.iter().filter(closed).map(|step| &step.rung)
    }

    fn due(&self, service: Service, now: Instant) -> Vec<SourceId> {
        let due = |step: &&Step| step.health.get(&service).is_some_and(|h| h.is_due(now));
        self.steps.iter().filter(due).map(|step| step.rung.id.clone()).collect()
    }

    fn is_full_for(&self, rung: &Rung) -> bool {
        let found = self.steps.iter().filter(|step| step.rung.found).count();
        let configured = self.steps.len() - found;
        let room = SOURCES_MAX - SOURCES_FOUND_MAX;
        if rung.found { found >= SOURCES_FOUND_MAX } else { configured >= room }
    }

    fn health(&self, id: &SourceId, service: Service) -> Option<&Health> {
        self.steps.iter().find(|step| step.rung.id == *id)?.health.get(&service)
    }

    fn health_mut(&mut self, id: &SourceId, service: Service) -> Option<&mut Health> {
        self.steps.iter_mut().find(|step| step.rung.id == *id)?.health.get_mut(&service)
    }

    fn choose_again(&mut self) {
        for service in Service::ALL {
            let best = self.best(service).cloned();
            if self.chosen.get(&service) != Some(&best) {
                let before = self.chosen.insert(service, best.clone());
                let back = before == Some(None) && best.is_some();
                self.events.push_back(Event::Chosen { service, id: best, back });
            }
        }
    }

    /// A number in 0..256 that depends on the box and the source.
    fn spread(&self, id: &SourceId) -> u8 {
        let mut input = self.seed.to_le_bytes().to_vec();
        input.extend_from_slice(id.as_str().as_bytes());
        blake3::hash(&input).as_bytes()[0]
    }
}

#[cfg(test)]
mod tests;
