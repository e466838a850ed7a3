//! Where masterdata comes from at the main server, besides imports of files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storebox_proto::ids::{ModelName, SinkId};

/// One `[[intake]]`: a PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// Its name; what was seen belongs to it.
    pub id: SinkId,
    /// Its address.
    pub url: String,
    /// Holds the password.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// Holds the authorities that vouch for its certificate; empty: those of this machine.
    #[serde(default)]
    pub ca_file: PathBuf,
    /// Seconds between two looks for changes.
    #[serde(default = "every_s")]
    pub every_s: u64,
    /// Seconds before the newest change from which rows are read again.
    #[serde(default = "overlap_s")]
    pub overlap_s: u64,
    /// Seconds between two comparisons of the whole.
    #[serde(default = "reconcile_s")]
    pub reconcile_s: u64,
    /// What is read.
    #[serde(default, rename = "table")]
    pub tables: Vec<IntakeTable>,
}

/// One `[[intake.table]]`: the rows of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeTable {
    /// The model.
    pub model: ModelName,
    /// A table or view, or a `select`.
    pub from: String,
    /// The column that names a record.
    pub key: String,
    /// The column that says when a row was updated; empty: there is none, only the whole is compared.
    #[serde(default)]
    pub updated: String,
    /// Fields of the record and their columns; none: every column under its own name.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

fn every_s() -> u64 {
    30
}

fn overlap_s() -> u64 {
    300
}

fn reconcile_s() -> u64 {
    86_400
}
