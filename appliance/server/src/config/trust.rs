//! TLS on the LAN, and what browsers may.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// TLS on the LAN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Addresses; port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// The customer's own name for this box; empty: none.
    pub domain: String,
    /// Certificates for that name, as PEM.
    pub certificate_file: PathBuf,
    /// Their secret key, as PEM.
    pub key_file: PathBuf,
}

/// What browsers may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Browser {
    /// Web pages of these origins may use the box.
    pub origins: Vec<String>,
    /// The box answers to these names besides its own.
    pub hosts: Vec<String>,
}
