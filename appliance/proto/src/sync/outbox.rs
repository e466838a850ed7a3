//! What to send, in which order: the outbox of a box as a machine without effects.
//!
//! The caller writes what the machine decides ([`Record`]) into a journal and applies it; after a restart it applies
//! the same records again and has the same machine.
//!
//! ```text
//!            admit                   taken                all sinks have it
//! envelope ───────▶ open ───────────────────────▶ settled ─────────────────▶ gone
//!                   │  ▲
//!           refused ▼  │ retry, repair (a person)
//!                quarantined ──────▶ given up
//!                            drop (a person)
//! ```
//!
//! Invariants:
//! - An entry leaves only after the authoritative sink has taken it, or after a person has given it up.
//! - What a till was given a receipt for is this box's own, also when it is passed on for a neighbour at that moment.
//! - What depends on something that nobody brings goes to quarantine after a day, so that somebody looks at it.
//! - Within a lane nothing is offered while something before it is not taken and not in the same batch before it;
//!   a terminal's later epochs and numbers come behind its earlier ones, and what depends on an entry behind that entry,
//!   in whatever order they arrived.
//! - Nothing is offered while something that it depends on is held here, not taken and not in the same batch
//!   before it.
//! - A cash-up is offered only when nothing else of its session is held here and its terminal has no gap below it.
//! - Kinds that are urgent go before others, but never before what they have to follow.
//! - What waits in a circle goes to quarantine, so that somebody looks at it.
//! - A quarantined entry stops what has to come after it, and nothing else.
//! - One key has one content; what contradicts is kept for a person and changes nothing.
//! - A best-effort sink gets everything in the order of acceptance, and is left behind, loudly, before it can
//!   fill the disk.
//! - All decisions follow from what was given, in order; no clock, no map without order.

mod accept;
mod checkpoint;
mod give_up;
mod operate;
mod order;
mod record;
mod sequences;
mod ship;
mod sink;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

pub use accept::Admission;
pub use checkpoint::{Checkpoint, RestoreError};
pub use operate::{Audit, Conflict, OperateError, State, Summary};
pub use record::{By, Event, Meta, Record, RecordError, Slot};
pub use sequences::{Have, Range};
pub use ship::{Batch, Item, Verdict, Work};
pub use sink::{Failure, Link, SinkDef, SinkStatus};

use crate::ids::{Hash32, SinkId, TerminalId, TxKey, TxKind};
use crate::limits;
use crate::problem::Problem;
use crate::ticket::Receipt;
use crate::time::Timestamp;
use order::Order;
use sequences::Sequences;
use sink::Sink;

/// Kinds whose text is shared by all entries; others have one each.
const KINDS_SHARED_MAX: usize = 64;

/// Bounds that a test may want to be smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries in all.
    pub held_max: usize,
    /// Settled entries that wait for best-effort sinks.
    pub pinned_max: usize,
    /// Envelopes in one batch.
    pub batch_envelopes_max: usize,
    /// Bytes of envelopes in one batch.
    pub batch_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            held_max: limits::HELD_MAX,
            pinned_max: limits::PINNED_MAX,
            batch_envelopes_max: limits::BATCH_ENVELOPES_MAX,
            batch_bytes_max: limits::BATCH_BYTES_MAX,
        }
    }
}

/// Why sinks cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinksError {
    /// Not exactly one is authoritative.
    #[error("{found} sinks are authoritative, it has to be exactly one")]
    Authoritative {
        /// How many are.
        found: usize,
    },
    /// Two have the same name.
    #[error("sink {sink} is defined twice")]
    Twice {
        /// The name.
        sink: SinkId,
    },
}

#[derive(Debug, Clone)]
struct Entry {
    meta: Meta,
    at: Timestamp,
    /// Where it stands in its lane; its position, unless a later epoch or number of the same terminal came first.
    rank: u64,
    phase: Phase,
    /// A person said that it shall not wait for missing numbers.
    forced: bool,
    /// The digest that the till knows, if the content was repaired since.
    first: Option<Box<Hash32>>,
    /// Its sequence number was new.
    is_new_number: bool,
    attempts: u32,
    not_before: Option<Instant>,
    /// Since when the sink waits for what it depends on, which is not held here.
    missing_since: Option<Instant>,
    /// Taken over from a box that had this one's name.
    adopted: bool,
    /// What the neighbour said for whom it is passed on.
    guest: Option<Box<Receipt>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Open,
    Quarantined(Box<Problem>),
    GivenUp(Box<Problem>),
    Settled,
}

