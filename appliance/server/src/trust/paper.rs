//! Keys and certificates as files and as text.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use storebox_proto::trust::MemberKey;
use zeroize::Zeroizing;

use crate::files;

/// Nothing that is read here is larger.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a file of keys or certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// It cannot be read or written.
    #[error("use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path} does not hold {wanted}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What it should.
        wanted: &'static str,
    },
}

/// Reads a file that may hold a secret.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PaperError> {
    let fail = |source| PaperError::File { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(fail)?.len() > FILE_BYTES_MAX {
        return Err(fail(io::Error::other("larger than 1 MiB")));
    }
    std::fs::read(path).map(Zeroizing::new).map_err(fail)
}

/// Replaces a file of the box's own user alone.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), PaperError> {
    files::replace(path, content, files::PRIVATE)
        .map_err(|source| PaperError::File { path: path.to_owned(), source })
}

/// Makes a folder that only the box's own user enters.
pub(super) fn folder(path: &Path) -> Result<(), PaperError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| PaperError::File { path: path.to_owned(), source })
}

/// Reads a JSON file; nothing if there is none.
pub fn read_json<T: DeserializeOwned>(
    path: &Path,
    wanted: &'static str,
) -> Result<Option<T>, PaperError> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(PaperError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(PaperError::Content { path: path.to_owned(), wanted }),
    }
}

/// Writes a JSON file.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PaperError> {
    let text = serde_json::to_vec_pretty(value).expect("names, numbers and texts are JSON");
    write(path, &Zeroizing::new(text))
}

/// Reads a key, or makes it if there is none.
pub(super) fn key(path: &Path) -> Result<KeyPair, PaperError> {
    match path.exists() {
        true => read_key(path),
        false => new_key(path),
    }
}

/// Reads a key that must be there.
pub(super) fn read_key(path: &Path) -> Result<KeyPair, PaperError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).ok();
    text.and_then(|text| KeyPair::from_pem(text).ok())
        .ok_or_else(|| PaperError::Content { path: path.to_owned(), wanted: "a P-256 key as PEM" })
}

fn new_key(path: &Path) -> Result<KeyPair, PaperError> {
    let key = KeyPair::generate().expect("the kernel's random device always answers once booted");
    let pem = Zeroizing::new(key.serialize_pem());
    write(path, pem.as_bytes())?;
    Ok(key)
}

/// The key as TLS takes it.
pub(super) fn private_der(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

/// The public half.
pub fn public(key: &KeyPair) -> MemberKey {
    MemberKey::from_point(key.public_key_raw()).expect("a P-256 key is an uncompressed point")
}

/// A certificate as text.
pub fn to_text(certificate: &CertificateDer<'_>) -> String {
    STANDARD.encode(certificate)
}

/// A certificate from text.
pub fn from_text(text: &str) -> Option<CertificateDer<'static>> {
    STANDARD.decode(text).ok().map(CertificateDer::from)
}

/// All certificates of a PEM file, the server's own first.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PaperError> {
    chain_of(path, &read(path)?)
}

/// The same from memory; `path` says where it came from.
pub(super) fn chain_of(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, PaperError> {
    let wanted = "certificates as PEM";
    let refuse = || PaperError::Content { path: path.to_owned(), wanted };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(refuse)
}

/// The secret key of a PEM file.
pub(super) fn read_private(path: &Path) -> Result<PrivateKeyDer<'static>, PaperError> {
    private_of(path, &read(path)?)
}

/// The same from memory; `path` says where it came from.
pub(super) fn private_of(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, PaperError> {
    PrivateKeyDer::from_pem_slice(bytes)
        .map_err(|_| PaperError::Content { path: path.to_owned(), wanted: "a secret key as PEM" })
}

/// A certificate as PEM, for browsers and scanners.
pub fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let text = to_text(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box.key");
        let first = public(&key(&path).unwrap());
        assert_eq!(public(&key(&path).unwrap()), first);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "damaged").unwrap();
        assert!(matches!(key(&path), Err(PaperError::Content { .. })));
    }
}
