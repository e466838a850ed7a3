//! What a person sees and does.

use serde::Serialize;

use super::order::Blocker;
use super::record::{By, Event, Meta, Record, Slot};
use super::{Outbox, Phase, limits};
use crate::ids::{Hash32, LaneId, TerminalId, TxKey, TxKind};
use crate::problem::{Code, Problem};
use crate::time::Timestamp;

/// An envelope that contradicts another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Its number.
    pub number: u64,
    /// What it contradicts.
    pub code: Code,
    /// When it came.
    pub at: Timestamp,
    /// The envelope's outline.
    pub meta: Meta,
}

/// A person's act on one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Who and when.
    #[serde(flatten)]
    pub by: By,
    /// `retry`, `force`, `repair`, `drop` or `dismiss`.
    pub action: String,
    /// The transaction.
    pub key: TxKey,
    /// Its content before the act.
    pub digest: Hash32,
    /// Its content after a repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired: Option<Hash32>,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// On its way.
    Open,
    /// Waits for something that is not taken yet.
    Waiting,
    /// Refused; waits for a person.
    Quarantined,
    /// A person decided that it will never be settled; kept to be read.
    GivenUp,
    /// Taken; kept for a best-effort sink.
    Settled,
}

/// An entry as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its place.
    pub position: u64,
    /// Its key.
    pub key: TxKey,
    /// What it is.
    pub kind: TxKind,
    /// Who sold it.
    pub terminal: TerminalId,
    /// The terminal's epoch.
    pub epoch: u32,
    /// The terminal's number.
    pub sequence: u64,
    /// Its lane.
    pub lane: LaneId,
    /// When it was accepted.
    pub at: Timestamp,
    /// How far it is.
    pub state: State,
    /// Attempts that did not succeed.
    pub attempts: u32,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<TxKey>,
    /// Whether it waits for a missing number of its terminal.
    pub waits_for_number: bool,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Why an act is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// Nothing with this key is held.
    #[error("transaction {0} is not in the outbox")]
    Unknown(TxKey),
    /// No such conflict.
    #[error("conflict {0} is not known")]
    ConflictUnknown(u64),
    /// It is on its way, taken already or given up.
    #[error("transaction {0} is not in quarantine")]
    NotQuarantined(TxKey),
    /// Only the payload may be repaired.
    #[error("transaction {0} may only be given another payload")]
    NotOnlyPayload(TxKey),
}

impl Outbox {
    /// An entry as a person sees it.
    pub fn summary(&self, position: u64) -> Option<Summary> {
        let entry = self.entries.get(&position)?;
        let meta = &entry.meta;
        let blocker = match entry.phase {
            Phase::Open => self.blocker(position, &std::collections::BTreeSet::new()),
            Phase::Quarantined(_) | Phase::GivenUp(_) | Phase::Settled => None,
        };
        let waits_for = match blocker {
            Some(Blocker::Entry(other)) => self.entries.get(&other).map(|other| other.meta.key),
            Some(Blocker::Number) | None => None,
        };
        let (state, problem) = match &entry.phase {
            Phase::Open if blocker.is_some() => (State::Waiting, None),
            Phase::Open => (State::Open, None),
            Phase::Quarantined(problem) => (State::Quarantined, Some(Problem::clone(problem))),
            Phase::GivenUp(problem) => (State::GivenUp, Some(Problem::clone(problem))),
            Phase::Settled => (State::Settled, None),
        };
        Some(Summary {
            position,
            key: meta.key,
            kind: meta.kind.clone(),
            terminal: meta.terminal.clone(),
            epoch: meta.epoch,
            sequence: meta.sequence,
            lane: meta.lane.clone(),
            at: entry.at,
            state,
            attempts: entry.attempts,
            waits_for,
            waits_for_number: blocker == Some(Blocker::Number),
            problem,
        })
    }

    /// Entries behind this position, in order, at most so many; `quarantined` leaves the others out.
    pub fn list(&self, after: u64, quarantined: bool, count_max: usize) -> Vec<Summary> {
        let positions =
            self.entries.range(after.saturating_add(1)..).map(|(position, _)| *position);
        let wanted = positions.filter(|position| !quarantined || self.is_quarantined(*position));
        wanted.take(count_max).filter_map(|position| self.summary(position)).collect()
    }

    /// Envelopes that contradict others.
    pub fn conflicts(&self) -> impl Iterator<Item = &Conflict> {
        self.conflicts.values()
    }

    /// What persons did, the oldest first.
    pub fn audit(&self) -> impl Iterator<Item = &Audit> {
        self.audit.iter()
    }

    /// Offer it again: out of quarantine, or without waiting for missing numbers.
    pub fn retry(&self, key: &TxKey, by: By) -> Result<Record, OperateError> {
        let (position, phase) = self.phase_of(key)?;
        let forced = match phase {
            Phase::Quarantined(_) => false,
            Phase::Open => true,
            Phase::GivenUp(_) | Phase::Settled => {
                return Err(OperateError::NotQuarantined(*key));
            }
        };
        Ok(Record::plain(Event::Retried { position, forced, by }))
    }

