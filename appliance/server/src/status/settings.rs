//! What head office does with a box, as the box tells it: what it sets, and whether it may look.

use serde::{Deserialize, Serialize};
use storebox_proto::time::Timestamp;

/// What is in force, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettingsStatus {
    /// The revision that is in force; 0: nothing is set.
    pub revision: u64,
    /// `none`, `trial` or `proven`.
    pub state: String,
    /// The rollout ring that the box is in; empty before the estate has arrived.
    pub ring: String,
    /// The keys that are set; for the operator only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What was refused or taken back last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedSettings>,
}

/// Settings that the box does not run with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RefusedSettings {
    /// Which revision.
    pub revision: u64,
    /// Why; for the operator only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A visit that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VisitStatus {
    /// Who opened it; for the operator only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// When it closes by itself.
    #[schema(value_type = String)]
    pub until: Timestamp,
}

impl SettingsStatus {
    /// What anybody on the network may see.
    pub(super) fn hush(&mut self) {
        self.keys.clear();
        self.refused.iter_mut().for_each(|refused| refused.why.clear());
    }
}
