//! The address book: which boxes there are, which of them are alive, and which one to use.
//!
//! Hints come from everywhere at once (mDNS, the last known addresses, a fixed name, DHCP, a person) and
//! are worth nothing until the endpoint has answered a probe.
//! Whether a box is alive is found out by probes of our own: waiting for mDNS to forget a box whose plug
//! was pulled takes two minutes, and a forged goodbye hides a box that is well.
//!
//! ```text
//!            answers                fails           fails again
//!   Unknown ────────▶ Up ─────────────────▶ Doubted ───────────▶ Down
//!      │ fails         ▲ answers              │ answers            │ answers
//!      └──────────────────────────────────────┴────────▶ Up ◀──────┘
//! ```
//!
//! Invariants, checked by the tests after every step:
//! - whenever an endpoint is up or doubted, a box is chosen, and the chosen box has such an endpoint;
//! - nothing is dropped because of a goodbye, and what has once answered is dropped only to make room and
//!   after a day of silence;
//! - endpoints, probes under way and the rate of probes at one endpoint are bounded;
//! - the same inputs at the same times give the same outputs.

mod choice;
mod entry;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::ids::NodeId;
use crate::limits::{
    BOOK_ENDPOINTS_MAX, BOOK_PROBES_MAX, BOOK_PROBES_UNPROVEN_MAX, BOOK_REMEMBERED_MAX,
    BOOK_RUMOURS_MAX,
};

pub use choice::{BoxKey, BoxView, Choice};
use entry::Entry;
pub use entry::Health;

/// How long a better box must have been well before the one in use is left for it.
pub const SETTLE: Duration = Duration::from_secs(10);
/// How often the endpoint in use of every box is probed.
pub const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How often further endpoints of a box that is well are probed.
pub const PROBE_SPARE_EVERY: Duration = Duration::from_secs(5);
/// When a probe without an answer counts as failed.
pub const PROBE_LIMIT: Duration = Duration::from_millis(800);
/// The same for a box that is well while another is too, at least: there is somebody to go to.
pub const PROBE_LIMIT_MIN: Duration = Duration::from_millis(200);
/// A box that usually takes longer is given so many times what it took.
const PATIENCE: u32 = 4;
/// How soon a failed probe is repeated, and the least time between two probes of one endpoint.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Failures in a row after which an endpoint is down.
pub const STRIKES: u8 = 2;
/// The longest time between two probes of an endpoint that is down.
pub const PROBE_DOWN_EVERY_MAX: Duration = Duration::from_secs(10);
/// How long an endpoint that once answered must be silent before something new may take its place.
pub const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How often one looks for boxes again while none is well.
pub const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(10);

/// Where a hint came from; the first is the last to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A person, or a slip that a person scanned.
    Typed,
    /// It was well before the last restart.
    LastKnown,
    /// The DHCP server.
    Dhcp,
    /// A fixed name, resolved.
    FixedName,
    /// An announcement on the LAN.
    Mdns,
}

/// What a hint says about the box behind an endpoint; a proof may say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Which box it is.
    pub node: NodeId,
    /// Whom to prefer: lower first.
    pub priority: u16,
}

/// An endpoint worth trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Where.
    pub endpoint: SocketAddr,
    /// Who says so.
    pub source: Source,
    /// What else was said.
    pub claim: Option<Claim>,
}

/// How a probe, or a request of real work, went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The box answered; its name, if it proved or gave one.
    Answered(Option<NodeId>),
    /// Nobody answered, or not in time.
    Failed,
    /// Somebody answered who is not a box of ours.
    Stranger,
}

/// What the book wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask whether the endpoint is alive; the answer comes back with the same ticket.
    Probe {
        /// Names this probe.
        ticket: u64,
        /// Whom to ask.
        endpoint: SocketAddr,
    },
    /// Browse again, resolve the fixed names again, look at what DHCP gave.
    LookAgain,
}

/// What its owner may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Another box, another endpoint of it, or none, is to be used.
    Chosen(Option<Choice>),
    /// The health of an endpoint has changed.
    Health {
        /// Which.
        endpoint: SocketAddr,
        /// Its health now.
        health: Health,
    },
    /// A hint was refused: it cannot be a box, or the book is full of better ones.
    Refused {
        /// What was refused.
        endpoint: SocketAddr,
    },
}

/// A question that is not answered yet.
#[derive(Debug, Clone, Copy)]
struct Probe {
    endpoint: SocketAddr,
    asked: Instant,
    /// When it counts as failed.
    until: Instant,
}

