//! Releases: what a box may install, when, and what it fetches for it.
//!
//! ```text
//! head office: bundle ─▶ blocks (named by their hash) ─▶ index (names them in order) ─▶ record `Release`
//! box:         record ─▶ decide ─▶ index ─▶ plan ─▶ blocks ─▶ bundle, compared with the record ─▶ steward
//! ```
//!
//! A release is a record of the estate, so it is signed with the feed's head, never goes back to an older state, and
//! arrives like a price.
//! Its content is blocks cut where the bytes themselves say so: what two releases share is the same blocks, and any
//! neighbour or storage may carry them, because their names say all about them.
//! Who made the bundle is not said here: the bundle is signed by whoever makes releases, with a key that head office
//! does not have, and is believed by nobody before that signature was checked.
//!
//! Invariants:
//! - the answer of [`decide()`] follows from its arguments alone;
//! - nothing older than what runs, and nothing that came back once, is ever wanted;
//! - fields that this version does not know are passed over: an older box must understand the record of its successor.

mod decide;
mod index;
mod plan;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{Hash32, SiteId};

pub use decide::{Decision, Hold, Idle, Past, Situation, Word, decide, gave_up, hold};
pub use index::{Block, Index, InvalidIndex};
pub use plan::Plan;

/// The model of the estate feed whose records are releases.
pub const MODEL: &str = "Release";
/// The longest name of a kind of machine.
const BOARD_BYTES_MAX: usize = 64;
/// The longest approval.
const APPROVAL_BYTES_MAX: usize = 8192;
/// The longest reason.
const WHY_CHARS_MAX: usize = 300;

/// Three numbers, compared in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version([u32; 3]);

/// The text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be three numbers, like 1.4.0")]
pub struct InvalidVersion;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let number = |part: &str| {
            let is_plain = part == "0" || !part.starts_with('0');
            let is_number = is_plain && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        };
        let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
        parts.and_then(|parts| parts.try_into().ok()).map(Self).ok_or(InvalidVersion)
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;
    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// Whether a release may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// By every box whose ring it has reached.
    Offered,
    /// By nobody any more, until a person says otherwise.
    Halted,
    /// A state of a later version of this program: by nobody here.
    #[serde(other)]
    Unknown,
}

/// A release as head office offers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Board and version: [`Release::id_of`].
    pub id: String,
    /// Its version.
    pub version: Version,
    /// The kind of machine it runs on, such as `x86-64`.
    pub board: String,
    /// The bundle, in bytes.
    pub bytes: u64,
    /// The hash of the whole bundle.
    pub digest: Hash32,
    /// The object that names its blocks.
    pub index: Hash32,
    /// That object, in bytes.
    pub index_bytes: u32,
    /// The ring that it has reached.
    pub ring: String,
    /// Whether it may be installed.
    pub state: State,
    /// After so many boxes on which it failed, it halts by itself; 0: never.
    #[serde(default)]
    pub failures_max: u32,
    /// Why it is halted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Who lets it be installed, and until when, as the steward of a box reads it; nobody here does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub approval: String,
}

/// What is wrong with a record of a release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Fault {
    /// Which field.
    pub field: String,
    /// What it breaks.
    pub rule: String,
}

impl Release {
    /// The id of the release of this version for this kind of machine.
    pub fn id_of(board: &str, version: Version) -> String {
        format!("{board}-{version}")
    }

    /// Reads and checks a record.
    pub fn read(record: &Map<String, Value>) -> Result<Self, Fault> {
        let read = serde_path_to_error::deserialize(Value::Object(record.clone()));
        let release: Self = read.map_err(|error| Fault {
            field: error.path().to_string(),
            rule: error.inner().to_string(),
        })?;
        release.check()?;
        Ok(release)
    }

    /// Refuses what no release says of itself.
    pub fn check(&self) -> Result<(), Fault> {
        let broken =
            |field: &str, rule: &str| Err(Fault { field: field.to_owned(), rule: rule.to_owned() });
        let is_word =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !(1..=BOARD_BYTES_MAX).contains(&self.board.len()) || !self.board.chars().all(is_word) {
            return broken("board", "must be 1 to 64 of a-z, 0-9, '-' and '_'");
        }
        if self.id != Self::id_of(&self.board, self.version) {
            return broken("id", "must be the board, '-' and the version");
        }
        if !SiteId::allows(&self.ring) {
            return broken("ring", "must be 1 to 32 of a-z, 0-9 and '-'");
        }
        if self.bytes == 0 || self.bytes > crate::limits::RELEASE_BYTES_MAX {
            return broken("bytes", "must be from 1 byte to 2 GB");
        }
        if self.index_bytes == 0 || self.index_bytes > crate::limits::RELEASE_INDEX_BYTES_MAX {
            return broken("indexBytes", "must be from 1 byte to 8 MB");
        }
        if self.approval.len() > APPROVAL_BYTES_MAX {
            return broken("approval", "must be a text of at most 8192 bytes");
        }
        if self.why.chars().count() > WHY_CHARS_MAX || self.why.chars().any(char::is_control) {
            return broken("why", "must be a text of at most 300 characters on one line");
        }
        Ok(())
    }

    /// Understands records and names what makes no sense.
    pub fn read_all<'a>(
        records: impl IntoIterator<Item = &'a Map<String, Value>>,
    ) -> (Vec<Self>, Vec<Fault>) {
        let (mut releases, mut faults) = (Vec::new(), Vec::new());
        for record in records {
            match Self::read(record) {
                Ok(_) if record.get("active") == Some(&Value::Bool(false)) => {}
                Ok(release) => releases.push(release),
                Err(fault) => faults.push(fault),
            }
        }
        (releases, faults)
    }
}

#[cfg(test)]
mod tests;
