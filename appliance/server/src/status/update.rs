//! Where a box stands with releases, and how the machine below it did with them.

use serde::{Deserialize, Serialize};

/// What was tried, what happened, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStatus {
    /// The release that runs.
    pub running: String,
    /// The kind of machine.
    pub board: String,
    /// `idle`, `fetching`, `held` or `handed-over`.
    pub state: String,
    /// The release that it is about to get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// Why it is idle or held, or why it does not come further.
    pub why: String,
    /// That release, in bytes.
    pub bytes: u64,
    /// Bytes of it that are here.
    pub have_bytes: u64,
    /// Bytes that came from other machines since the start.
    pub fetched_bytes: u64,
    /// What failed here and is not tried again by itself; for the operator only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
}

/// A release that failed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failed {
    /// Which.
    pub version: String,
    /// `failed`, `fell-back`, `refused` or `broken`.
    pub event: String,
    /// Why.
    pub why: String,
}
