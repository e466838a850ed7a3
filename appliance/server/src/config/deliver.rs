//! Where settled transactions go from the main server.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use storebox_proto::ids::SinkId;

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliverTo {
    /// Tables of PostgreSQL.
    Postgres,
    /// A stream of NATS JetStream.
    Nats,
    /// A receiver of signed requests.
    Http,
    /// A folder of files with lines.
    Files,
}

/// One `[[deliver]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deliver {
    /// Its name; the cursor belongs to it.
    pub id: SinkId,
    /// What it is.
    pub to: DeliverTo,
    /// Where it is: an address, or the folder.
    pub url: String,
    /// Holds a password, a token or a shared secret.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// Holds the authorities that vouch for its certificate; empty: those of this machine.
    #[serde(default)]
    pub ca_file: PathBuf,
    /// The kinds of transactions; none are all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// NATS: the stream.
    #[serde(default = "stream")]
    pub stream: String,
    /// NATS: the first part of each subject.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// Files: a file is finished at this size.
    #[serde(default = "rotate_bytes")]
    pub rotate_bytes: u64,
    /// Files: a file is finished at this age, when the next transaction comes.
    #[serde(default = "rotate_minutes")]
    pub rotate_minutes: u64,
}

fn stream() -> String {
    "STOREBOX".to_owned()
}

fn prefix() -> String {
    "storebox".to_owned()
}

fn rotate_bytes() -> u64 {
    64 * 1024 * 1024
}

fn rotate_minutes() -> u64 {
    60
}
