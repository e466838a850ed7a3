//! What is sealed on the way, and where secrets rest.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storebox_proto::seal::Scope;

/// What comes and goes sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seal {
    /// Seconds for which caches may keep masterdata that tills read.
    pub max_age_s: u32,
    /// Who has to come sealed.
    pub required: Vec<Scope>,
}

impl Default for Seal {
    fn default() -> Self {
        Self { max_age_s: 30, required: Vec::new() }
    }
}

/// Where secrets rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Secrets {
    /// Holds the key of the vault, if no credential does.
    pub key_file: PathBuf,
}
