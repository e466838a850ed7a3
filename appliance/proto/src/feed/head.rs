//! The head of a feed: small, signed, the commit point of its author.
//!
//! Whoever holds a head and the author's public key needs to trust nobody else:
//! everything else is named by its hash, from the head down.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::feed::position::Position;
use crate::ids::{FeedId, Hash32, ModelName};
use crate::limits::{
    FEED_MODELS_MAX, HEAD_BYTES_MAX, HEAD_RUNS_MAX, MANIFEST_BYTES_MAX, MANIFEST_SEGMENTS_MAX,
    RUN_PAGE_RECORDS_MAX, SEGMENT_BYTES_MAX, SEGMENT_RECORDS_MAX,
};
use crate::time::Timestamp;

/// The version of the head's format.
pub const VERSION: u32 = 1;
const DOMAIN: &[u8] = b"storebox-head-v1\n";

/// A model at the head's revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadModel {
    /// The model.
    pub model: ModelName,
    /// How many records it has.
    pub count: u64,
    /// Its digest.
    pub digest: Hash32,
    /// The name of its manifest.
    pub manifest: Hash32,
    /// The length of its manifest.
    pub manifest_bytes: u32,
}

/// A page of a run: a segment with changes of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPage {
    /// The model.
    pub model: ModelName,
    /// The name of the segment.
    pub name: Hash32,
    /// The hash of its content.
    pub digest: Hash32,
    /// How many changes it holds.
    pub count: u32,
    /// The length of its file.
    pub bytes: u32,
}

/// The changes of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The revision to which these changes lead, from the one before.
    pub revision: u64,
    /// Its pages; at least one, since a revision without changes does not exist.
    pub pages: Vec<RunPage>,
}

/// What an author says about its feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Always [`VERSION`].
    pub version: u32,
    /// The feed.
    pub feed: FeedId,
    /// The author's life; revisions of different epochs cannot be compared.
    pub epoch: u64,
    /// Grows by one with every change of the feed.
    pub revision: u64,
    /// The oldest revision from which the runs lead to `revision`.
    pub horizon: u64,
    /// When it was published, for people.
    pub published: Timestamp,
    /// Every model, ascending by name.
    pub models: Vec<HeadModel>,
    /// One run for every revision after the horizon, ascending.
    pub runs: Vec<Run>,
}

/// Why a head is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// It is longer than a head may be.
    #[error("a head of {bytes} bytes, the limit is {HEAD_BYTES_MAX}")]
    Large {
        /// Its length.
        bytes: usize,
    },
    /// It is not the JSON of a head.
    #[error("not the JSON of a head")]
    Json(#[source] serde_json::Error),
    /// The key that signed it is not trusted, or not a key.
    #[error("signed with the key {key:?}, which is not trusted")]
    Key {
        /// What it says, cut to 64 characters.
        key: String,
    },
    /// The signature is not that of the payload.
    #[error("the signature does not fit")]
    Signature,
    /// It is of a later version.
    #[error("head version {0} is not known")]
    Version(u32),
    /// It breaks a rule.
    #[error("revision {revision}: {rule}")]
    Rule {
        /// The revision it claims.
        revision: u64,
        /// The rule in words.
        rule: &'static str,
    },
}

impl Head {
    /// Checks limits and the rules between the fields.
    pub fn check(&self) -> Result<(), HeadError> {
        if self.version != VERSION {
            return Err(HeadError::Version(self.version));
        }
        let broken = self.broken_model().or_else(|| self.broken_run());
        match broken {
            Some(rule) => Err(HeadError::Rule { revision: self.revision, rule }),
            None => Ok(()),
        }
    }

