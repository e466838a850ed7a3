//! Why the list of clients cannot be read or changed.

use std::io;

use storebox_proto::ids::InvalidName;

use super::ENTRIES_MAX;

/// Why an entry cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read or written.
    #[error("{file}: cannot be used")]
    File {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{file}: is not a list of clients")]
    Content {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The file was written by a newer version.
    #[error("{file}: has version {version}, this program knows 1")]
    Version {
        /// Which file.
        file: String,
        /// What it says.
        version: u32,
    },
    /// The name breaks its rule.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The name is in use.
    #[error("{0} exists already; revoke it first")]
    Exists(String),
    /// The name is not in use.
    #[error("{0} does not exist")]
    Unknown(String),
    /// The key is another member's.
    #[error("the key belongs to another member of this box")]
    KeyTaken,
    /// Too many entries.
    #[error("{ENTRIES_MAX} clients are known, one more is not taken")]
    Full,
}
