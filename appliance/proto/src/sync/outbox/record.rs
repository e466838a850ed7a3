//! What is written into the journal, and how.
//!
//! ```text
//! version u8 | length of the head u32 | head (JSON) | envelope, where the event has one
//! ```

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::ids::{Hash32, LaneId, SinkId, TerminalId, TxKey, TxKind};
use crate::problem::{Code, Problem};
use crate::ticket::{Envelope, Receipt};
use crate::time::Timestamp;

const VERSION: u8 = 1;
const HEAD_AT: usize = 5;

/// What order and receipts need to know of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its key.
    pub key: TxKey,
    /// The digest of its canonical bytes.
    pub digest: Hash32,
    /// The length of its canonical bytes.
    pub bytes: usize,
    /// What it is.
    pub kind: TxKind,
    /// Who sold it.
    pub terminal: TerminalId,
    /// The terminal's epoch.
    pub epoch: u32,
    /// The terminal's number.
    pub sequence: u64,
    /// What stays in order.
    pub lane: LaneId,
    /// What has to be taken before.
    pub depends_on: Vec<TxKey>,
    /// The cash session.
    pub session: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    key: TxKey,
    kind: TxKind,
    terminal: TerminalId,
    epoch: u32,
    sequence: u64,
    lane: LaneId,
    #[serde(default)]
    depends_on: Vec<TxKey>,
    #[serde(default)]
    session: Option<String>,
    #[serde(rename = "payload")]
    _payload: IgnoredAny,
}

impl Meta {
    /// Of an envelope and its canonical bytes.
    pub fn of(envelope: &Envelope, canonical: &[u8]) -> Self {
        Self {
            key: envelope.key,
            digest: Hash32::of(canonical),
            bytes: canonical.len(),
            kind: envelope.kind.clone(),
            terminal: envelope.terminal.clone(),
            epoch: envelope.epoch,
            sequence: envelope.sequence,
            lane: envelope.lane.clone(),
            depends_on: envelope.depends_on.clone(),
            session: envelope.session.clone(),
        }
    }

    /// Of canonical bytes, without building the payload.
    pub fn read(canonical: &[u8]) -> Result<Self, serde_json::Error> {
        let outline: Outline = serde_json::from_slice(canonical)?;
        Ok(Self {
            key: outline.key,
            digest: Hash32::of(canonical),
            bytes: canonical.len(),
            kind: outline.kind,
            terminal: outline.terminal,
            epoch: outline.epoch,
            sequence: outline.sequence,
            lane: outline.lane,
            depends_on: outline.depends_on,
            session: outline.session,
        })
    }
}

/// A person's act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// Why, in the person's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The place and state of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The number under which it was accepted.
    pub position: u64,
    /// Its place in its lane.
    pub rank: u64,
    /// When it was accepted.
    pub at: Timestamp,
    /// The digest that the till knows, if the content was repaired since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Hash32>,
    /// Why it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Whether a person said that it shall not wait for missing numbers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// Whether a person decided that it will never be settled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
    /// Whether only best-effort sinks still need it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Taken over from a box that had this one's name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// What the box said that accepted it, if that was not this one: it is passed on for a neighbour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<Box<Receipt>>,
}

/// A lasting change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An envelope is held: accepted, or written once more so that an old segment can go.
    Held(Slot),
    /// The authoritative sink has taken these.
    Settled {
        /// Which.
        positions: Vec<u64>,
    },
    /// The authoritative sink will never take this one as it is.
    Quarantined {
        /// Which.
        position: u64,
        /// Why.
        problem: Problem,
    },
    /// A person wants it to be offered again.
    Retried {
        /// Which.
        position: u64,
        /// Whether it shall not wait for missing numbers.
        forced: bool,
        /// Who and when.
        by: By,
    },
    /// A person gave it another content.
    Repaired {
        /// Which.
        position: u64,
        /// Who and when.
        by: By,
    },
    /// A person decided that it will never be settled; it is kept to be read.
    GivenUp {
        /// Which.
        position: u64,
        /// The one that is no longer kept, because there are too many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forgets: Option<u64>,
        /// Who and when.
        by: By,
    },
    /// Passed on for neighbours and refused: they hear of it and decide; here these are forgotten.
    Returned {
        /// Which.
        positions: Vec<u64>,
    },
    /// A best-effort sink is done with these.
    Delivered {
        /// The sink.
        sink: SinkId,
        /// Which.
        positions: Vec<u64>,
    },
    /// A best-effort sink will never get what is up to here.
    LeftBehind {
        /// The sink.
        sink: SinkId,
        /// The last position that it will not get.
        to: u64,
        /// How many that are.
        left: u64,
    },
    /// An envelope contradicts another one and is kept for a person.
    Conflicted {
        /// Its number among the conflicts.
        number: u64,
        /// What it contradicts.
        code: Code,
        /// When it came.
        at: Timestamp,
    },
    /// A person has dealt with a conflict.
    Dismissed {
        /// Which.
        number: u64,
        /// Who and when.
        by: By,
    },
}

impl Event {
    fn has_envelope(&self) -> bool {
        match self {
            Self::Held(_) | Self::Repaired { .. } | Self::Conflicted { .. } => true,
            Self::Settled { .. }
            | Self::Quarantined { .. }
            | Self::Retried { .. }
            | Self::GivenUp { .. }
            | Self::Returned { .. }
            | Self::Delivered { .. }
            | Self::LeftBehind { .. }
            | Self::Dismissed { .. } => false,
        }
    }

    /// The bytes in front of the envelope.
    pub fn encode_head(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, 0, 0, 0, 0];
        serde_json::to_writer(&mut bytes, self).expect("an event is plain data with string keys");
        let length = u32::try_from(bytes.len() - HEAD_AT).expect("a head is far below 2^32 bytes");
        bytes[1..HEAD_AT].copy_from_slice(&length.to_le_bytes());
        bytes
    }
}

/// An event with what its envelope says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The event.
    pub event: Event,
    /// The envelope's outline, where the event has one.
    pub meta: Option<Meta>,
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a version that is not known here.
    #[error("record has version {0}, known is 1")]
    Version(u8),
    /// Too short for what it announces.
    #[error("record is cut")]
    Cut,
    /// The head or the envelope is not understood.
    #[error("record is not understood")]
    Malformed(#[source] serde_json::Error),
}

impl Record {
    /// A record without an envelope.
    pub fn plain(event: Event) -> Self {
        Self { event, meta: None }
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (head, envelope) = split(bytes)?;
        let event: Event = serde_json::from_slice(head).map_err(RecordError::Malformed)?;
        let meta = event.has_envelope().then(|| Meta::read(envelope)).transpose();
        Ok(Self { event, meta: meta.map_err(RecordError::Malformed)? })
    }

    /// The envelope's bytes within a record's bytes.
    pub fn envelope(bytes: &[u8]) -> Result<&[u8], RecordError> {
        split(bytes).map(|(_, envelope)| envelope)
    }
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), RecordError> {
    let (version, rest) = bytes.split_first().ok_or(RecordError::Cut)?;
    if *version != VERSION {
        return Err(RecordError::Version(*version));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(RecordError::Cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| RecordError::Cut)?;
    rest.split_at_checked(length).ok_or(RecordError::Cut)
}
