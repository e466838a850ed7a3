//! One event as its target reads it.

use serde::Serialize;
use serde_json::Value;
use storebox_proto::estate::channel::{Content, PushDefinition};
use storebox_proto::time::Timestamp;

use super::store::{Happened, Record};
use crate::channel::desk::Channels;

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The definition.
    pub push: String,
    /// Greater than that of every event before it.
    pub number: u64,
    /// What it is about.
    pub entity: &'static str,
    /// Its id; empty for `reset`.
    pub id: String,
    /// `changed`, `removed`, or `reset`: load all of them anew.
    pub event: Happened,
    /// When it was noticed.
    pub at: Timestamp,
    /// What it is now, if the definition wants it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
}

/// What is told of a record: as it is now, not as it was when it was noticed.
pub(super) fn told(channels: &Channels, push: &PushDefinition, record: Record) -> Told {
    let wants_content = push.content == Content::Full && record.event == Happened::Changed;
    let object = match wants_content {
        true => channels.row(push, &record.id).ok().flatten().map(Value::Object),
        false => None,
    };
    Told {
        push: push.id.clone(),
        number: record.number,
        entity: push.entity.entity().as_str(),
        id: record.id,
        event: record.event,
        at: record.at,
        object,
    }
}
