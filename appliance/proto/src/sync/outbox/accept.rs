//! Taking envelopes in.

use super::record::{Event, Meta, Record, Slot};
use super::{Outbox, limits};
use crate::ids::Hash32;
use crate::problem::Code;
use crate::ticket::Receipt;
use crate::time::Timestamp;

/// What to do with an envelope that was handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Write and apply this, then answer.
    New {
        /// Where it will be.
        position: u64,
        /// What to write.
        record: Record,
    },
    /// It is here already: the first answer again.
    Again {
        /// Where it is.
        position: u64,
        /// When it was accepted.
        at: Timestamp,
        /// The digest that the till knows.
        digest: Hash32,
    },
    /// It is passed on from here for a neighbour, and is this box's own from now on: write and apply this, then give
    /// the first answer again.
    Claimed {
        /// Where it is.
        position: u64,
        /// When it came here first.
        at: Timestamp,
        /// The digest that the till knows.
        digest: Hash32,
        /// What to write.
        record: Record,
        /// The neighbour's word, for [`Outbox::disclaim`].
        guest: Box<Receipt>,
    },
    /// It contradicts what is here.
    Conflict {
        /// What it contradicts.
        code: Code,
        /// To be written and applied, if it is kept.
        record: Option<Record>,
    },
    /// No room for more.
    Full {
        /// How many are held.
        held: usize,
    },
}

impl Outbox {
    /// Decides about an envelope; nothing changes until the record is applied.
    pub fn admit(&self, meta: &Meta, at: Timestamp) -> Admission {
        self.admit_as(meta, None, at)
    }

    /// Decides about an envelope that a neighbour has accepted and wants to have passed on.
    ///
    /// Its neighbour has seen to the order of numbers; here only some of them come by.
    pub fn admit_guest(&self, meta: &Meta, receipt: Receipt, at: Timestamp) -> Admission {
        self.admit_as(meta, Some(Box::new(receipt)), at)
    }

    /// Decides about an envelope that a box of this name had accepted before this one took its place.
    ///
    /// What came before and after it may be settled already, so its number says nothing about gaps.
    pub fn admit_adopted(&self, meta: &Meta, at: Timestamp) -> Admission {
        match self.admit(meta, at) {
            Admission::New { position, mut record } => {
                if let Event::Held(slot) = &mut record.event {
                    (slot.forced, slot.adopted) = (true, true);
                }
                Admission::New { position, record }
            }
            other @ (Admission::Again { .. }
            | Admission::Claimed { .. }
            | Admission::Conflict { .. }
            | Admission::Full { .. }) => other,
        }
    }

    fn admit_as(&self, meta: &Meta, guest: Option<Box<Receipt>>, at: Timestamp) -> Admission {
        if let Some(position) = self.keys.get(&meta.key)
            && let Some((_, digest, first_at)) = self.entry(*position)
        {
            if digest == meta.digest {
                let claimed = if guest.is_none() { self.claim(*position) } else { None };
                let (position, at) = (*position, first_at);
                return match claimed {
                    Some((record, guest)) => {
                        Admission::Claimed { position, at, digest, record, guest }
                    }
                    None => Admission::Again { position, at, digest },
                };
            }
            return self.contradict(meta, Code::KeyConflict, at);
        }
        let held = self.epoch(meta).and_then(|epoch| epoch.held.get(&meta.sequence));
        if held.is_some() {
            return self.contradict(meta, Code::SequenceConflict, at);
        }
        if self.entries.len() >= self.limits.held_max {
            return Admission::Full { held: self.entries.len() };
        }
        let position = self.next;
        let rank = self.rank_for(position, meta);
        let slot = Slot {
            position,
            rank,
            at,
            first: None,
            problem: None,
            forced: guest.is_some(),
            given_up: false,
            settled: false,
            adopted: false,
            guest,
        };
        let record = Record { event: Event::Held(slot), meta: Some(meta.clone()) };
        Admission::New { position, record }
    }

    /// Makes a neighbour's entry this box's own: whoever gets its receipt here relies on it, whatever becomes of the
    /// neighbour; so what is refused then waits here for a person.
    fn claim(&self, position: u64) -> Option<(Record, Box<Receipt>)> {
        let entry = self.entries.get(&position).filter(|entry| entry.phase.is_held())?;
        let guest = entry.guest.clone()?;
        let Some(Event::Held(mut slot)) = self.carry(position) else { return None };
        (slot.guest, slot.adopted) = (None, true);
        Some((Record { event: Event::Held(slot), meta: Some(entry.meta.clone()) }, guest))
    }

    /// Undoes [`Outbox::apply`] of a claim that could not be written.
    pub fn disclaim(&mut self, position: u64, guest: Box<Receipt>) {
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.guest = Some(guest);
            entry.adopted = false;
        }
    }

    /// The envelope contradicts another one: keep it for a person, unless it is kept already.
    pub fn contradict(&self, meta: &Meta, code: Code, at: Timestamp) -> Admission {
        let known = |conflict: &super::Conflict| {
            conflict.meta.key == meta.key && conflict.meta.digest == meta.digest
        };
        let is_full = self.conflicts.len() >= limits::CONFLICTS_MAX;
        if is_full || self.conflicts.values().any(known) {
            return Admission::Conflict { code, record: None };
        }
        let event = Event::Conflicted { number: self.next_conflict, code, at };
        let record = Some(Record { event, meta: Some(meta.clone()) });
        Admission::Conflict { code, record }
    }

    /// Undoes [`Outbox::apply`] of an accepted or contradicting envelope that could not be written.
    ///
    /// Several are withdrawn in reverse order.
    pub fn withdraw(&mut self, record: &Record) {
        match &record.event {
            Event::Held(slot) => {
                let Some(entry) = self.unlink(slot.position) else { return };
                if entry.is_new_number {
                    self.forget_number(&entry.meta);
                }
                self.next = slot.position;
            }
            Event::Conflicted { number, .. } => {
                self.conflicts.remove(number);
                self.next_conflict = *number;
            }
            Event::Settled { .. }
            | Event::Quarantined { .. }
            | Event::Retried { .. }
            | Event::Repaired { .. }
            | Event::GivenUp { .. }
            | Event::Returned { .. }
            | Event::Delivered { .. }
            | Event::LeftBehind { .. }
            | Event::Dismissed { .. } => {}
        }
    }
}
