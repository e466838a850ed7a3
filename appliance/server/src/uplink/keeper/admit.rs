//! Taking envelopes into the group that is being written.
//!
//! Every answer of a group that says that something is held waits for the group, also the one that only repeats it: a
//! till that sends the same sale twice may have both in one group, and no receipt may outlive what could not be written.

use std::collections::BTreeSet;

use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{Admission, Event, Meta, Record};
use tokio::sync::oneshot;

use super::{Keeper, Pending, RECORD, read_envelope};
use crate::journal::Group;
use crate::uplink::command::{Accept, Taken, Told};
use crate::uplink::refusals::{conflict, full};
use crate::uplink::settled::Settled;

impl Keeper {
    pub(super) fn accept(&mut self, accept: Accept, group: &mut Group) {
        let Accept { meta, bytes, at, document, guest, adopted, answer } = accept;
        let key = meta.key;
        if guest.is_some()
            && let Some((digest, problem)) = self.returned.get(&key)
            && *digest == meta.digest
        {
            let problem = problem.clone();
            self.returned.remove(&key);
            return self.answer_later(answer, Err(problem));
        }
        let admission = match self.settled_before(&meta) {
            Some(Ok(taken)) => {
                return self.answer_later(answer, Ok(taken));
            }
            Some(Err(())) => self.outbox.contradict(&meta, Code::KeyConflict, at),
            None => match guest {
                Some(receipt) => self.outbox.admit_guest(&meta, *receipt, at),
                None if adopted => self.outbox.admit_adopted(&meta, at),
                None => self.outbox.admit(&meta, at),
            },
        };
        let (result, record, claimed) = match admission {
            Admission::New { position, record } => {
                (Ok(Taken { key, digest: meta.digest, position, at }), Some(record), None)
            }
            Admission::Again { position, at, digest } => {
                (Ok(Taken { key, digest, position, at }), None, None)
            }
            Admission::Claimed { position, at, digest, record, guest } => {
                (Ok(Taken { key, digest, position, at }), Some(record), Some(guest))
            }
            Admission::Conflict { code, record } => (Err(conflict(code, &key)), record, None),
            Admission::Full { held } => (Err(full(held)), None, None),
        };
        let content = match &record {
            Some(record) if claimed.is_some() => self.content(record, &meta, bytes),
            Some(_) | None => Some(bytes),
        };
        let Some(bytes) = content else {
            let detail = format!("transaction {key} is here and cannot be read from the disk");
            return self.answer_later(answer, Err(Problem::new(Code::StorageFailed, detail)));
        };
        let is_new = result.is_ok() && record.is_some();
        let written = record.map(|record| {
            let index = group.push(RECORD, &[&record.event.encode_head(), &bytes]);
            self.outbox.apply(&record);
            (index, record)
        });
        let document = document.filter(|_| is_new);
        self.pending.push(Pending::Accept { answer, result, written, claimed, document });
    }

    /// What is to be written again with an entry: what the till hands over, unless a person has repaired it since.
    fn content(&self, record: &Record, meta: &Meta, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let Event::Held(slot) = &record.event else { return Some(bytes) };
        if slot.first.is_none() && record.meta.as_ref().is_some_and(|m| m.digest == meta.digest) {
            return Some(bytes);
        }
        let location = self.locations.get(&slot.position)?;
        read_envelope(&self.reader, location).map(|envelope| envelope.to_vec())
    }

    fn answer_later(
        &mut self,
        answer: oneshot::Sender<Result<Told, Problem>>,
        result: Result<Taken, Problem>,
    ) {
        let (written, claimed, document) = (None, None, None);
        self.pending.push(Pending::Accept { answer, result, written, claimed, document });
    }

    /// What was settled under this key and is no longer held: the same, or something else.
    fn settled_before(&self, meta: &Meta) -> Option<Result<Taken, ()>> {
        if self.outbox.position(&meta.key).is_some() {
            return None;
        }
        let Settled { digest, position, at, .. } = self.settled.get(&meta.key)?;
        let same = digest == meta.digest;
        Some(if same { Ok(Taken { key: meta.key, digest, position, at }) } else { Err(()) })
    }
}

impl Pending {
    /// What it says to whom, if it is taken.
    pub(super) fn taken(&self) -> Option<Taken> {
        match self {
            Self::Accept { result: Ok(taken), .. } => Some(*taken),
            Self::Accept { result: Err(_), .. }
            | Self::Heard { .. }
            | Self::Act { .. }
            | Self::Carried { .. }
            | Self::CarriedConflict { .. } => None,
        }
    }
}

/// Positions that stand on the group: who was told in it that one of them is here already, was told too early.
pub(super) fn unwritten(pending: &[Pending]) -> BTreeSet<u64> {
    let written = pending.iter().filter_map(|pending| match pending {
        Pending::Accept { result: Ok(taken), written: Some(_), .. } => Some(taken.position),
        Pending::Accept { .. }
        | Pending::Heard { .. }
        | Pending::Act { .. }
        | Pending::Carried { .. }
        | Pending::CarriedConflict { .. } => None,
    });
    written.collect()
}