/// The address book of one till or box.
#[derive(Debug, Default)]
pub struct Book {
    entries: BTreeMap<SocketAddr, Entry>,
    under_way: BTreeMap<u64, Probe>,
    next_ticket: u64,
    chosen: Option<Choice>,
    looked: Option<Instant>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

impl Book {
    /// A book that knows nobody; the first call of [`Book::handle_timeout`] makes it look around.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a hint; a known endpoint that is down is tried again soon.
    pub fn handle_hint(&mut self, hint: Hint, now: Instant) {
        let Hint { endpoint, source, claim } = hint;
        if !may_be_a_box(endpoint, source) || !self.has_room(endpoint, source, now) {
            self.events.push_back(Event::Refused { endpoint });
            return self.settle(now);
        }
        let entry = self.entries.entry(endpoint).or_insert_with(|| Entry::new(now));
        entry.hear(source, claim);
        entry.hurry(now);
        self.settle(now);
    }

    /// Somebody says the endpoint is gone (a goodbye, a broken connection): asks it, and drops nothing.
    pub fn handle_doubt(&mut self, endpoint: SocketAddr, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&endpoint) {
            entry.hurry(now);
        }
        self.settle(now);
    }

    /// Takes the answer to a probe; one after its limit has counted as failed, and says that the box lives after all.
    pub fn handle_answer(&mut self, ticket: u64, outcome: Outcome, now: Instant) {
        let answered = matches!(outcome, Outcome::Answered(_));
        if let Some(probe) = self.under_way.remove(&ticket) {
            if let Some(entry) = self.entries.get_mut(&probe.endpoint).filter(|_| answered) {
                entry.took(now.saturating_duration_since(probe.asked));
            }
            self.close(probe.endpoint, outcome, now);
        } else if answered {
            let late = self.entries.iter_mut().find_map(|(at, entry)| {
                let asked = entry.late.take_if(|(late, _)| *late == ticket)?.1;
                entry.took(now.saturating_duration_since(asked));
                Some(*at)
            });
            if let Some(endpoint) = late {
                self.take(endpoint, outcome, now);
            }
        }
        self.settle(now);
    }

