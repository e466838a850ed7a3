//! The customer's own certificate, for browsers that believe public authorities only.
//!
//! Head office obtains it and puts certificate and key where the configuration says; a new one is taken without a
//! restart, a bad one is refused and the old one stays in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::sign::CertifiedKey;

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

/// The certificate for one name; cheap to clone.
#[derive(Debug, Clone)]
pub struct Customer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    domain: String,
    certificate: PathBuf,
    key: PathBuf,
    in_force: ArcSwapOption<InForce>,
}

#[derive(Debug)]
struct InForce {
    key: Arc<CertifiedKey>,
    written: Option<SystemTime>,
}

impl Customer {
    /// The certificate in these files; it may come later.
    pub fn new(domain: String, certificate: PathBuf, key: PathBuf) -> Self {
        let in_force = ArcSwapOption::empty();
        Self { inner: Arc::new(Inner { domain, certificate, key, in_force }) }
    }

    /// The name.
    pub fn domain(&self) -> &str {
        &self.inner.domain
    }

    /// Reads the files if they have changed. True if a new certificate is in force.
    pub fn refresh(&self) -> Result<bool, CustomerError> {
        let inner = &self.inner;
        let written = std::fs::metadata(&inner.certificate).and_then(|meta| meta.modified()).ok();
        let known = inner.in_force.load();
        if known.as_ref().is_some_and(|known| known.written == written) {
            return Ok(false);
        }
        let chain = paper::read_chain(&inner.certificate)?;
        let domain = inner.domain.clone();
        let own = webpki::EndEntityCert::try_from(&chain[0]).ok();
        let name = rustls::pki_types::ServerName::try_from(domain.as_str()).ok();
        let fits = own
            .zip(name)
            .is_some_and(|(own, name)| own.verify_is_valid_for_subject_name(&name).is_ok());
        if !fits {
            return Err(CustomerError::OtherName { domain });
        }
        let private = paper::read_private(&inner.key)?;
        let fail = |source| CustomerError::Certificate { domain: domain.clone(), source };
        let signer = provider().key_provider.load_private_key(private).map_err(fail)?;
        let key = CertifiedKey::new(chain, signer);
        key.keys_match().map_err(fail)?;
        inner.in_force.store(Some(Arc::new(InForce { key: Arc::new(key), written })));
        Ok(true)
    }

    pub(super) fn key_for(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let is_ours = name.eq_ignore_ascii_case(&self.inner.domain);
        let in_force = is_ours.then(|| self.inner.in_force.load_full()).flatten()?;
        Some(Arc::clone(&in_force.key))
    }
}