    /// Where a replica stands that has reached this head.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, revision: self.revision }
    }

    /// The model of this name.
    pub fn model(&self, name: &ModelName) -> Option<&HeadModel> {
        let found = self.models.binary_search_by(|model| model.model.cmp(name));
        found.ok().map(|at| &self.models[at])
    }

    /// The runs that lead from a revision to the head's; nothing if it is behind the horizon or ahead.
    pub fn runs_after(&self, revision: u64) -> Option<&[Run]> {
        if !(self.horizon..=self.revision).contains(&revision) {
            return None;
        }
        let skip = usize::try_from(revision - self.horizon).ok()?;
        self.runs.get(skip..)
    }

    fn broken_model(&self) -> Option<&'static str> {
        if self.models.len() > FEED_MODELS_MAX {
            return Some("more models than a feed may have");
        }
        if !self.models.windows(2).all(|pair| pair[0].model < pair[1].model) {
            return Some("its models do not ascend");
        }
        let records_max = (MANIFEST_SEGMENTS_MAX * SEGMENT_RECORDS_MAX) as u64;
        let allowed = |model: &HeadModel| {
            model.count <= records_max
                && (1..=MANIFEST_BYTES_MAX).contains(&(model.manifest_bytes as usize))
        };
        (!self.models.iter().all(allowed)).then_some("a model's count or manifest is out of bounds")
    }

    fn broken_run(&self) -> Option<&'static str> {
        if self.revision == 0 || self.horizon > self.revision {
            return Some("its revision or horizon is out of bounds");
        }
        if self.runs.len() > HEAD_RUNS_MAX || self.revision - self.horizon != self.runs.len() as u64
        {
            return Some("its runs do not lead from the horizon to the revision");
        }
        let numbered = self.runs.iter().zip(self.horizon + 1..);
        if numbered.into_iter().any(|(run, revision)| run.revision != revision) {
            return Some("its runs are not in order");
        }
        if self.runs.iter().any(|run| run.pages.is_empty()) {
            return Some("a run has no pages");
        }
        let allowed = |page: &RunPage| {
            self.model(&page.model).is_some()
                && (1..=RUN_PAGE_RECORDS_MAX).contains(&(page.count as usize))
                && (1..=SEGMENT_BYTES_MAX).contains(&(page.bytes as usize))
        };
        let pages = self.runs.iter().flat_map(|run| &run.pages);
        (!pages.into_iter().all(allowed))
            .then_some("a page's model, count or length is out of bounds")
    }
}

/// A head as it travels: its JSON as text, so that what was signed is what is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// The JSON of a [`Head`].
    pub payload: String,
    /// The public key in hexadecimal digits.
    pub key: String,
    /// The Ed25519 signature in hexadecimal digits.
    pub signature: String,
}

impl SignedHead {
    /// Signs a head that follows the rules.
    pub fn sign(head: &Head, key: &SigningKey) -> Result<Self, HeadError> {
        head.check()?;
        let payload = serde_json::to_string(head).map_err(HeadError::Json)?;
        if payload.len() > HEAD_BYTES_MAX {
            return Err(HeadError::Large { bytes: payload.len() });
        }
        let signature = key.sign(&message(&payload));
        let key = hex::encode(key.verifying_key().as_bytes());
        Ok(Self { payload, key, signature: hex::encode(signature.to_bytes()) })
    }

    /// Reads a signed head; nothing in it is believed before [`SignedHead::open`].
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        // The payload is a string within JSON: its quotes are escaped.
        if bytes.len() > 2 * HEAD_BYTES_MAX {
            return Err(HeadError::Large { bytes: bytes.len() });
        }
        serde_json::from_slice(bytes).map_err(HeadError::Json)
    }

    /// The head, if one of these keys signed it and it follows the rules.
    pub fn open(&self, trusted: &[VerifyingKey]) -> Result<Head, HeadError> {
        if self.payload.len() > HEAD_BYTES_MAX {
            return Err(HeadError::Large { bytes: self.payload.len() });
        }
        let key = trusted.iter().find(|key| hex::encode(key.as_bytes()) == self.key);
        let key = key.ok_or_else(|| HeadError::Key { key: self.key.chars().take(64).collect() })?;
        let mut signature = [0; 64];
        hex::decode_to_slice(&self.signature, &mut signature).map_err(|_| HeadError::Signature)?;
        key.verify_strict(&message(&self.payload), &Signature::from_bytes(&signature))
            .map_err(|_| HeadError::Signature)?;
        let head: Head = serde_json::from_str(&self.payload).map_err(HeadError::Json)?;
        head.check()?;
        Ok(head)
    }
}

fn message(payload: &str) -> Vec<u8> {
    [DOMAIN, payload.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
