//! The customer's own certificate, for browsers that believe public authorities only.
//!
//! Head office obtains it, and sends certificate and key with the estate, sealed for the boxes of one site; or somebody
//! puts both where the configuration says.
//! A new one is taken without a restart, a bad one is refused and the old one stays in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::client::provider;
use super::paper::{self, PaperError};

/// Why the customer's certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CustomerError {
    /// The disk.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// It cannot be used for TLS.
    #[error("use the certificate for {domain}")]
    Certificate {
        /// The name.
        domain: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// It is for another name.
    #[error("the certificate is not for {domain}")]
    OtherName {
        /// The name.
        domain: String,
    },
}

/// The model whose records carry it: one for each site, whose name is the id.
pub const MODEL: &str = "BrowserCertificate";

/// A certificate with its key, as head office sends it (sealed) and a box keeps it (in the vault).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The certificates as PEM, the server's own first.
    pub certificate: String,
    /// The secret key as PEM.
    pub key: String,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sent(…)")
    }
}

impl Sent {
    /// The name under which it is sealed for a site: sealed for one, it opens for no other.
    pub fn sealed_as(site: &str) -> String {
        format!("browser-certificate/{site}")
    }
}

/// The certificate for one name; cheap to clone.
#[derive(Debug, Clone)]
pub struct Customer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    domain: String,
    /// Certificate and key; none: they come with the estate.
    files: Option<(PathBuf, PathBuf)>,
    in_force: ArcSwapOption<InForce>,
}

#[derive(Debug)]
struct InForce {
    key: Arc<CertifiedKey>,
    written: Option<SystemTime>,
}

impl Customer {
    /// The certificate for this name, in these files or sent by head office; it may come later.
    pub fn new(domain: String, files: Option<(PathBuf, PathBuf)>) -> Self {
        let in_force = ArcSwapOption::empty();
        Self { inner: Arc::new(Inner { domain, files, in_force }) }
    }

    /// The name.
    pub fn domain(&self) -> &str {
        &self.inner.domain
    }

    /// Whether it comes with the estate.
    pub fn is_sent(&self) -> bool {
        self.inner.files.is_none()
    }

    /// Reads the files if they have changed. True if a new certificate is in force.
    pub fn refresh(&self) -> Result<bool, CustomerError> {
        let inner = &self.inner;
        let Some((certificate, key)) = &inner.files else { return Ok(false) };
        let written = std::fs::metadata(certificate).and_then(|meta| meta.modified()).ok();
        let known = inner.in_force.load();
        if known.as_ref().is_some_and(|known| known.written == written) {
            return Ok(false);
        }
        let certified =
            certified(&inner.domain, paper::read_chain(certificate)?, paper::read_private(key)?)?;
        inner.in_force.store(Some(Arc::new(InForce { key: Arc::new(certified), written })));
        Ok(true)
    }

    /// Takes what head office has sent.
    pub fn take(&self, sent: &Sent) -> Result<(), CustomerError> {
        let inner = &self.inner;
        let certified = sent.certified(&inner.domain)?;
        let in_force = InForce { key: Arc::new(certified), written: None };
        inner.in_force.store(Some(Arc::new(in_force)));
        Ok(())
    }

    pub(super) fn key_for(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let is_ours = name.eq_ignore_ascii_case(&self.inner.domain);
        let in_force = is_ours.then(|| self.inner.in_force.load_full()).flatten()?;
        Some(Arc::clone(&in_force.key))
    }
}

impl Sent {
    /// Certificate and key, if they belong together and to this name.
    pub fn certified(&self, domain: &str) -> Result<CertifiedKey, CustomerError> {
        let from = Path::new("what head office has sent");
        let chain = paper::chain_of(from, self.certificate.as_bytes())?;
        certified(domain, chain, paper::private_of(from, self.key.as_bytes())?)
    }
}

fn certified(
    domain: &str,
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, CustomerError> {
    let domain = domain.to_owned();
    let own = webpki::EndEntityCert::try_from(&chain[0]).ok();
    let name = rustls::pki_types::ServerName::try_from(domain.as_str()).ok();
    let fits = own
        .zip(name)
        .is_some_and(|(own, name)| own.verify_is_valid_for_subject_name(&name).is_ok());
    if !fits {
        return Err(CustomerError::OtherName { domain });
    }
    let fail = |source| CustomerError::Certificate { domain: domain.clone(), source };
    let signer = provider().key_provider.load_private_key(private).map_err(fail)?;
    let key = CertifiedKey::new(chain, signer);
    key.keys_match().map_err(fail)?;
    Ok(key)
}
