//! The main server's side of settling, as small as it can be, and what happens if it is built wrong.
//!
//! Every append is checked at once: nothing twice, lanes in order, dependencies first, a cash-up behind its
//! session. A violation is returned as text and ends the run.

use std::collections::{BTreeMap, BTreeSet};

use storebox_proto::ids::{Hash32, LaneId, NodeId, TxKey};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::envelope::CASH_UP;
use storebox_proto::ticket::settle::KeyedAnswer;
use storebox_proto::ticket::{Answer, Envelope, Grade, Receipt};
use storebox_proto::time::Timestamp;

use crate::defects::Defect;
use crate::tills::POISON;

/// The ledger; all of it is durable.
pub(crate) struct Ledger {
    node: NodeId,
    defect: Defect,
    pub(crate) entries: Vec<Envelope>,
    places: BTreeMap<TxKey, (usize, Hash32)>,
    lanes: BTreeMap<LaneId, u64>,
    closed: BTreeSet<String>,
    /// Keys that were refused and have not been taken since.
    refused: BTreeSet<TxKey>,
    taken: u64,
}

impl Ledger {
    pub(crate) fn new(defect: Defect) -> Self {
        let (places, lanes, closed) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let node = "main".parse().unwrap();
        Self {
            node,
            defect,
            entries: vec![],
            places,
            lanes,
            closed,
            refused: BTreeSet::new(),
            taken: 0,
        }
    }

    pub(crate) fn holds(&self, key: &TxKey) -> bool {
        self.places.contains_key(key)
    }

    /// The receipts of these keys, up to the first that is not known.
    pub(crate) fn known(&self, keys: &[TxKey]) -> Vec<Receipt> {
        keys.iter()
            .map_while(|key| {
                let (place, digest) = self.places.get(key)?;
                Some(self.receipt(*key, *digest, *place))
            })
            .collect()
    }

    /// Settles a batch in order, or says which invariant was broken.
    pub(crate) fn settle(
        &mut self,
        batch: &[Envelope],
        origins: &[usize],
    ) -> Result<Vec<KeyedAnswer>, String> {
        let mut stopped: Vec<&Envelope> = Vec::new();
        let mut answers = Vec::new();
        for (envelope, origin) in batch.iter().zip(origins) {
            let held_back = self.defect != Defect::NoStop
                && stopped.iter().any(|before| envelope.waits_for(before));
            let answer = if held_back {
                later("something before it in the batch was not taken")
            } else {
                self.settle_one(envelope, *origin)?
            };
            if !matches!(answer, Answer::Taken { .. }) {
                stopped.push(envelope);
            }
            answers.push(KeyedAnswer { key: envelope.key, answer });
        }
        for answer in &answers {
            match &answer.answer {
                Answer::Taken { .. } => {
                    self.refused.remove(&answer.key);
                }
                Answer::Refused { .. } if !self.places.contains_key(&answer.key) => {
                    self.refused.insert(answer.key);
                }
                Answer::Refused { .. } | Answer::Later { .. } => {}
            }
        }
        Ok(answers)
    }

    fn settle_one(&mut self, envelope: &Envelope, origin: usize) -> Result<Answer, String> {
        let digest = envelope.digest();
        if let Some((place, known)) = self.places.get(&envelope.key).copied()
            && self.defect != Defect::NoDedupe
        {
            if known != digest {
                return Ok(refuse(Code::KeyConflict));
            }
            return Ok(Answer::Taken { receipt: self.receipt(envelope.key, digest, place) });
        }
        if envelope.depends_on.iter().any(|key| self.refused.contains(key)) {
            return Ok(refuse(Code::DependencyRefused));
        }
        if envelope.payload.contains_key(POISON) {
            return Ok(refuse(Code::TransactionRefused));
        }
        if !envelope.depends_on.iter().all(|key| self.places.contains_key(key)) {
            return Ok(later("a dependency is not here yet"));
        }
        self.taken += 1;
        let place = self.entries.len();
        if self.defect != Defect::Forgetful || !self.taken.is_multiple_of(7) {
            self.append(envelope, digest, origin)?;
        }
        Ok(Answer::Taken { receipt: self.receipt(envelope.key, digest, place) })
    }

    fn append(&mut self, envelope: &Envelope, digest: Hash32, origin: usize) -> Result<(), String> {
        let key = envelope.key;
        if !envelope.terminal.as_str().starts_with(&format!("store-{origin}-")) {
            return Err(format!("{key} was settled in the name of another box, store {origin}"));
        }
        if self.places.insert(key, (self.entries.len(), digest)).is_some() {
            return Err(format!("{key} was settled twice"));
        }
        let order = (u64::from(envelope.epoch) << 32) + envelope.sequence;
        let last = self.lanes.insert(envelope.lane.clone(), order);
        if last.is_some_and(|last| last >= order) {
            return Err(format!("{key} came out of order in lane {}", envelope.lane));
        }
        if let Some(missing) = envelope.depends_on.iter().find(|key| !self.places.contains_key(key))
        {
            return Err(format!("{key} came before {missing}, which it depends on"));
        }
        if let Some(session) = &envelope.session {
            if self.closed.contains(session) {
                return Err(format!("{key} came behind the cash-up of session {session}"));
            }
            if envelope.kind.as_str() == CASH_UP {
                self.closed.insert(session.clone());
            }
        }
        self.entries.push(envelope.clone());
        Ok(())
    }

    fn receipt(&self, key: TxKey, digest: Hash32, place: usize) -> Receipt {
        let at = Timestamp::from_unix_ms(0);
        let position = u64::try_from(place).unwrap();
        let (node, clock, batch) = (self.node.clone(), None, None);
        let (grade, signature) = (Grade::Settled, String::new());
        Receipt { key, digest, grade, node, position, at, clock, batch, signature }
    }
}

fn later(why: &str) -> Answer {
    Answer::Later { problem: Problem::new(Code::DependencyMissing, why) }
}

fn refuse(code: Code) -> Answer {
    Answer::Refused { problem: Problem::new(code, "refused by the simulated main server") }
}
