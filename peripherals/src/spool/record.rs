//! What is written down about a job.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::printer::{Doubt, Level};

/// Characters of a key.
const KEY_CHARS_MAX: usize = 64;

/// A client's name for its job; the same name is the same job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// A text that cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("name a job: a key has 1 to {KEY_CHARS_MAX} letters, digits, dashes, dots or colons")]
pub struct KeyError;

impl Key {
    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError)
        }
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

/// What kind of job it is; in the order in which they print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A customer waits for it.
    Receipt,
    /// A kitchen waits for it.
    Kitchen,
    /// A label for goods.
    Label,
    /// Nobody waits for it.
    Report,
}

impl Class {
    /// What prints before everything else.
    pub(super) const FIRST: Self = Self::Receipt;
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It waits.
    Queued,
    /// Its first byte may be out.
    Sending,
    /// All its bytes are out.
    Sent,
    /// It is on paper, as far as the level proves.
    Printed {
        /// How that is known.
        level: Level,
    },
    /// It may be on paper.
    Unknown {
        /// Why that is not known.
        doubt: Doubt,
    },
    /// It was given up on command after an error; part of it may be on paper.
    Discarded,
    /// It was taken back before it began.
    Cancelled,
    /// Its time passed before it began.
    Expired,
}

impl State {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Sending | Self::Sent => false,
            Self::Printed { .. }
            | Self::Unknown { .. }
            | Self::Discarded
            | Self::Cancelled
            | Self::Expired => true,
        }
    }
}

/// What is written down about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, never used twice on this box.
    pub number: u64,
    /// Its client's name for it.
    pub key: Key,
    /// Its printer.
    pub printer: String,
    /// What kind of job it is.
    pub class: Class,
    /// A digest of what it prints.
    pub digest: [u8; 16],
    /// When it must not print any more, in milliseconds of the owner's clock.
    pub expires_at: Option<u64>,
    /// Which copy it is; 0 is the original.
    pub copy: u16,
    /// The original it is a copy of.
    pub of: Option<u64>,
    /// How far it is.
    #[serde(flatten)]
    pub state: State,
}

impl Record {
    /// A short code for the foot of the receipt: the same content gives the same first part.
    #[must_use]
    pub fn short_code(&self) -> String {
        let [a, b, ..] = self.digest;
        format!("#{a:02X}{b:02X}-{}", self.copy)
    }
}
