//! What lies in storage that may not read it: sealed for the life of a generation, under an opaque name.
//!
//! Equal bytes under equal names seal to equal bytes, so that publishing twice uploads once.
//! The name is bound in: storage cannot give one object for another. What is opened is still believed only because
//! of the author's signature and the hashes behind it.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

use super::derive::{Secret, derive, hash, parts};
use super::{NONCE_BYTES, Nonce, SealError};

/// Begins every sealed object: its format and version.
pub const MAGIC: [u8; 4] = *b"SBX1";
/// By how much a sealed object is longer than what is in it.
pub const OVERHEAD_BYTES: usize = HEAD_BYTES + 16;
const HEAD_BYTES: usize = MAGIC.len() + 4 + NONCE_BYTES;

/// The keys of storage of one generation.
#[derive(Debug, Clone)]
pub struct StorageKey {
    tag: [u8; 4],
    names: Secret<32>,
    objects: Secret<32>,
    nonces: Secret<32>,
}

impl StorageKey {
    pub(super) fn new(tag: [u8; 4], storage: &Secret<32>) -> Self {
        let make = |purpose: &[u8]| derive(storage.expose(), purpose);
        Self { tag, names: make(b"names"), objects: make(b"objects"), nonces: make(b"nonces") }
    }

    /// What is visible of the key, in every object and in no name.
    pub fn tag(&self) -> String {
        hex::encode(self.tag)
    }

    /// The name under which storage keeps an object: 40 hexadecimal digits.
    pub fn name(&self, name: &str) -> String {
        hex::encode(derive::<20>(self.names.expose(), name.as_bytes()).expose())
    }

    /// Seals an object.
    pub fn seal(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let content = hash(&[name.as_bytes(), bytes]);
        let nonce: Nonce = *derive::<NONCE_BYTES>(self.nonces.expose(), &content).expose();
        let sealed = XChaCha20Poly1305::new(self.objects.expose().into())
            .encrypt((&nonce).into(), Payload { msg: bytes, aad: &self.bound(name) })
            .expect("an object is far shorter than the cipher's 256 GB");
        [&MAGIC[..], &self.tag, &nonce, &sealed].concat()
    }

    /// Opens an object that was kept under this name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (head, sealed) = sealed.split_at_checked(HEAD_BYTES).ok_or(SealError::Shape)?;
        let (magic, head) = head.split_at(MAGIC.len());
        let (tag, nonce) = head.split_at(self.tag.len());
        if magic != MAGIC {
            return Err(SealError::Shape);
        }
        if tag != self.tag {
            return Err(SealError::KeyUnknown { kid: hex::encode(tag) });
        }
        let nonce: Nonce = nonce.try_into().map_err(|_| SealError::Shape)?;
        XChaCha20Poly1305::new(self.objects.expose().into())
            .decrypt((&nonce).into(), Payload { msg: sealed, aad: &self.bound(name) })
            .map_err(|_| SealError::Broken)
    }

    fn bound(&self, name: &str) -> Vec<u8> {
        parts(&[b"object", &self.tag, name.as_bytes()])
    }
}
