//! `[[source]]`: where a box reads and settles besides `[main]`, in which order; `[[publish]]`: where head office
//! puts its feeds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storebox_proto::ids::{SiteId, SourceId};
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
    /// Its share of the boxes among sources of the same priority and kind; 0: none.
    #[serde(default)]
    pub weight: u16,
    /// What it is used for; nothing: all that its kind can do.
    #[serde(default)]
    pub services: Vec<Service>,
    /// Holds the token that it gave this box.
    #[serde(default)]
    pub token_file: PathBuf,
    /// For storage: the user, or the id of the access key.
    #[serde(default)]
    pub user: String,
    /// For storage: holds the password, or the secret of the access key.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// For a bucket: where its service is.
    #[serde(default)]
    pub endpoint: String,
    /// For a bucket: the service's region.
    #[serde(default)]
    pub region: String,
    /// Who signs its receipts, if that is not the main server.
    #[serde(default)]
    pub public_key: KeyText,
    /// Whether everything goes there sealed.
    #[serde(default)]
    pub sealed: bool,
    /// For a server with an https URL: the site that it is certified for; nothing: that of the main server.
    #[serde(default)]
    pub site: Option<SiteId>,
    /// Holds the authorities by which an https URL is believed instead; for storage, empty: those of this machine.
    #[serde(default)]
    pub ca_file: PathBuf,
    /// For storage: the site whose ring seals all of it; empty: it lies there as it is.
    #[serde(default)]
    pub ring: String,
}

/// Storage to which head office publishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Its name.
    pub id: SourceId,
    /// Where it is.
    pub url: String,
    /// The user, or the id of the access key.
    #[serde(default)]
    pub user: String,
    /// Holds the password, or the secret of the access key.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// For a bucket: where its service is.
    #[serde(default)]
    pub endpoint: String,
    /// For a bucket: the service's region.
    #[serde(default)]
    pub region: String,
    /// Holds the authorities by which an https URL is believed; empty: those of this machine.
    #[serde(default)]
    pub ca_file: PathBuf,
    /// The site whose ring seals all of it; empty: it lies there as it is.
    #[serde(default)]
    pub ring: String,
}

/// The other boxes of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    /// Whether boxes that announce themselves on the LAN become sources.
    pub discover: bool,
    /// Holds the secret that all boxes of the store share; empty: this box knows no neighbours.
    pub secret_file: PathBuf,
}

/// What is waited for before a till is told that its ticket is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// Both boxes, as long as the mirror answers in its time.
    #[default]
    Mirrored,
    /// This box; the mirror follows.
    Held,
}

/// A second box for what this one holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mirror {
    /// The source that it is; empty: none.
    pub peer: String,
    /// What is waited for.
    pub require: Require,
    /// How long, in milliseconds.
    pub wait_ms: u64,
}

impl Default for Mirror {
    fn default() -> Self {
        Self { peer: String::new(), require: Require::Mirrored, wait_ms: 500 }
    }
}
