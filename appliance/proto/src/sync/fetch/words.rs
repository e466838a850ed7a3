//! What the machine and its driver say to each other.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::feed::position::Position;
use crate::ids::{FeedId, Hash32, ModelName};

/// How a refresh loads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The changes since the position in service.
    #[default]
    Incremental,
    /// Every record; segments that are held already are not fetched.
    Full,
    /// Every record and every byte of it anew.
    Rebuild,
}

/// What a machine is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Up to date as far as it knows.
    #[default]
    Resting,
    /// Waits for a head.
    Asking,
    /// Fetches objects.
    Fetching,
    /// Verifies and switches.
    Loading,
    /// Waits before the next attempt.
    Waiting,
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Be up to date.
    Incremental,
    /// Compare with a whole snapshot, and repair by it.
    Full,
}

/// The driver's settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// Objects asked for at the same time.
    pub in_flight_max: usize,
    /// How long a head may take, and an object besides the time for its size.
    pub page_timeout: Duration,
    /// Bytes in a second that an object comes with at least.
    pub line_floor: u32,
    /// Asks for news all the time (long poll), instead of on a wish only.
    pub follow: bool,
    /// The content of one snapshot, as fetched.
    pub snapshot_bytes_max: u64,
    /// Any number that differs between boxes; spreads their waits.
    pub seed: u64,
    /// The models in load order; those that are not named follow by name.
    pub order: Vec<ModelName>,
}

/// What is on this box's disk, as the machine may ask.
pub trait Shelf {
    /// Whether the object is there.
    fn holds(&self, name: &Hash32) -> bool;
    /// The object, if it is there and its bytes have its name.
    fn load(&self, name: &Hash32) -> Option<Bytes>;
    /// A segment in service with the same content under whatever name.
    fn equal(&self, model: &ModelName, digest: &Hash32) -> Option<Hash32>;
    /// Bytes that may be put here without taking the room of sales.
    fn room(&self) -> u64;
}

/// What to ask the source for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The head, if it is not this one; waiting for news if that is wanted.
    Head {
        /// What is in service.
        after: Option<Position>,
        /// Hold the request open until there is something new.
        wait: bool,
    },
    /// An object of this name and at most this many bytes.
    Object {
        /// Its hash.
        name: Hash32,
        /// Its size as the signed head or manifest has it.
        bytes: u32,
    },
}

/// Why a head or what it names is not acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not signed by a trusted key, malformed, or beyond a limit.
    #[error("head is not acceptable: {reason}")]
    Head {
        /// What is wrong with it.
        reason: String,
    },
    /// Of another feed.
    #[error("head is that of feed {feed}")]
    Feed {
        /// The feed it names.
        feed: FeedId,
    },
    /// Older than what is in service.
    #[error("head {offered} is older than {in_service}, which is in service")]
    Rollback {
        /// What the source offers.
        offered: Position,
        /// What is in service.
        in_service: Position,
    },
    /// More than this box takes.
    #[error("{what} of the head are {bytes} bytes, more than this box takes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large.
        bytes: u64,
    },
    /// There is no room for what would have to be fetched.
    #[error("{needed} bytes are to be fetched, the disk has room for {free}")]
    NoRoom {
        /// What is missing here.
        needed: u64,
        /// What may be written.
        free: u64,
    },
    /// A manifest contradicts the head that names it.
    #[error("manifest of model {model} {reason}")]
    Manifest {
        /// The model.
        model: ModelName,
        /// The contradiction.
        reason: String,
    },
}

/// What became of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The new generation is verified and in service.
    Switched,
    /// The content does not have the digests of the head.
    Mismatch,
    /// These objects on the shelf are damaged; they are fetched again and replaced.
    Damaged(Vec<Hash32>),
    /// The box itself could not do it (disk); the driver has logged why.
    Failed,
}

/// Whether an object is what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is: put it on the shelf, then tell [`Fetch::handle_stored`].
    Keep,
    /// Its bytes do not have its name, or are too many.
    Lied,
    /// Nobody waits for it.
    Unwanted,
}

/// What the log, the history and the status are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A refresh begins.
    Started {
        /// How it loads.
        mode: Mode,
        /// Where it goes.
        to: Position,
    },
    /// A model's load begins; models are told of one by one.
    ModelStarted {
        /// How it loads.
        mode: Mode,
        /// The model.
        model: ModelName,
    },
    /// All of a model has been fetched.
    ModelFinished {
        /// How it loaded.
        mode: Mode,
        /// The model.
        model: ModelName,
        /// Records, or changes of an incremental load.
        records: u64,
        /// In how many pages they came.
        pages: u32,
    },
    /// The refresh is complete and in service.
    Switched {
        /// How it loaded.
        mode: Mode,
        /// What is in service now.
        to: Position,
    },
    /// The source has nothing newer.
    UpToDate,
    /// A head or manifest is not acted on.
    Refused(Refused),
    /// An object did not have the bytes it was asked for by.
    Lied {
        /// The object.
        name: Hash32,
    },
    /// A load did not have the digests of the head; the next one fetches what differs.
    Mismatch {
        /// How it loaded.
        mode: Mode,
    },
    /// The attempt failed; the next comes later.
    Failed,
}

/// How far a refresh is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// How it loads.
    pub mode: Mode,
    /// What it leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Position>,
    /// The manifests are being fetched; totals are known after them.
    pub manifests: bool,
    /// The model that is being loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// Objects that are here.
    pub objects: u64,
    /// Objects in all.
    pub objects_total: u64,
    /// Records that are here.
    pub records: u64,
    /// Records in all.
    pub records_total: u64,
    /// Bytes that were fetched.
    pub bytes_fetched: u64,
    /// Bytes that were here before.
    pub bytes_held: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}
