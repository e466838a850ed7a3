//! What the spool writes down.
//!
//! ```text
//! job, change    length u32 | JSON of the job | what it prints (job only)
//! forget         number u64
//! entry          JSON of the entry
//! ```

use serde::{Deserialize, Serialize};
use storebox_peripherals::drawer;
use storebox_peripherals::spool::Record;
use storebox_proto::ids::DeviceId;
use storebox_proto::time::Timestamp;

use crate::devices::rendering::Source;

/// A job with or without what it prints.
pub(super) const JOB: u8 = 1;
/// A job in another state.
pub(super) const CHANGE: u8 = 2;
/// A job that is remembered no longer.
pub(super) const FORGET: u8 = 3;
/// Something that happened at a drawer.
pub(super) const ENTRY: u8 = 4;

/// A print job with its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The policy's part.
    #[serde(flatten)]
    pub record: Record,
    /// What it prints is in this form.
    pub source: Source,
    /// Bytes of what it prints; 0 once that was dropped.
    pub bytes: usize,
    /// What it prints lets somebody in: it is in memory alone, and dropped once the job has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// Who sent it.
    pub by: String,
    /// The entry about the drawers that it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kick: Option<u64>,
    /// When it was taken in.
    pub at: Timestamp,
    /// When it came into its present state.
    pub changed: Timestamp,
    /// What a person decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// What a person decided about a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Decision {
    /// `printed`, `reprint` or `cancel`.
    pub what: String,
    /// Who.
    pub by: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}

/// Something that happened at a drawer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// The drawer, or the printer whose sensor spoke.
    #[schema(value_type = String)]
    pub drawer: DeviceId,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Somebody had it opened.
    Kicked {
        /// Why.
        reason: String,
    },
    /// It got no pulse.
    NotKicked {
        /// The entry that asked for it.
        kick: u64,
        /// Why.
        why: String,
    },
    /// A print job opens it.
    InJob {
        /// The job's key.
        key: String,
        /// How often.
        times: u32,
    },
    /// The sensor saw it open.
    Opened {
        /// The entry that it followed; nothing: with a key, or by hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kick: Option<u64>,
    },
    /// The sensor saw it closed.
    Closed {
        /// How long it stood open.
        after_s: u64,
    },
    /// It did not open: blocked, locked, or its cable is off.
    DidNotOpen {
        /// The entry that asked for it.
        kick: u64,
    },
    /// Nobody can see whether it opened: its sensor is not known.
    Unseen {
        /// The entry that asked for it.
        kick: u64,
    },
}

impl From<drawer::Event> for Act {
    fn from(event: drawer::Event) -> Self {
        match event {
            drawer::Event::Opened { kick } => Self::Opened { kick },
            drawer::Event::Closed { after } => Self::Closed { after_s: after.as_secs() },
            drawer::Event::DidNotOpen { kick } => Self::DidNotOpen { kick },
            drawer::Event::Unseen { kick } => Self::Unseen { kick },
        }
    }
}

/// The head of a job's record.
pub(super) fn head(job: &Job) -> Vec<u8> {
    let json = serde_json::to_vec(job).expect("a job is plain text and numbers");
    let length =
        u32::try_from(json.len()).expect("a job without its content has a few hundred bytes");
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(&json);
    bytes
}

/// A job and where its content begins.
pub(super) fn parse(body: &[u8]) -> Option<(Job, usize)> {
    let (length, rest) = body.split_at_checked(4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    let job = serde_json::from_slice(rest.get(..length)?).ok()?;
    Some((job, 4 + length))
}
