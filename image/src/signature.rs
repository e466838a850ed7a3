//! Who made a release: an Ed25519 signature over the manifest's bytes.
//!
//! The signature covers the bytes as they lie in the file, not a re-encoding of them, behind a word
//! that no other signature of ours begins with. The file names its key, so that a release signed
//! with a key we do not know is told apart from one that was changed after signing.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

pub const SIGNATURE_BYTES: usize = 64;
pub const KEY_ID_BYTES: usize = 8;
const DOMAIN: &[u8] = b"storebox release manifest v1\0";
const APPROVAL_DOMAIN: &[u8] = b"storebox release approval v1\0";

/// Short name of a public key: the start of its hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub [u8; KEY_ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key that signs releases. Its debug print shows no secret.
pub struct ReleaseKey(SigningKey);

/// A key whose releases are believed.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedKey(VerifyingKey);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error("key is not 64 hexadecimal digits")]
    Format,
    #[error("key is no usable Ed25519 public key")]
    Weak,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("signed with key {key}, which is not trusted here")]
    UnknownKey { key: KeyId },
    #[error("the signature of key {key} does not fit: the manifest was changed after signing")]
    Tampered { key: KeyId },
}

impl ReleaseKey {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The secret as its file holds it.
    pub fn to_secret_text(&self) -> String {
        hex::encode(self.0.to_bytes()) + "\n"
    }

    pub fn public(&self) -> TrustedKey {
        TrustedKey(self.0.verifying_key())
    }

    /// Signs an approval, which no signature of a manifest can be taken for.
    pub fn sign_approval(&self, approval: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&[APPROVAL_DOMAIN, approval].concat()).to_bytes()
    }

    pub fn sign(&self, manifest: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&signed_bytes(manifest)).to_bytes()
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey({})", self.public().id())
    }
}

impl FromStr for ReleaseKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode(text).map(Self::from_seed)
    }
}

impl TrustedKey {
    pub fn id(&self) -> KeyId {
        let hash = blake3::hash(self.0.as_bytes());
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&hash.as_bytes()[..KEY_ID_BYTES]);
        KeyId(id)
    }
}

impl TrustedKey {
    /// Whether this key signed this approval.
    pub fn has_approved(&self, approval: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let signed = [APPROVAL_DOMAIN, approval].concat();
        self.0.verify_strict(&signed, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TrustedKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = VerifyingKey::from_bytes(&decode(text)?).map_err(|_| InvalidKey::Weak)?;
        if key.is_weak() { Err(InvalidKey::Weak) } else { Ok(Self(key)) }
    }
}

/// Checks a manifest against the keys that are trusted; more than one while a key is replaced.
pub fn verify(
    manifest: &[u8],
    key: KeyId,
    signature: &[u8; SIGNATURE_BYTES],
    trusted: &[TrustedKey],
) -> Result<(), SignatureError> {
    let known = trusted.iter().find(|trusted| trusted.id() == key);
    let known = known.ok_or(SignatureError::UnknownKey { key })?;
    known
        .0
        .verify_strict(&signed_bytes(manifest), &Signature::from_bytes(signature))
        .map_err(|_| SignatureError::Tampered { key })
}

fn signed_bytes(manifest: &[u8]) -> Vec<u8> {
    [DOMAIN, manifest].concat()
}

fn decode(text: &str) -> Result<[u8; 32], InvalidKey> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| InvalidKey::Format)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_bytes_and_its_key_only() {
        let (ours, theirs) = (ReleaseKey::from_seed([1; 32]), ReleaseKey::from_seed([2; 32]));
        let signature = ours.sign(b"release");
        let check = |manifest: &[u8], key: &ReleaseKey, trusted: &[TrustedKey]| {
            verify(manifest, key.public().id(), &signature, trusted)
        };
        let key = ours.public().id();
        assert_eq!(check(b"release", &ours, &[theirs.public(), ours.public()]), Ok(()));
        assert_eq!(
            check(b"relaese", &ours, &[ours.public()]),
            Err(SignatureError::Tampered { key })
        );
        let unknown = Err(SignatureError::UnknownKey { key });
        assert_eq!(check(b"release", &ours, &[theirs.public()]), unknown);
        let claimed = check(b"release", &theirs, &[theirs.public()]);
        assert!(matches!(claimed, Err(SignatureError::Tampered { .. })));
    }

    #[test]
    fn keys_survive_their_files_and_print_no_secret() {
        let key = ReleaseKey::from_seed([3; 32]);
        let again: ReleaseKey = key.to_secret_text().parse().unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        assert!(!format!("{key:?}").contains("0303"));
        assert_eq!("0303".parse::<TrustedKey>(), Err(InvalidKey::Format));
        assert_eq!("00".repeat(32).parse::<TrustedKey>(), Err(InvalidKey::Weak));
    }
}
