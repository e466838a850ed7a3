//! Giving an entry up: what the authoritative sink will never take, whatever a person does.
//!
//! Also what goes to a person although no sink has refused it: what depends on something that nobody brings, and what
//! this box cannot read any more.
//!
//! It keeps its place and its content, so that it can be read and a till that sends it again is told the same as
//! before; but it stops nothing any more and counts as neither held nor settled.
//! Only so many are kept; which one is forgotten for a new one is written down with it, so that every restart
//! forgets the same.

use std::time::Instant;

use super::operate::OperateError;
use super::record::{By, Event, Record};
use super::{Outbox, Phase, limits};
use crate::ids::{SinkId, TxKey};
use crate::problem::{Code, Problem};

impl Outbox {
    /// A person decides that a refused entry will never be settled.
    pub fn give_up(&self, key: &TxKey, by: By) -> Result<Record, OperateError> {
        let (position, phase) = self.phase_of(key)?;
        if !matches!(phase, Phase::Quarantined(_)) {
            return Err(OperateError::NotQuarantined(*key));
        }
        let is_full = self.given_up.len() >= limits::GIVEN_UP_MAX;
        let forgets = self.given_up.first().copied().filter(|_| is_full);
        Ok(Record::plain(Event::GivenUp { position, forgets, by }))
    }

    /// Entries that were given up and are still readable, the oldest first.
    pub fn given_up(&self) -> impl Iterator<Item = u64> + '_ {
        self.given_up.iter().copied()
    }

    /// Entries that were ever given up.
    pub fn given_up_total(&self) -> u64 {
        self.given_up_total
    }

    pub(super) fn gave_up(&mut self, position: u64, forgets: Option<u64>, by: &By) {
        let Some(entry) = self.entries.get_mut(&position) else { return };
        let Phase::Quarantined(problem) = entry.phase.clone() else { return };
        entry.phase = Phase::GivenUp(problem);
        let (rank, meta) = (entry.rank, entry.meta.clone());
        self.given_up.insert(position);
        self.given_up_total += 1;
        self.stop_ordering(position, rank, &meta);
        self.unpark();
        self.remember(by, "drop", meta.key, meta.digest, None);
        if let Some(oldest) = forgets.filter(|oldest| self.given_up.contains(oldest)) {
            self.unlink(oldest);
            self.released.push(oldest);
        }
    }

    /// What was passed on for a neighbour was refused: it decides, and nothing here waits for it any more.
    pub(super) fn returned(&mut self, positions: &[u64]) {
        for position in positions {
            // A till has handed it over here in the same moment: now this box has given its word for it.
            if self.is_own(*position) {
                continue;
            }
            let Some(entry) = self.unlink(*position) else { continue };
            self.given_up_total += 1;
            self.stop_ordering(*position, entry.rank, &entry.meta);
            self.released.push(*position);
        }
        self.unpark();
    }

    /// Why an entry whose dependency is missing at the sink need not be offered again.
    pub(super) fn needs_given_up(&self, position: u64) -> Option<Problem> {
        let entry = self.entries.get(&position)?;
        let needed = entry.meta.depends_on.iter().find(|key| {
            self.keys.get(key).is_some_and(|position| self.given_up.contains(position))
        })?;
        let detail = format!("it needs transaction {needed}, which was given up here");
        Some(Problem::new(Code::DependencyRefused, detail))
    }

    /// Whether what it depends on has not arrived at the sink for so long that a person has to look.
    ///
    /// What it needs is not held here, so nothing that this box does will bring it; a neighbour's is for its own box to
    /// judge.
    pub(super) fn waits_in_vain(&mut self, position: u64, now: Instant) -> bool {
        let Some(entry) = self.entries.get(&position) else { return false };
        let mut needed = entry.meta.depends_on.iter().filter_map(|key| self.keys.get(key));
        let waits = entry.guest.is_some()
            || entry.meta.depends_on.is_empty()
            || needed.any(|needed| self.entries.get(needed).is_some_and(|e| e.phase.is_held()))
            || self.before_in_lane(position, entry).is_some();
        let Some(entry) = self.entries.get_mut(&position) else { return false };
        if waits {
            entry.missing_since = None;
            return false;
        }
        let since = *entry.missing_since.get_or_insert(now);
        now.saturating_duration_since(since) >= limits::DEPENDENCY_WAIT_MAX
    }

    /// These cannot be read from this box's own disk; what lasts of it is to be written and applied.
    ///
    /// Nothing of the batch was sent: what is readable is given out again.
    pub fn handle_unreadable(&mut self, sink: &SinkId, positions: &[u64]) -> Vec<Record> {
        let Some(index) = self.sink_index(sink) else { return Vec::new() };
        let sink = &mut self.sinks[index];
        let asked = std::mem::take(&mut sink.in_flight);
        let mut positions: Vec<u64> =
            positions.iter().filter(|p| asked.contains(p)).copied().collect();
        if !sink.authoritative {
            // It goes through them in their order: others are judged when they are the first.
            positions.retain(|position| asked.first() == Some(position));
            if positions.is_empty() {
                return Vec::new();
            }
            sink.refused += positions.len() as u64;
            let sink = sink.id.clone();
            return vec![Record::plain(Event::Delivered { sink, positions })];
        }
        let detail = "its record in this box's journal cannot be read";
        let problem = Problem::new(Code::StorageFailed, detail);
        let quarantined = positions.into_iter().map(|position| {
            Record::plain(Event::Quarantined { position, problem: problem.clone() })
        });
        quarantined.collect()
    }
}
