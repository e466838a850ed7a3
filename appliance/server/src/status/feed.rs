//! How one feed is, in the status of a box.

use serde::{Deserialize, Serialize};
use storebox_proto::time::Timestamp;

/// A feed of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedStatus {
    /// Its name.
    pub feed: String,
    /// The life of its author.
    pub epoch: u64,
    /// What readers see.
    pub revision: u64,
    /// When the author published that.
    #[schema(value_type = String)]
    pub published: Timestamp,
    /// Records of all its models.
    pub records: u64,
    /// What the refresher is doing, such as `following` or `fetching 3 of 90`.
    pub state: String,
    /// The excerpt of the feed that is in service; nothing: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// Why the last refresh failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}
