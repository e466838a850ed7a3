//! Public keys of members and their fingerprints.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::InvalidName;

/// What stands before the point in the SubjectPublicKeyInfo of every P-256 key.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// An uncompressed point.
const POINT_BYTES: usize = 65;

/// The SHA-256 of a SubjectPublicKeyInfo: names a key, whatever certificate carries it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of this SubjectPublicKeyInfo.
    pub fn of(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }

    /// Eight digits that people can compare at a glance; not for anything else.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.short())
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(InvalidName {
                kind: "fingerprint",
                value: text.chars().take(64).collect(),
                rule: "64 hexadecimal digits",
            }),
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(value: Fingerprint) -> Self {
        value.to_string()
    }
}

/// The public key of a member: a point on P-256, which browsers, Java and Windows all take; 130 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberKey([u8; POINT_BYTES]);

impl MemberKey {
    /// The key of an uncompressed point; whether it is on the curve shows when it is used.
    pub fn from_point(point: &[u8]) -> Option<Self> {
        let point: [u8; POINT_BYTES] = point.try_into().ok()?;
        (point[0] == 4).then_some(Self(point))
    }

    /// The uncompressed point.
    pub fn point(&self) -> &[u8] {
        &self.0
    }

    /// Its SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }

    /// The name of the key.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.spki())
    }
}

impl fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberKey({})", self.fingerprint().short())
    }
}

impl TryFrom<String> for MemberKey {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let point = hex::decode(&text).ok();
        point.and_then(|point| Self::from_point(&point)).ok_or_else(|| InvalidName {
            kind: "key",
            value: text.chars().take(64).collect(),
            rule: "an uncompressed point of P-256 as 130 hexadecimal digits",
        })
    }
}

impl From<MemberKey> for String {
    fn from(key: MemberKey) -> Self {
        hex::encode(key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_its_spki() {
        let mut point = [9; POINT_BYTES];
        point[0] = 4;
        let key = MemberKey::from_point(&point).unwrap();
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<MemberKey>(&text).unwrap(), key);
        assert_eq!(key.spki().strip_prefix(&SPKI_PREFIX).unwrap(), key.point());
        assert_eq!(
            key.fingerprint().to_string().parse::<Fingerprint>().unwrap(),
            key.fingerprint()
        );
    }

    #[test]
    fn what_is_no_uncompressed_point_is_refused() {
        assert!(MemberKey::from_point(&[2; 33]).is_none());
        assert!(MemberKey::from_point(&[5; POINT_BYTES]).is_none());
        assert!(serde_json::from_str::<MemberKey>("\"04\"").is_err());
        assert!("zz".parse::<Fingerprint>().is_err());
    }
}
