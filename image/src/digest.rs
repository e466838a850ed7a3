//! The BLAKE3 hash of some bytes, as manifests print it.

use std::fmt;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

/// How much of a file is in memory while it is hashed.
const PIECE_BYTES: usize = 1 << 20;

/// A BLAKE3 hash; 64 hexadecimal digits in print.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no BLAKE3 hash (64 hexadecimal digits)")]
pub struct InvalidDigest(String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Hashes to the end; says how many bytes that were.
    pub fn of_reader(reader: &mut impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok((Self(*hasher.finalize().as_bytes()), hasher.count())),
                read => hasher.update(&piece[..read]),
            };
        }
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| InvalidDigest(text))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_hashes_like_its_bytes_and_survives_print() {
        let bytes = vec![7; 3 * PIECE_BYTES + 5];
        let (digest, count) = Digest::of_reader(&mut bytes.as_slice()).unwrap();
        assert_eq!((digest, count), (Digest::of(&bytes), bytes.len() as u64));
        assert_eq!(Digest::try_from(digest.to_string()), Ok(digest));
        assert!(Digest::try_from("12".to_owned()).is_err());
    }
}
