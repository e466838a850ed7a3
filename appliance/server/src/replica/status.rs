//! What the replica of a feed is doing, for status, demo and console.

use std::collections::BTreeMap;

use serde::Serialize;
use storebox_proto::feed::Position;
use storebox_proto::ids::FeedId;
use storebox_proto::sync::fetch::{Mode, Phase, Progress};
use storebox_proto::time::Timestamp;

/// A refresh that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// How it loaded.
    pub mode: Mode,
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: u64,
    /// Records, or changes, that it brought.
    pub records: u64,
    /// Why it failed; nothing if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The state of one feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedStatus {
    /// What is in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// When its author published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
    /// The excerpt in service; nothing: all of the feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// Records in service.
    pub records: u64,
    /// What happens now.
    pub phase: Phase,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Records that arrive in a second, over the refresh that is under way.
    pub records_per_s: u64,
    /// The last refresh that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
    /// Whether the source answered last time it was asked.
    pub source_answers: bool,
}

/// All feeds, by name.
pub type Statuses = BTreeMap<FeedId, FeedStatus>;
