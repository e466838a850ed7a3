//! What the keeper of the outbox is asked, and what it answers.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use serde::Serialize;
use storebox_proto::ids::{Hash32, SinkId, TxKey};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{Audit, By, Failure, Meta, SinkStatus, Summary, Verdict, Work};
use storebox_proto::ticket::{Grade, Receipt, Signed, Statement};
use storebox_proto::time::Timestamp;
use tokio::sync::oneshot;

use super::keeper::Keeper;
use crate::journal::{Location, Look, Usage};

/// One request to the keeper, with the way back.
pub(super) enum Command {
    Accept(Accept),
    /// What to do for a sink.
    Poll {
        sink: SinkId,
        now: Instant,
        answer: oneshot::Sender<Given>,
    },
    /// What came of it.
    Report {
        sink: SinkId,
        news: News,
        now: Instant,
        answer: oneshot::Sender<()>,
    },
    Act {
        act: Act,
        by: By,
        answer: oneshot::Sender<Result<(), Problem>>,
    },
    /// Tell when this one is settled.
    Watch {
        key: TxKey,
        answer: oneshot::Sender<Receipt>,
    },
    /// Look at the state between two groups.
    Look(Look<Keeper>),
    /// Finish what is in the queue's front and end.
    Stop,
}

pub(super) struct Accept {
    pub(super) meta: Meta,
    pub(super) bytes: Vec<u8>,
    pub(super) at: Timestamp,
    /// Under which id other tills find it; nothing for what is passed on for a neighbour.
    pub(super) document: Option<String>,
    /// What the neighbour said for whom it is passed on.
    pub(super) guest: Option<Box<Receipt>>,
    /// Taken over from a box that had this one's name.
    pub(super) adopted: bool,
    pub(super) answer: oneshot::Sender<Result<Told, Problem>>,
}

/// What a receipt for an accepted transaction says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) key: TxKey,
    pub(super) digest: Hash32,
    pub(super) position: u64,
    pub(super) at: Timestamp,
}

/// What is said of the transactions of one group, which are signed together by whoever asks first.
pub(super) struct Said {
    taken: Vec<Taken>,
    signed: OnceLock<Signed>,
}

/// One of them.
pub(super) struct Told {
    said: Arc<Said>,
    index: usize,
}

impl Said {
    pub(super) fn of(taken: Vec<Taken>) -> Arc<Self> {
        Arc::new(Self { taken, signed: OnceLock::new() })
    }

    /// For each who waits, in the order of the group.
    pub(super) fn tell(self: &Arc<Self>) -> impl Iterator<Item = Told> + use<> {
        let said = Arc::clone(self);
        (0..said.taken.len()).map(move |index| Told { said: Arc::clone(&said), index })
    }
}

impl Told {
    pub(super) fn alone(taken: Taken) -> Self {
        Self { said: Said::of(vec![taken]), index: 0 }
    }

    pub(super) fn taken(&self) -> &Taken {
        &self.said.taken[self.index]
    }

    /// Its receipt, by a signature that all of the group share.
    pub(super) fn receipt(
        &self,
        state: impl Fn(&Taken) -> Statement,
        signer: &SigningKey,
    ) -> Receipt {
        let signed = self
            .said
            .signed
            .get_or_init(|| Signed::sign(self.said.taken.iter().map(state).collect(), signer));
        signed.receipt(self.index).expect("it is one of those that were signed")
    }
}

/// Work with the places where the envelopes are.
pub(super) struct Given {
    pub(super) work: Work,
    pub(super) locations: Vec<Option<Location>>,
    /// What neighbours said of those that are passed on for them.
    pub(super) guests: Vec<Option<Receipt>>,
}

/// What came of work for a sink; receipts by position.
pub(super) enum News {
    Answers {
        answers: Vec<(u64, Verdict)>,
        receipts: Vec<(u64, Receipt)>,
    },
    Known {
        receipts: Vec<(u64, Receipt)>,
    },
    Failed(Failure),
    /// The journal does not give these; nothing was sent.
    Unreadable {
        positions: Vec<u64>,
    },
    LinkUp,
    Restarted,
}

/// A person's act.
pub(super) enum Act {
    Retry(TxKey),
    Repair { meta: Box<Meta>, bytes: Bytes },
    GiveUp(TxKey),
    Dismiss(u64),
}

/// How far a transaction is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The transaction.
    #[schema(value_type = String)]
    pub key: TxKey,
    /// `held` or `settled`.
    #[schema(value_type = String)]
    pub grade: Grade,
    /// This box's receipt.
    #[schema(value_type = Object)]
    pub receipt: Receipt,
    /// The main server's receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settled: Option<Receipt>,
}

/// What is known of a key.
pub struct Known {
    /// Held here.
    pub summary: Option<Summary>,
    /// Settled lately.
    pub settled: Option<super::settled::Settled>,
}

/// A transaction as a person sees it, with its content.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its state.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub summary: Summary,
    /// The envelope, if the disk gives it.
    #[schema(value_type = Object)]
    pub envelope: serde_json::Value,
    /// What persons did with it.
    #[schema(value_type = Vec<Object>)]
    pub audit: Vec<Audit>,
}

/// An envelope that contradicts another one.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConflictView {
    /// Its number, for dismissing it.
    pub number: u64,
    /// What it contradicts.
    #[schema(value_type = String)]
    pub code: Code,
    /// When it came.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Its key.
    #[schema(value_type = String)]
    pub key: TxKey,
    /// The envelope, if the disk gives it.
    #[schema(value_type = Object)]
    pub envelope: serde_json::Value,
}

/// The outbox in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxFigures {
    /// Transactions that the authoritative sink has not settled.
    pub waiting: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
    /// Transactions that wait for a person.
    pub quarantined: u64,
    /// Contradicting envelopes that wait for a person.
    pub conflicts: u64,
    /// Transactions accepted since the journal began.
    pub accepted: u64,
    /// Transactions settled since the journal began.
    pub settled: u64,
    /// Transactions that persons gave up since the journal began.
    pub given_up: u64,
    /// Transactions that are passed on for neighbours, among those that wait.
    pub guests: u64,
    /// The journal.
    pub usage: Usage,
    /// The sinks.
    pub sinks: Vec<SinkStatus>,
}
