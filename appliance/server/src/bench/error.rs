//! Why a measurement could not be made.

use std::io;
use std::process::ExitStatus;

use storebox_proto::problem::Problem;

use crate::db;
use crate::demo;
use crate::demo::dataset;
use crate::devices::spool::SpoolOpenError;
use crate::uplink::OutboxOpenError;

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no data to measure with.
    #[error("use the data set")]
    Data(#[from] dataset::Error),
    /// The boxes do not do what they should.
    #[error("run head office and a shop")]
    Stage(#[from] demo::Error),
    /// A file or process could not be made.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The segments could not be written.
    #[error("write the segments")]
    Write(#[from] db::SnapshotError),
    /// The segments could not be stored.
    #[error("store the segments")]
    Store(#[from] db::StoreError),
    /// The replica could not be opened.
    #[error("open the replica")]
    Open(#[from] db::OpenError),
    /// The replica refused the segments.
    #[error("take the segments into service")]
    Adopt(#[from] db::AdoptError),
    /// The replica could not be read.
    #[error("read the replica")]
    Read(#[from] db::ReadError),
    /// The replica gave another answer than the data.
    #[error("find {0} in the replica")]
    Wrong(String),
    /// The outbox could not be opened.
    #[error("open the outbox")]
    Outbox(#[from] OutboxOpenError),
    /// The spool could not be opened.
    #[error("open the spool")]
    Spool(#[from] SpoolOpenError),
    /// The box refused.
    #[error("hand something over to the box")]
    Refused(#[from] Problem),
    /// A producer broke.
    #[error("run a producer")]
    Producer(#[from] tokio::task::JoinError),
    /// One part failed.
    #[error("measure {part}: {status}")]
    Part {
        /// Which.
        part: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
}