    /// Give it another payload and offer it again.
    pub fn repair(&self, repaired: Meta, by: By) -> Result<Record, OperateError> {
        let key = repaired.key;
        let (position, phase) = self.phase_of(&key)?;
        if !matches!(phase, Phase::Quarantined(_)) {
            return Err(OperateError::NotQuarantined(key));
        }
        let Some((meta, _, _)) = self.entry(position) else {
            return Err(OperateError::Unknown(key));
        };
        let mut same = repaired.clone();
        (same.digest, same.bytes) = (meta.digest, meta.bytes);
        if same != *meta {
            return Err(OperateError::NotOnlyPayload(key));
        }
        Ok(Record { event: Event::Repaired { position, by }, meta: Some(repaired) })
    }

    /// A person has dealt with a conflict.
    pub fn dismiss(&self, number: u64, by: By) -> Result<Record, OperateError> {
        if !self.conflicts.contains_key(&number) {
            return Err(OperateError::ConflictUnknown(number));
        }
        Ok(Record::plain(Event::Dismissed { number, by }))
    }

    /// What to write once more for this entry, so that its old record may go.
    pub fn carry(&self, position: u64) -> Option<Event> {
        let entry = self.entries.get(&position)?;
        let problem = match &entry.phase {
            Phase::Open | Phase::Settled => None,
            Phase::Quarantined(problem) | Phase::GivenUp(problem) => Some(Problem::clone(problem)),
        };
        Some(Event::Held(Slot {
            position,
            rank: entry.rank,
            at: entry.at,
            first: entry.first.as_deref().copied(),
            problem,
            forced: entry.forced,
            given_up: matches!(entry.phase, Phase::GivenUp(_)),
            settled: entry.phase == Phase::Settled,
            adopted: entry.adopted,
            guest: entry.guest.clone(),
        }))
    }

    /// What to write once more for this conflict, so that its old record may go.
    pub fn carry_conflict(&self, number: u64) -> Option<Event> {
        let Conflict { code, at, .. } = self.conflicts.get(&number)?;
        Some(Event::Conflicted { number, code: *code, at: *at })
    }

    pub(super) fn phase_of(&self, key: &TxKey) -> Result<(u64, &Phase), OperateError> {
        let position = self.keys.get(key).ok_or(OperateError::Unknown(*key))?;
        let entry = self.entries.get(position).ok_or(OperateError::Unknown(*key))?;
        Ok((*position, &entry.phase))
    }

    pub(super) fn retried(&mut self, position: u64, forced: bool, by: &By) {
        let Some(entry) = self.entries.get_mut(&position) else { return };
        if !entry.phase.is_held() {
            return;
        }
        entry.phase = Phase::Open;
        entry.forced |= forced;
        entry.not_before = None;
        entry.missing_since = None;
        let action = if forced { "force" } else { "retry" };
        let (key, digest) = (entry.meta.key, entry.meta.digest);
        self.open.insert(position);
        self.unpark();
        self.remember(by, action, key, digest, None);
    }

    pub(super) fn repaired(&mut self, position: u64, by: &By, meta: &Meta) {
        let Some(entry) = self.entries.get_mut(&position) else { return };
        // It was settled or given up in the same moment.
        if !matches!(entry.phase, Phase::Quarantined(_)) {
            return;
        }
        let digest = entry.meta.digest;
        entry.first.get_or_insert_with(|| Box::new(digest));
        entry.meta.digest = meta.digest;
        entry.meta.bytes = meta.bytes;
        entry.phase = Phase::Open;
        entry.not_before = None;
        entry.missing_since = None;
        self.open.insert(position);
        self.unpark();
        self.sinks.iter_mut().for_each(|sink| sink.deliver_again(position));
        self.remember(by, "repair", meta.key, digest, Some(meta.digest));
    }

    pub(super) fn conflicted(&mut self, number: u64, code: Code, at: Timestamp, meta: &Meta) {
        let conflict = Conflict { number, code, at, meta: meta.clone() };
        self.conflicts.insert(number, conflict);
        self.next_conflict = self.next_conflict.max(number + 1);
    }

    pub(super) fn dismissed(&mut self, number: u64, by: &By) {
        if let Some(conflict) = self.conflicts.remove(&number) {
            self.remember(by, "dismiss", conflict.meta.key, conflict.meta.digest, None);
        }
    }

    pub(super) fn remember(
        &mut self,
        by: &By,
        action: &str,
        key: TxKey,
        digest: Hash32,
        repaired: Option<Hash32>,
    ) {
        if self.audit.len() >= limits::AUDIT_MAX {
            self.audit.pop_front();
        }
        let (by, action) = (by.clone(), action.to_owned());
        self.audit.push_back(Audit { by, action, key, digest, repaired });
    }
}
