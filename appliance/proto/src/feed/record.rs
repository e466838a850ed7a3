//! Records and changes of a model.

use bytes::Bytes;

use crate::ids::RecordId;

/// A record: its id and its JSON object, canonical (sorted keys, no spaces).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Unique within the model; records are sorted by its bytes.
    pub id: RecordId,
    /// The JSON object as bytes; contains the id as well.
    pub body: Bytes,
}

/// What a run does to one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The record's id.
    pub id: RecordId,
    /// The new JSON object, or nothing: the record is removed (a tombstone).
    pub body: Option<Bytes>,
}
