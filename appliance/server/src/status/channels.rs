//! How the hooks and pushes of the chain do, as the status says it.

use serde::{Deserialize, Serialize};
use storebox_proto::time::Timestamp;

/// The hooks and pushes of a box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelsStatus {
    /// Hooks after the commit that have not succeeded yet.
    pub hooks_waiting: u64,
    /// Those of them that wait for a person.
    pub hooks_dead: u64,
    /// The age of the oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks_oldest_s: Option<u64>,
    /// Hooks after the commit that could not be kept since the start.
    pub hooks_missed: u64,
    /// Calls since the start that came too fast for the request log.
    pub requests_missed: u64,
    /// Scripts and webhooks that ran since the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookStatus>,
    /// What channels are told without asking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<PushFigures>,
}

/// How one hook, or one service that is the chain's own, did since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookStatus {
    /// `hook` or `service`, and its id.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How often it refused, failed, was stopped or could not be asked.
    pub failures: u64,
    /// How long all runs took together, in microseconds.
    pub took_us: u64,
    /// Why it failed last; for the operator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// How one push definition does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushFigures {
    /// The definition.
    pub id: String,
    /// Its channel.
    pub channel_id: String,
    /// `webhook` or `sse`.
    pub delivery: String,
    /// Records that wait for the target.
    pub waiting: u64,
    /// The age of the oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_s: Option<u64>,
    /// Records that the target refused; they wait for a person.
    pub dead: u64,
    /// When the target took something last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub last: Option<Timestamp>,
    /// Since when the target takes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub failing_since: Option<Timestamp>,
    /// Why; for the operator only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ChannelsStatus {
    /// What anybody on the network may see: no words of other programs.
    pub(super) fn hush(&mut self) {
        self.hooks.iter_mut().for_each(|hook| hook.last_error = None);
        self.pushes.iter_mut().for_each(|push| push.error = None);
    }
}
