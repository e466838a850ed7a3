//! What is said when a transaction is not taken, and what to do next.

use storebox_proto::ids::TxKey;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::OperateError;

use crate::journal::CommitError;

pub(super) fn conflict(code: Code, key: &TxKey) -> Problem {
    let detail = if code == Code::SequenceConflict {
        "its sequence number belongs to another transaction"
    } else {
        "the same key was accepted with another content"
    };
    Problem::new(
        code,
        format!("transaction {key}: {detail}; both are kept for a person to look at"),
    )
}

pub(super) fn full(held: usize) -> Problem {
    let detail = format!(
        "outbox holds {held} transactions, its limit; nothing was stored: keep the transaction, \
         check the line to head office, and send it again"
    );
    Problem::new(Code::StorageFull, detail)
}

pub(super) fn not_stored(error: &CommitError) -> Problem {
    match error {
        CommitError::Full => Problem::new(
            Code::StorageFull,
            "disk and reserve are full; nothing was stored: keep the transaction, free space on the \
             box or restore the line to head office, and send it again",
        ),
        CommitError::Failed(_) | CommitError::Poisoned => {
            tracing::error!(%error, "store of transactions failed");
            Problem::new(
                Code::StorageFailed,
                "the disk failed; nothing is stored until the service is started again",
            )
        }
    }
}

pub(super) fn not_done(error: &OperateError) -> Problem {
    let code = match error {
        OperateError::Unknown(_) | OperateError::ConflictUnknown(_) => Code::TransactionUnknown,
        OperateError::NotQuarantined(_) | OperateError::NotOnlyPayload(_) => Code::StateConflict,
    };
    Problem::new(code, error.to_string())
}
