//! Where heads and objects come from.
//!
//! A source needs no trust: heads are signed and objects are named by their hash, both checked by whoever reads
//! through the tiers and again by the fetch machine.
//! What it could still do is waste time and memory, so every answer has a time and a size that it may not exceed,
//! and a redirect is never followed: it could lead anywhere.

mod http;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::InvalidHeaderValue;
use storebox_proto::feed::Position;
use storebox_proto::ids::{FeedId, Hash32};
use storebox_proto::limits::{HEAD_BYTES_MAX, LONG_POLL_MAX};
use storebox_proto::skew::Skew;
use storebox_proto::sync::ladder::Fault;

use super::board::Board;
use super::storage::{Storage, StorageError};
use crate::valve::Valve;
use crate::wire::WireError;

pub use http::HttpSource;

/// A signed head as it travels: its payload is quoted, so at most twice as long.
pub(in crate::replica) const SIGNED_HEAD_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;

/// Why a source did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No answer, or not in time.
    #[error("ask {url}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that has begun, or should have, and does not go on.
    #[error("{url}: nothing comes for {silence:?}")]
    Silent {
        /// What was asked for.
        url: String,
        /// For how long.
        silence: Duration,
    },
    /// An answer that is no help.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// It speaks a version of the interface that does not work with this box's.
    #[error("{url}: {skew}")]
    Skew {
        /// What was asked for.
        url: String,
        /// Which of the two is too old.
        skew: Skew,
    },
    /// It sends elsewhere; that is never followed.
    #[error("{url} redirects to {to:?}, which is not followed")]
    Redirected {
        /// What was asked for.
        url: String,
        /// Where it sends.
        to: String,
    },
    /// The source does not have it (any more).
    #[error("{url} is not there")]
    Gone {
        /// What was asked for.
        url: String,
    },
    /// The answer is longer than it may be; the rest of it was not read.
    #[error("{url} sent more than {bytes_max} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// What it may be.
        bytes_max: usize,
    },
    /// The bytes are not those of the name, or the head is not signed by an author who is believed.
    #[error("source {id} gave something forged or damaged: {reason}")]
    Forged {
        /// The source.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// The head is older than what is in service.
    #[error("source {id} offers {offered}, older than {here}, which is in service")]
    Stale {
        /// The source.
        id: String,
        /// What it offers.
        offered: Position,
        /// What is here.
        here: Position,
    },
    /// The sealed line does not answer, or not in a way that can be believed.
    #[error("ask {url}, sealed")]
    Sealed {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: WireError,
    },
    /// This node's own board and segments have no such object.
    #[error("object {name} is not on this node")]
    Missing {
        /// Its name.
        name: Hash32,
    },
    /// Every source that answers said lately that it does not have it.
    #[error("no source that answers has object {name}; they are asked again within a minute")]
    Absent {
        /// Its name.
        name: Hash32,
    },
    /// The line is cut on purpose.
    #[error("a drill cuts the line")]
    Drill,
    /// The storage does not answer.
    #[error(transparent)]
    Storage(StorageError),
    /// No source may be asked now.
    #[error("no source answers")]
    Nowhere,
}

impl SourceError {
    /// What it says about the source; nothing if it may be as good as any other.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Drill => Some(Fault::Silent),
            Self::Storage(error) => Some(error.fault()),
            Self::Status { status: 401 | 403, .. } => Some(Fault::Forbidden),
            Self::Status { status: 426, .. } | Self::Skew { .. } => Some(Fault::Skewed),
            Self::Status { status, .. } => Some(Fault::Unable { status: *status }),
            Self::Redirected { .. } => Some(Fault::Redirects),
            Self::TooLarge { .. } | Self::Forged { .. } => Some(Fault::Lied),
            Self::Stale { .. } => Some(Fault::Stale),
            Self::Sealed { source, .. } => Some(sealed_fault(source)),
            Self::Gone { .. } | Self::Missing { .. } | Self::Absent { .. } | Self::Nowhere => None,
        }
    }

    /// Whether it took too long, as on a line that carries more than it can.
    pub fn is_late(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Storage(StorageError::Late { .. }) => true,
            Self::Unreachable { source, .. } => source.is_timeout(),
            Self::Sealed { source, .. } => sealed_is_late(source),
            Self::Status { .. }
            | Self::Skew { .. }
            | Self::Redirected { .. }
            | Self::Gone { .. }
            | Self::TooLarge { .. }
            | Self::Forged { .. }
            | Self::Stale { .. }
            | Self::Missing { .. }
            | Self::Absent { .. }
            | Self::Drill
            | Self::Storage(_)
            | Self::Nowhere => false,
        }
    }

    /// Whether the source has a newer head than the one that named this.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Gone { .. } | Self::Missing { .. } | Self::Absent { .. } => true,
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Status { .. }
            | Self::Skew { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. }
            | Self::Forged { .. }
            | Self::Stale { .. }
            | Self::Sealed { .. }
            | Self::Drill
            | Self::Storage(_)
            | Self::Nowhere => false,
        }
    }
}