    /// Takes how a request of real work went: it tells as much as a probe, and sooner.
    pub fn handle_traffic(&mut self, endpoint: SocketAddr, outcome: Outcome, now: Instant) {
        self.take(endpoint, outcome, now);
        self.settle(now);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        let over = self.under_way.iter().filter(|(_, probe)| now >= probe.until);
        let late: Vec<u64> = over.map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            let Some(probe) = self.under_way.remove(&ticket) else { continue };
            if let Some(entry) = self.entries.get_mut(&probe.endpoint) {
                entry.late = Some((ticket, probe.asked));
            }
            self.close(probe.endpoint, Outcome::Failed, now);
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_transmit(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Book::handle_timeout`] is due; after its first call always some time, because a book
    /// without a box keeps looking.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let limits = self.under_way.values().map(|probe| probe.until);
        let free = self.under_way.len() < BOOK_PROBES_MAX;
        let spare = self.unproven_under_way() < BOOK_PROBES_UNPROVEN_MAX;
        let due = self
            .entries
            .values()
            .filter(|entry| free && !entry.asked && (spare || entry.health.is_usable()))
            .map(|entry| entry.next_probe);
        let look = self.look_at();
        let settle = choice::settles_at(&self.entries, self.chosen.as_ref());
        limits.chain(due).chain(look).chain(settle).min()
    }

    /// The box to use now.
    pub fn chosen(&self) -> Option<&Choice> {
        self.chosen.as_ref()
    }

    /// All boxes, the ones to prefer first.
    pub fn boxes(&self) -> Vec<BoxView> {
        choice::boxes(&self.entries)
    }

    /// The endpoints that answered last, to be given as [`Source::LastKnown`] after a restart.
    pub fn remembered(&self) -> Vec<(SocketAddr, Option<Claim>)> {
        let mut proven: Vec<_> = self.entries.iter().filter(|(_, entry)| entry.proven()).collect();
        proven.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.answered_last()));
        proven.truncate(BOOK_REMEMBERED_MAX);
        proven.into_iter().map(|(endpoint, entry)| (*endpoint, entry.claim())).collect()
    }

    fn close(&mut self, endpoint: SocketAddr, outcome: Outcome, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&endpoint) {
            entry.asked = false;
        }
        self.take(endpoint, outcome, now);
    }

    fn take(&mut self, endpoint: SocketAddr, outcome: Outcome, now: Instant) {
        let Some(entry) = self.entries.get_mut(&endpoint) else { return };
        let before = entry.health.clone();
        let failed = !matches!(outcome, Outcome::Answered(_));
        entry.take(outcome, now);
        if std::mem::discriminant(&before) != std::mem::discriminant(&entry.health) {
            let health = entry.health.clone();
            self.events.push_back(Event::Health { endpoint, health });
            if failed {
                self.doubt_siblings(endpoint, now);
            }
        }
    }

    /// One address of a box fails: the others are asked now, not when it is their turn, so that a till
    /// does not try one dead address after the other.
    fn doubt_siblings(&mut self, endpoint: SocketAddr, now: Instant) {
        let node = self.entries.get(&endpoint).and_then(|entry| entry.node().cloned());
        let Some(node) = node else { return };
        for (_, entry) in self.entries.iter_mut().filter(|(at, _)| **at != endpoint) {
            if entry.health.is_usable() && entry.node() == Some(&node) {
                entry.suspect(now);
            }
        }
    }

    /// After every input: who is asked how often, who is chosen, what is to be done.
    fn settle(&mut self, now: Instant) {
        let leads = choice::leads(&self.entries);
        for (endpoint, entry) in &mut self.entries {
            entry.pace(leads.contains(endpoint));
        }
        let choice = choice::choose(&self.entries, self.chosen.as_ref(), now);
        if choice != self.chosen {
            self.chosen = choice;
            self.events.push_back(Event::Chosen(self.chosen.clone()));
        }
        self.ask(now);
        let due = self.looked.is_none_or(|looked| now >= looked + LOOK_AGAIN_EVERY);
        if due && self.chosen.is_none() {
            self.looked = Some(now);
            self.actions.push_back(Action::LookAgain);
        }
    }

    /// Probes that are due, those of the living first, within both limits.
    fn ask(&mut self, now: Instant) {
        let due = self.entries.iter().filter(|(_, entry)| !entry.asked && entry.next_probe <= now);
        let mut due: Vec<(bool, Instant, SocketAddr)> = due
            .map(|(endpoint, entry)| (!entry.health.is_usable(), entry.next_probe, *endpoint))
            .collect();
        due.sort();
        let mut unproven_under_way = self.unproven_under_way();
        for (unproven, _, endpoint) in due {
            if self.under_way.len() >= BOOK_PROBES_MAX {
                break;
            }
            if unproven && unproven_under_way >= BOOK_PROBES_UNPROVEN_MAX {
                break;
            }
            unproven_under_way += usize::from(unproven);
            let until = now + self.limit(endpoint);
            let Some(entry) = self.entries.get_mut(&endpoint) else { continue };
            entry.ask(now);
            let ticket = self.next_ticket;
            self.next_ticket += 1;
            self.under_way.insert(ticket, Probe { endpoint, asked: now, until });
            self.actions.push_back(Action::Probe { ticket, endpoint });
        }
    }

    /// How long an answer is waited for: where another box is well, not much longer than this one usually takes.
    fn limit(&self, endpoint: SocketAddr) -> Duration {
        let Some(entry) = self.entries.get(&endpoint) else { return PROBE_LIMIT };
        let node = entry.node();
        let is_other = |other: &&Entry| other.health.is_usable() && other.node() != node;
        match entry.health.is_usable() && self.entries.values().find(is_other).is_some() {
            true => (entry.usual() * PATIENCE).clamp(PROBE_LIMIT_MIN, PROBE_LIMIT),
            false => PROBE_LIMIT,
        }
    }

    fn unproven_under_way(&self) -> usize {
        let usable = |endpoint| self.entries.get(endpoint).is_some_and(|e| e.health.is_usable());
        self.under_way.values().filter(|probe| !usable(&probe.endpoint)).count()
    }

    fn look_at(&self) -> Option<Instant> {
        let looked = self.looked?;
        self.chosen.is_none().then_some(looked + LOOK_AGAIN_EVERY)
    }

    /// Makes room for an endpoint by giving up the least of those that are silent.
    ///
    /// Announcements may fill half of the book at most with what has never answered, so that whoever
    /// floods the LAN with them cannot keep out what a person types or a name resolves to.
    fn has_room(&mut self, endpoint: SocketAddr, source: Source, now: Instant) -> bool {
        if self.entries.contains_key(&endpoint) {
            return true;
        }
        let rumours = self.entries.values().filter(|entry| entry.is_rumour()).count();
        let crowded = source == Source::Mdns && rumours >= BOOK_RUMOURS_MAX;
        if !crowded && self.entries.len() < BOOK_ENDPOINTS_MAX {
            return true;
        }
        let silent = self.entries.iter().filter(|(_, entry)| entry.may_be_given_up(now));
        let fitting = silent.filter(|(_, entry)| !crowded || entry.is_rumour());
        let least = fitting.max_by_key(|(at, entry)| (!entry.proven(), entry.failures, **at));
        let Some((&least, _)) = least else { return false };
        self.entries.remove(&least);
        self.under_way.retain(|_, probe| probe.endpoint != least);
        true
    }
}

/// Whether the endpoint can be a box at all: announcements may not point back at ourselves.
fn may_be_a_box(endpoint: SocketAddr, source: Source) -> bool {
    let ip = endpoint.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let from_the_lan = matches!(source, Source::Mdns | Source::Dhcp);
    let elsewhere = ip.is_unspecified() || ip.is_multicast() || broadcast || endpoint.port() == 0;
    let ourselves = from_the_lan && ip.to_canonical().is_loopback();
    !elsewhere && !ourselves
}

#[cfg(test)]
mod tests;