impl Phase {
    /// Neither taken nor given up.
    fn is_held(&self) -> bool {
        match self {
            Self::Open | Self::Quarantined(_) => true,
            Self::GivenUp(_) | Self::Settled => false,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Epoch {
    seen: Sequences,
    /// Held numbers and their positions.
    held: BTreeMap<u64, u64>,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Outbox {
    limits: Limits,
    /// The position of the next entry.
    next: u64,
    /// Boxed, because half of a map that grows at its end is empty.
    entries: BTreeMap<u64, Box<Entry>>,
    /// The kinds of most entries, each with one text for all.
    kinds: BTreeSet<TxKind>,
    keys: BTreeMap<TxKey, u64>,
    order: Order,
    /// Entries that may be offered to the authoritative sink, as far as order allows.
    open: BTreeSet<u64>,
    /// Open entries that wait for a person or for a missing number.
    parked: BTreeSet<u64>,
    settled: usize,
    /// Given up by a person and still readable.
    given_up: BTreeSet<u64>,
    given_up_total: u64,
    terminals: BTreeMap<TerminalId, BTreeMap<u32, Epoch>>,
    /// Kinds that go before others, as far as order allows.
    urgent: Vec<TxKind>,
    /// The authoritative one first.
    sinks: Vec<Sink>,
    conflicts: BTreeMap<u64, Conflict>,
    next_conflict: u64,
    audit: VecDeque<Audit>,
    released: Vec<u64>,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(limits: Limits, sinks: Vec<SinkDef>) -> Result<Self, SinksError> {
        let found = sinks.iter().filter(|sink| sink.authoritative).count();
        if found != 1 {
            return Err(SinksError::Authoritative { found });
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = sinks.iter().find(|sink| !names.insert(sink.id.clone())) {
            return Err(SinksError::Twice { sink: twice.id.clone() });
        }
        let mut sinks: Vec<Sink> = sinks.into_iter().map(Sink::new).collect();
        sinks.sort_by_key(|sink| !sink.authoritative);
        Ok(Self {
            limits,
            next: 1,
            entries: BTreeMap::new(),
            kinds: BTreeSet::new(),
            keys: BTreeMap::new(),
            order: Order::default(),
            open: BTreeSet::new(),
            parked: BTreeSet::new(),
            settled: 0,
            given_up: BTreeSet::new(),
            given_up_total: 0,
            terminals: BTreeMap::new(),
            urgent: Vec::new(),
            sinks,
            conflicts: BTreeMap::new(),
            next_conflict: 1,
            audit: VecDeque::new(),
            released: Vec::new(),
        })
    }

    /// Lets these kinds go before others to the authoritative sink, as far as order allows.
    #[must_use]
    pub fn with_urgent(self, urgent: Vec<TxKind>) -> Self {
        Self { urgent, ..self }
    }

    /// Makes a record part of the state; the only way in which lasting state changes.
    pub fn apply(&mut self, record: &Record) {
        match (&record.event, &record.meta) {
            (Event::Held(slot), Some(meta)) => self.hold(slot, meta.clone()),
            (Event::Settled { positions }, _) => self.settle(positions),
            (Event::Quarantined { position, problem }, _) => self.quarantine(*position, problem),
            (Event::Retried { position, forced, by }, _) => self.retried(*position, *forced, by),
            (Event::Repaired { position, by }, Some(meta)) => self.repaired(*position, by, meta),
            (Event::GivenUp { position, forgets, by }, _) => self.gave_up(*position, *forgets, by),
            (Event::Returned { positions }, _) => self.returned(positions),
            (Event::Delivered { sink, positions }, _) => self.delivered(sink, positions),
            (Event::LeftBehind { sink, to, left }, _) => self.left_behind(sink, *to, *left),
            (Event::Conflicted { number, code, at }, Some(meta)) => {
                self.conflicted(*number, *code, *at, meta);
            }
            (Event::Dismissed { number, by }, _) => self.dismissed(*number, by),
            (Event::Held(_) | Event::Repaired { .. } | Event::Conflicted { .. }, None) => {
                debug_assert!(false, "a decoded record has its envelope");
            }
        }
    }

    /// Positions that are no longer needed since the last call.
    pub fn poll_released(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.released)
    }

    /// Entries that the authoritative sink has not taken and that nobody gave up.
    pub fn held(&self) -> usize {
        self.entries.len() - self.settled - self.given_up.len()
    }

    /// Entries that were ever accepted.
    pub fn accepted(&self) -> u64 {
        self.next - 1
    }

    /// When the oldest of them was accepted.
    pub fn oldest(&self) -> Option<Timestamp> {
        let oldest = self.entries.values().find(|entry| entry.phase.is_held());
        oldest.map(|entry| entry.at)
    }

    /// Entries that wait for a person: held, and neither to be offered nor parked.
    pub fn quarantined(&self) -> usize {
        let quarantined = self.held().saturating_sub(self.open.len() + self.parked.len());
        debug_assert_eq!(
            quarantined,
            self.entries.keys().filter(|position| self.is_quarantined(**position)).count(),
            "an open entry is in exactly one of the two sets"
        );
        quarantined
    }

    /// The position of a key that is held, or settled and still needed here.
    pub fn position(&self, key: &TxKey) -> Option<u64> {
        self.keys.get(key).copied()
    }

    /// What order and receipts need to know of an entry, the digest that the till knows, and when it was accepted.
    pub fn entry(&self, position: u64) -> Option<(&Meta, Hash32, Timestamp)> {
        let entry = self.entries.get(&position)?;
        Some((&entry.meta, entry.first.as_deref().copied().unwrap_or(entry.meta.digest), entry.at))
    }

    /// What a neighbour said of an entry that is passed on for it.
    pub fn guest(&self, position: u64) -> Option<&Receipt> {
        self.entries.get(&position)?.guest.as_deref()
    }

    /// Whether it is held and this box's own.
    pub fn is_own(&self, position: u64) -> bool {
        let entry = self.entries.get(&position);
        entry.is_some_and(|entry| entry.phase.is_held() && entry.guest.is_none())
    }

    /// Entries that are passed on for neighbours.
    pub fn guests(&self) -> usize {
        self.entries.values().filter(|entry| entry.guest.is_some() && entry.phase.is_held()).count()
    }

    /// All positions, ascending.
    pub fn positions(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.keys().copied()
    }

    fn is_quarantined(&self, position: u64) -> bool {
        let entry = self.entries.get(&position);
        entry.is_some_and(|entry| matches!(entry.phase, Phase::Quarantined(_)))
    }

    fn hold(&mut self, slot: &Slot, mut meta: Meta) {
        let position = slot.position;
        self.unlink(position);
        self.share_names(&mut meta);
        let elsewhere = slot.adopted || slot.guest.is_some();
        let is_new_number = self.see_number(&meta, position, elsewhere);
        let phase = match (&slot.problem, slot.settled) {
            (_, true) => Phase::Settled,
            (Some(problem), false) if slot.given_up => Phase::GivenUp(Box::new(problem.clone())),
            (Some(problem), false) => Phase::Quarantined(Box::new(problem.clone())),
            (None, false) => Phase::Open,
        };
        self.next = self.next.max(position + 1);
        self.keys.insert(meta.key, position);
        match phase {
            Phase::Settled => {
                self.settled += 1;
                self.forget_held_number(&meta, position);
            }
            Phase::GivenUp(_) => {
                self.given_up.insert(position);
                self.forget_held_number(&meta, position);
            }
            Phase::Quarantined(_) => self.order.insert(position, slot.rank, &meta),
            Phase::Open => {
                self.order.insert(position, slot.rank, &meta);
                self.open.insert(position);
            }
        }
        let entry = Entry {
            meta,
            at: slot.at,
            rank: slot.rank,
            phase,
            forced: slot.forced,
            first: slot.first.map(Box::new),
            is_new_number,
            attempts: 0,
            not_before: None,
            missing_since: None,
            adopted: slot.adopted,
            guest: slot.guest.clone(),
        };
        self.entries.insert(position, Box::new(entry));
        self.unpark();
        self.release_if_done(position);
    }

    /// Names that many entries have are kept once.
    fn share_names(&mut self, meta: &mut Meta) {
        if let Some((known, _)) = self.terminals.get_key_value(&meta.terminal) {
            meta.terminal = known.clone();
        }
        match self.kinds.get(&meta.kind) {
            Some(known) => meta.kind = known.clone(),
            None if self.kinds.len() < KINDS_SHARED_MAX => {
                self.kinds.insert(meta.kind.clone());
            }
            None => {}
        }
    }

    /// Takes an entry out of every list.
    fn unlink(&mut self, position: u64) -> Option<Box<Entry>> {
        let entry = self.entries.remove(&position)?;
        self.keys.remove(&entry.meta.key);
        self.given_up.remove(&position);
        self.order.remove(position, entry.rank, &entry.meta);
        self.open.remove(&position);
        self.parked.remove(&position);
        self.forget_held_number(&entry.meta, position);
        if entry.phase == Phase::Settled {
            self.settled -= 1;
        }
        Some(entry)
    }

    fn settle(&mut self, positions: &[u64]) {
        for position in positions {
            let Some(entry) = self.entries.get_mut(position) else { continue };
            if entry.phase == Phase::Settled {
                continue;
            }
            entry.phase = Phase::Settled;
            self.settled += 1;
            self.given_up_total -= u64::from(self.given_up.remove(position));
            let (rank, meta) = (entry.rank, entry.meta.clone());
            self.stop_ordering(*position, rank, &meta);
            self.release_if_done(*position);
        }
        self.unpark();
    }

    /// What waited for this entry may go on.
    fn stop_ordering(&mut self, position: u64, rank: u64, meta: &Meta) {
        self.order.remove(position, rank, meta);
        self.open.remove(&position);
        self.parked.remove(&position);
        self.forget_held_number(meta, position);
        for waiting in self.order.waiting_for(meta) {
            if let Some(entry) = self.entries.get_mut(&waiting) {
                entry.not_before = None;
            }
        }
    }

    fn quarantine(&mut self, position: u64, problem: &Problem) {
        let Some(entry) = self.entries.get_mut(&position) else { return };
        if entry.phase.is_held() {
            entry.phase = Phase::Quarantined(Box::new(problem.clone()));
            self.open.remove(&position);
            self.parked.remove(&position);
        }
    }

    fn release_if_done(&mut self, position: u64) {
        let settled = self.entries.get(&position).is_some_and(|e| e.phase == Phase::Settled);
        if settled && !self.sinks.iter().any(|sink| sink.needs(position)) {
            self.unlink(position);
            self.released.push(position);
        }
    }

    fn unpark(&mut self) {
        self.open.append(&mut self.parked);
    }
}
