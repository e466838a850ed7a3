//! A company's own authority for TLS, and the certificates of its servers.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Where every server of these tests is.
const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// Files that a server needs, as PEM.
pub struct Certified {
    /// Its certificate.
    pub certificate: PathBuf,
    /// Its secret key.
    pub key: PathBuf,
}

/// An authority.
pub struct Company {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Company {
    /// A new one, with everything below this folder.
    pub fn found(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "A company");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate()?;
        let company = Self { folder: folder.to_owned(), issuer: Issuer::new(params.clone(), key) };
        fs::write(company.authority(), params.self_signed(company.issuer.key())?.pem())?;
        Ok(company)
    }

    /// The file by which its servers are believed.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// What a server on this machine shows.
    pub fn certify(&self) -> anyhow::Result<Certified> {
        let params = CertificateParams::new(HOSTS.map(str::to_owned))?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let files = Certified {
            certificate: self.folder.join("server.pem"),
            key: self.folder.join("server.key"),
        };
        fs::write(&files.certificate, certificate.pem())?;
        fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}
