//! How what goes wrong in a call becomes a refusal.

use storebox_proto::problem::{Code, Problem};
use storebox_proto::query::QueryFault;

use crate::db::ReadError;
use crate::masterdata::{Masterdata, NotReadable};

/// A field that cannot be taken.
pub(super) fn field(path: &str, what: impl std::fmt::Display) -> Problem {
    Problem::new(Code::FieldInvalid, format!("field {path}: {what}"))
}

pub(super) fn query(fault: QueryFault) -> Problem {
    Problem::new(Code::FieldInvalid, fault.to_string())
}

pub(super) fn not_readable(why: &NotReadable) -> Problem {
    let code = match why {
        NotReadable::Unknown(_) | NotReadable::Local(_) => Code::ModelUnknown,
        NotReadable::Empty(_) => Code::ReplicaEmpty,
        NotReadable::Expired => Code::CursorExpired,
    };
    Problem::new(code, why.to_string())
}

/// A read that failed; damage is repaired meanwhile.
pub(super) fn not_read(masterdata: &Masterdata, error: &ReadError) -> Problem {
    let code = match error {
        ReadError::ModelUnknown { .. } => Code::ModelUnknown,
        ReadError::IndexUnknown { .. } => Code::IndexUnknown,
        ReadError::Damaged { model, segment, .. } => {
            masterdata.damaged(model, *segment);
            Code::ReplicaDamaged
        }
    };
    Problem::new(code, error.to_string())
}
