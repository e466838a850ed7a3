//! Authorities that vouch for servers of the company and of the internet: those of a file, or those of this machine.
//!
//! They are for what head office certifies nobody for: storage, databases, receivers of deliveries, a load balancer.
//! Some of these speak nothing newer than TLS 1.2, so towards them it is spoken; members of the chain and tills never
//! hear it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::client::{Clock, provider};

/// A file with every public authority has a quarter of this.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The file cannot be read.
    #[error("read the authorities in {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("{path} holds no certificate of an authority as PEM")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// This machine knows no authority.
    #[error("this machine knows no public authority: name a file with ca_file")]
    NoneHere,
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
}

/// The client's end of TLS that believes the authorities in this file; without a file, those of this machine.
pub fn config(file: &Path) -> Result<Arc<ClientConfig>, AuthoritiesError> {
    let mut roots = RootCertStore::empty();
    if file.as_os_str().is_empty() {
        let here = rustls_native_certs::load_native_certs();
        let (taken, _) = roots.add_parsable_certificates(here.certs);
        if taken == 0 {
            return Err(AuthoritiesError::NoneHere);
        }
    } else {
        let (taken, _) = roots.add_parsable_certificates(read(file)?);
        if taken == 0 {
            return Err(AuthoritiesError::Empty { path: file.to_owned() });
        }
    }
    let config = ClientConfig::builder_with_details(provider(), Arc::new(Clock))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, AuthoritiesError> {
    let fail = |source| AuthoritiesError::File { path: file.to_owned(), source };
    if std::fs::metadata(file).map_err(fail)?.len() > FILE_BYTES_MAX {
        return Err(fail(io::Error::other("too large for certificates")));
    }
    let text = std::fs::read(file).map_err(fail)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>();
    found.map_err(|_| AuthoritiesError::Empty { path: file.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_authority_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("company.pem");
        assert!(matches!(config(&file), Err(AuthoritiesError::File { .. })));
        for text in
            ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            std::fs::write(&file, text).unwrap();
            let refused = config(&file).unwrap_err().to_string();
            assert!(refused.contains("company.pem"), "{refused}");
        }
    }
}
