//! What is sealed on the way, where secrets rest, and how persons log in.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storebox_proto::seal::Scope;
use storebox_proto::token::Right;

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

/// How persons log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// Minutes that a token lasts; a till renews it.
    pub token_minutes: u32,
    /// Hours after which the password is typed again.
    pub shift_hours: u32,
    /// Rights for which a person has to be logged in.
    pub required: Vec<Right>,
    /// Holds the pepper of the site.
    pub pepper_file: PathBuf,
}

impl Default for Login {
    fn default() -> Self {
        let pepper_file = PathBuf::new();
        Self { token_minutes: 15, shift_hours: 12, required: Vec::new(), pepper_file }
    }
}

impl Login {
    /// How long a token lasts.
    pub fn token(&self) -> Duration {
        Duration::from_secs(u64::from(self.token_minutes) * 60)
    }

    /// After how long the password is typed again.
    pub fn shift(&self) -> Duration {
        Duration::from_secs(u64::from(self.shift_hours) * 3600)
    }
}
