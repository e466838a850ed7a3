//! Settling: the main server's side of the hop between boxes.
//!
//! One bad envelope is one answer; the others in the batch are not its business, except for those that have to come
//! after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use storebox_proto::ids::NodeId;
use storebox_proto::limits::{BATCH_BYTES_MAX, BATCH_ENVELOPES_MAX, ENVELOPE_BYTES_MAX};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::settle::KeyedAnswer;
use storebox_proto::ticket::{Answer, Envelope, Receipt, SettleAnswer, SettleRequest};

use super::bookkeeper::{Candidate, Outcome};
use super::ledger::Ledger;

/// A rule about payloads: nothing, or why the envelope is refused.
pub type Rule = dyn Fn(&Envelope) -> Result<(), String> + Send + Sync;

/// What a payload has to be like to be settled.
#[derive(Clone, Default)]
pub struct Rules(Option<Arc<Rule>>);

impl Rules {
    /// This rule, beside those that hold for every envelope.
    pub fn new(rule: impl Fn(&Envelope) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(rule)))
    }

    pub(super) fn check(&self, envelope: &Envelope, bytes: usize) -> Result<(), Problem> {
        if bytes > ENVELOPE_BYTES_MAX {
            let detail = format!("transaction is {bytes} bytes, the limit is {ENVELOPE_BYTES_MAX}");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        envelope.check().map_err(|error| Problem::new(Code::FieldInvalid, error.to_string()))?;
        match &self.0 {
            Some(rule) => {
                rule(envelope).map_err(|detail| Problem::new(Code::TransactionRefused, detail))
            }
            None => Ok(()),
        }
    }
}

/// What stands against settling something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It will never be settled as it is.
    Never(Problem),
    /// It may be later.
    NotYet(Problem),
}

/// Gives each candidate to the box whose receipt came with it.
fn attributed(
    batch: Vec<Candidate>,
    origins: &[Receipt],
    sender: &NodeId,
    judge: impl Fn(&Receipt) -> Option<Objection>,
) -> Vec<Candidate> {
    let origins: BTreeMap<_, _> =
        origins.iter().map(|origin| ((origin.key, origin.digest), origin)).collect();
    let give = |candidate: Candidate| match origins.get(&(candidate.envelope.key, candidate.digest))
    {
        Some(origin) if origin.node != *sender => candidate.of(origin.node.clone(), judge(origin)),
        Some(_) | None => candidate,
    };
    batch.into_iter().map(give).collect()
}

impl Ledger {
    /// Settles what an authenticated box sends, with an answer for each envelope in the order of the request.
    ///
    /// What it passes on for a neighbour is settled in the name of that one, unless `judge` objects to its receipt.
    pub async fn receive(
        &self,
        caller: &NodeId,
        request: SettleRequest,
        judge: impl Fn(&Receipt) -> Option<Objection>,
    ) -> Result<SettleAnswer, Problem> {
        let SettleRequest { node, envelopes, origins } = request;
        if node != *caller {
            let detail = format!("box {caller} may not speak for {node}");
            return Err(Problem::new(Code::Forbidden, detail));
        }
        if envelopes.len() > BATCH_ENVELOPES_MAX {
            let count = envelopes.len();
            let detail =
                format!("batch has {count} transactions, the limit is {BATCH_ENVELOPES_MAX}");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        let keys: Vec<_> = envelopes.iter().map(|envelope| envelope.key).collect();
        let batch: Vec<_> =
            envelopes.into_iter().map(|envelope| Candidate::new(envelope, &self.rules)).collect();
        let batch = attributed(batch, &origins, &node, judge);
        let bytes: usize = batch.iter().map(|candidate| candidate.bytes.len()).sum();
        if bytes > BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX {
            let detail = format!("batch is {bytes} bytes, the limit is {BATCH_BYTES_MAX}");
            return Err(Problem::new(Code::TooLarge, detail));
        }
        let outcomes = self.settle(&node, batch).await?;
        let answers = keys.into_iter().zip(outcomes).map(|(key, outcome)| {
            let answer = match outcome {
                Outcome::Taken(settlement) => {
                    Answer::Taken { receipt: self.sign(key, &settlement) }
                }
                Outcome::Later(problem) => Answer::Later { problem },
                Outcome::Refused(problem) => Answer::Refused { problem },
            };
            KeyedAnswer { key, answer }
        });
        Ok(SettleAnswer { answers: answers.collect() })
    }
}
