//! The hop of transactions between boxes: a batch in order, an answer for each.

use serde::{Deserialize, Serialize};

use super::{Envelope, Receipt};
use crate::ids::{NodeId, TxKey};
use crate::problem::Problem;

/// A batch, in the order in which the sender accepted it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettleRequest {
    /// The node that sends.
    pub node: NodeId,
    /// At most `BATCH_ENVELOPES_MAX`, and `BATCH_BYTES_MAX` in all.
    pub envelopes: Vec<Envelope>,
    /// For those that another node accepted: its receipts, so that each is settled in its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<Receipt>,
}

/// What became of one transaction of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Answer {
    /// On the receiver's disk; the receipt says with which grade.
    Taken {
        /// The proof.
        receipt: Receipt,
    },
    /// Not now: try again later (a dependency has not arrived, the disk is full).
    Later {
        /// Why.
        problem: Problem,
    },
    /// Never: a person has to look at it.
    Refused {
        /// Why.
        problem: Problem,
    },
}

/// An answer with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedAnswer {
    /// The transaction.
    pub key: TxKey,
    /// What became of it.
    #[serde(flatten)]
    pub answer: Answer,
}

/// One answer for each envelope, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleAnswer {
    /// The answers.
    pub answers: Vec<KeyedAnswer>,
}
