//! `[[source]]`: where a box reads and settles besides `[main]`, in which order.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storebox_proto::ids::SourceId;
use storebox_proto::sync::ladder::{Kind, Service};

use super::KeyText;

/// A further source, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name.
    pub id: SourceId,
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub url: String,
    /// Lower is asked first; nothing: as usual for its kind.
    #[serde(default)]
    pub priority: Option<u16>,
    /// What it is used for; nothing: all that its kind can do.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Holds the token that it gave this box.
    #[serde(default)]
    pub token_file: PathBuf,
    /// Who signs its receipts, if that is not the main server.
    #[serde(default)]
    pub public_key: KeyText,
}
