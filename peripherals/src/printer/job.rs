//! What is asked of a printer, and what is said of it afterwards.

use serde::{Deserialize, Serialize};

use super::{Level, Status, Trouble};

/// Bytes of one job; half an hour of paper.
pub const JOB_BYTES_MAX: usize = 8 << 20;

/// One job for a printer, already in its language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The owner's number for it; events name it.
    pub number: u64,
    /// What to print, without initialisation and proof.
    pub body: Vec<u8>,
}

/// Why a job did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotReady {
    /// Another job is being printed.
    #[error("print: another job is under way")]
    Busy,
    /// The port is not open.
    #[error("print: the printer is not connected")]
    Away,
    /// The printer cannot print.
    #[error("print: {0}")]
    Trouble(Trouble),
    /// The job is larger than a printer takes.
    #[error("print: the job is larger than {JOB_BYTES_MAX} bytes")]
    TooLarge,
    /// The printer has no such thing.
    #[error("print: the printer cannot do that")]
    Unsupported,
}

/// Why nobody can say whether a job is on paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The line broke after the first byte.
    LinkLost,
    /// The printer fell silent; it may have lost its power and with it the job.
    Silent,
    /// The proof never came, though the printer reports no trouble.
    NoProof,
    /// This program ended after the first byte.
    Restarted,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every byte has left this host; the proof is awaited.
    Sent,
    /// On paper, as far as this level proves.
    Printed(Level),
    /// Perhaps on paper.
    Unknown(Doubt),
    /// No byte went out; it may be printed again under the same number.
    NotStarted,
    /// Thrown away on command after an error; part of it may be on paper.
    Discarded,
}

/// What a printer's line reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A job went on.
    Job {
        /// Its number.
        number: u64,
        /// How far it is.
        verdict: Verdict,
    },
    /// The printer's state changed.
    Status {
        /// What it reports.
        status: Status,
        /// Why it cannot print, if it cannot.
        trouble: Option<Trouble>,
    },
}
