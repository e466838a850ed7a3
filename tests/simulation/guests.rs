//! What a box's outbox has to do with its neighbours: copies, guests, and what it takes back.

use std::collections::BTreeMap;

use storebox_proto::ids::TxKey;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{Admission, Meta};
use storebox_proto::ticket::{Answer, Envelope, Grade, Receipt};
use storebox_proto::time::Timestamp;

use crate::defects::Defect;
use crate::sales::Sales;

impl Sales {
    /// What of these this box holds itself, as it was sold.
    pub(crate) fn own_open(&self, keys: &[TxKey]) -> Vec<Envelope> {
        let all = self.all_open();
        keys.iter().filter_map(|key| all.get(key).cloned()).collect()
    }

    /// All that this box holds on its disk for its own tills.
    pub(crate) fn all_open(&self) -> BTreeMap<TxKey, Envelope> {
        let own = self.outbox.positions().filter(|position| self.outbox.is_own(*position));
        let own = own.filter_map(|position| self.envelopes.get(&position));
        let own = own.filter(|envelope| self.holds(&envelope.key));
        own.map(|envelope| (envelope.key, envelope.clone())).collect()
    }

    /// Whether this box holds it or knows that it is settled.
    pub(crate) fn knows(&self, key: &TxKey) -> bool {
        self.outbox.position(key).is_some() || self.settled.contains_key(key)
    }

    pub(crate) fn hush(&mut self, hushed: bool) {
        self.hushed = hushed;
    }

    /// Takes over what a box of this name had accepted.
    pub(crate) fn adopt(&mut self, envelope: Envelope, clock: Timestamp) {
        let meta = Meta::of(&envelope, &envelope.canonical());
        if let Admission::New { position, record } = self.outbox.admit_adopted(&meta, clock) {
            self.envelopes.insert(position, envelope);
            self.write(&record);
        }
    }

    /// Takes what a neighbour has accepted; nothing: it is answered for when it is flushed.
    pub(crate) fn take_guest(
        &mut self,
        envelope: &Envelope,
        origin: usize,
        number: usize,
        clock: Timestamp,
    ) -> Option<Answer> {
        let (key, digest) = (envelope.key, envelope.digest());
        if let Some((_, problem)) = self.returned.get(&key).filter(|(of, _)| *of == digest) {
            return Some(Answer::Refused { problem: problem.clone() });
        }
        if let (None, Some(known)) = (self.outbox.position(&key), self.settled.get(&key)) {
            return Some(match *known == digest {
                true => Answer::Taken { receipt: self.receipt(key) },
                false => Answer::Refused { problem: Problem::new(Code::KeyConflict, "settled") },
            });
        }
        let meta = Meta::of(envelope, &envelope.canonical());
        let node = format!("store-{origin}").parse().unwrap();
        let (at, clock_word, batch, signature) = (clock, None, None, String::new());
        let (grade, position) = (Grade::Held, 0);
        let receipt =
            Receipt { key, digest, grade, node, position, at, clock: clock_word, batch, signature };
        let admission = match origin == number {
            true => self.outbox.admit(&meta, clock),
            false => self.outbox.admit_guest(&meta, receipt, clock),
        };
        match admission {
            Admission::New { position, record } => {
                self.envelopes.insert(position, envelope.clone());
                self.write(&record);
                None
            }
            Admission::Again { .. } => None,
            Admission::Claimed { record, .. } => {
                self.write(&record);
                None
            }
            Admission::Conflict { code, .. } => {
                Some(Answer::Refused { problem: Problem::new(code, "contradicts") })
            }
            Admission::Full { held } => panic!("{held} are held, the simulation is too long"),
        }
    }

    /// Head office's receipts that came this way, up to the first that did not.
    pub(crate) fn receipts(&self, keys: &[TxKey]) -> Vec<Receipt> {
        let known = keys.iter().take_while(|key| self.settled.contains_key(key));
        known.map(|key| self.receipt(*key)).collect()
    }

    /// Who accepted an entry: this box, or the neighbour whose receipt lies with it.
    pub(crate) fn origin(&self, position: u64) -> usize {
        let guest = self.outbox.guest(position).filter(|_| self.defect != Defect::ClaimsGuests);
        let origin =
            guest.and_then(|receipt| receipt.node.as_str().strip_prefix("store-")?.parse().ok());
        origin.unwrap_or(self.number)
    }

    /// All of it is gone but what others have got.
    pub(crate) fn burn(&mut self) {
        let archived = std::mem::take(&mut self.archived);
        *self = Self::start(self.number, self.defect);
        self.archived = archived;
        self.changed = true;
    }

    fn receipt(&self, key: TxKey) -> Receipt {
        let (node, at) = ("main".parse().unwrap(), Timestamp::from_unix_ms(0));
        let (digest, signature) = (self.settled[&key], String::new());
        Receipt {
            key,
            digest,
            grade: Grade::Settled,
            node,
            position: 0,
            at,
            clock: None,
            batch: None,
            signature,
        }
    }
}
