//! What is written down of a call; where it is kept is behind the trait.

mod disk;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use storebox_proto::estate::channel::ServiceType;
use storebox_proto::problem::Problem;
use storebox_proto::time::Timestamp;

pub use disk::{CallLog, CallWriter, Keeping, Wanted};

/// One hook that ran in a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The hook.
    pub hook: String,
    /// Its stage.
    pub stage: &'static str,
    /// How long it took.
    pub took_us: u64,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// By which everything about the call is found.
    pub correlation: String,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The channel.
    pub channel: String,
    /// The terminal.
    pub terminal: String,
    /// The user, if one is known.
    pub user: Option<String>,
    /// The roles by which it was allowed.
    pub roles: Vec<String>,
    /// What was called.
    pub service: ServiceType,
    /// What came in.
    pub request: Value,
    /// What went out.
    pub outcome: Result<Value, Problem>,
    /// The hooks on the way.
    pub steps: Vec<Step>,
}

/// Keeps what is written down; called for services whose definition wants it.
pub trait RequestLog: Send + Sync {
    /// Takes an entry; must not wait for a disk.
    fn record(&self, entry: LogEntry);
}

/// A box without a request log tells its journal that the call took place, without its content.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLog;

impl RequestLog for NoLog {
    fn record(&self, entry: LogEntry) {
        tell(&entry);
    }
}

/// One line without content; the span around it carries the correlation id.
fn tell(entry: &LogEntry) {
    let took_ms = u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX);
    let code = entry.outcome.as_ref().err().map(|problem| problem.code.as_str());
    tracing::info!(service = entry.service.as_str(), took_ms, code, "a channel was served");
}
