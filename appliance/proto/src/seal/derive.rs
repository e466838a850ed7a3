//! Keys from keys: HKDF-SHA256 with one salt for all of version 1.

use std::fmt;

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Separates version 1 from whatever else is made from the same secret.
const SALT: &[u8] = b"storebox/seal/v1";

/// Bytes that are wiped when they are dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<const N: usize>(Zeroizing<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes these bytes; the caller's copy is the caller's to wipe.
    pub fn new(bytes: [u8; N]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the cipher that needs them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A key for one purpose.
pub(super) fn derive<const N: usize>(from: &[u8; 32], purpose: &[u8]) -> Secret<N> {
    let mut key = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(Some(SALT), from)
        .expand(purpose, &mut *key)
        .expect("every key of version 1 is shorter than 255 hashes");
    Secret(key)
}

/// Each part with its length before it, so that no two lists look the same.
pub(super) fn parts(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(parts.iter().map(|part| 4 + part.len()).sum());
    for part in parts {
        let length = u32::try_from(part.len()).expect("parts are far below 4 GB");
        joined.extend_from_slice(&length.to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

/// The SHA-256 of these parts, each with its length before it.
pub(super) fn hash(of: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in of {
        let length = u32::try_from(part.len()).expect("parts are far below 4 GB");
        hasher.update(length.to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