fn sealed_is_late(error: &WireError) -> bool {
    match error {
        WireError::Transport(error) => error.is_timeout(),
        WireError::Silent { .. } => true,
        WireError::NoKey { .. }
        | WireError::Seal(_)
        | WireError::Refused { .. }
        | WireError::TooLarge { .. } => false,
    }
}

fn sealed_fault(error: &WireError) -> Fault {
    match error {
        WireError::NoKey { .. } | WireError::Transport(_) | WireError::Silent { .. } => {
            Fault::Silent
        }
        WireError::Refused { status: 401 | 403, .. } => Fault::Forbidden,
        WireError::Refused { status, .. } => Fault::Unable { status: *status },
        WireError::Seal(_) | WireError::TooLarge { .. } => Fault::Lied,
    }
}

/// Why a source cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceRefused {
    /// Not an address.
    #[error("{address:?} is not a URL such as http://main.example:7600")]
    Address {
        /// What was given.
        address: String,
    },
    /// The token has characters that no header may have.
    #[error("the token of the source cannot be sent")]
    Token(#[from] InvalidHeaderValue),
    /// The HTTP client does not start.
    #[error("start the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// What is wanted of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadWish {
    /// What is in service.
    pub after: Option<Position>,
    /// Hold the request open until there is something else, at most so long.
    pub wait: Duration,
    /// The newest head all of whose snapshot is there: what an empty box needs of a peer.
    pub whole: bool,
}

impl HeadWish {
    /// As the fetch machine asks for it.
    pub fn new(after: Option<Position>, wait: bool) -> Self {
        let wait = if wait { LONG_POLL_MAX } else { Duration::ZERO };
        Self { after, wait, whole: false }
    }
}

/// Who feeds a replica.
#[derive(Clone)]
pub enum Source {
    /// Another box.
    Http(HttpSource),
    /// Published feeds.
    Storage(Storage),
    /// The author on this very node: its heads are on the board, its objects in the same segment store.
    Local(Board),
}

impl Source {
    /// The signed head, or nothing if it is still this one.
    pub async fn head(&self, feed: &FeedId, wish: HeadWish) -> Result<Option<Bytes>, SourceError> {
        match self {
            Self::Http(source) => through(source.valve(), source.head(feed, wish)).await,
            Self::Storage(storage) => through(storage.valve(), storage.head(feed, wish)).await,
            Self::Local(board) => {
                let newer = board.newer(feed, wish.after, wish.wait).await;
                Ok(newer.map(|posted| posted.bytes))
            }
        }
    }

    /// An object of at most so many bytes.
    pub async fn object(&self, name: &Hash32, bytes_max: u32) -> Result<Bytes, SourceError> {
        match self {
            Self::Http(source) => through(source.valve(), source.object(name, bytes_max)).await,
            Self::Storage(storage) => {
                through(storage.valve(), storage.object(name, bytes_max)).await
            }
            Self::Local(_) => Err(SourceError::Missing { name: *name }),
        }
    }

    /// Looks whether it would answer.
    pub async fn probe(&self) -> Result<(), SourceError> {
        match self {
            Self::Http(source) => through(source.valve(), source.probe()).await,
            Self::Storage(storage) => through(storage.valve(), storage.probe()).await,
            Self::Local(_) => Ok(()),
        }
    }

    /// Where it is, without any secret.
    pub fn name(&self) -> String {
        match self {
            Self::Http(source) => source.address().to_owned(),
            Self::Storage(storage) => storage.name().to_owned(),
            Self::Local(_) => "this box".to_owned(),
        }
    }
}

async fn through<T>(
    valve: &Valve,
    work: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, SourceError> {
    valve.pass(work).await.unwrap_or(Err(SourceError::Drill))
}

#[cfg(test)]
mod tests;
