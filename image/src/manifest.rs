//! What a release says about itself.
//!
//! The manifest is JSON, signed as bytes and read only after the signature held. Unknown fields are
//! refused: a field that an older program overlooks is a promise it breaks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::blockmap::BlockMap;
use crate::digest::Digest;

/// What this program reads and writes.
pub const FORMAT: u32 = 1;
const FILES_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 64;

/// Three numbers, compared in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version (three numbers, like 1.4.0)")]
pub struct InvalidVersion(String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| {
            let digits = part.bytes().all(|b| b.is_ascii_digit());
            let plain = digits && (part == "0" || !part.starts_with('0'));
            if plain { part.parse::<u32>().ok() } else { None }
        };
        let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
        match parts.as_deref() {
            Some(&[major, minor, patch]) => Ok(Self { major, minor, patch }),
            Some(_) | None => Err(InvalidVersion(text.chars().take(64).collect())),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// The kind of machine a release runs on: `x86-64`, `rpi4`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Board(String);

/// The name of a file inside a release; never a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not allowed: lower-case letters, digits, '.', '-' and '_', not first a '.', up to 64"
)]
pub struct InvalidWord(String);

fn word(text: &str) -> Result<String, InvalidWord> {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let sized = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.starts_with('.');
    if sized && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(InvalidWord(text.chars().take(NAME_BYTES_MAX).collect()))
}

macro_rules! word {
    ($name:ident) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                word(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidWord;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word!(Board);
word!(FileName);

/// A file that a release carries besides the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFile {
    pub name: FileName,
    pub bytes: u64,
    pub blake3: Digest,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    pub version: Version,
    pub board: Board,
    /// A box that runs this release takes nothing older than this any more.
    pub min_version: Version,
    /// The disk to flash, if the release has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<BlockMap>,
    #[serde(default)]
    pub files: Vec<ReleaseFile>,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    #[error("manifest does not parse")]
    Syntax(#[from] serde_json::Error),
    #[error("manifest has format {found}, this program reads {FORMAT}: use a newer program")]
    Format { found: u32 },
    #[error("{count} files, a release has up to {FILES_MAX}")]
    Files { count: usize },
    #[error("file {name} comes twice")]
    Twice { name: FileName },
    #[error("release {version} demands at least {min_version} and would refuse itself")]
    MinVersion { version: Version, min_version: Version },
    #[error("the sizes of the files do not add up to a size of a file")]
    Sizes,
}

/// What a box accepts.
#[derive(Debug, Clone)]
pub struct Policy {
    pub board: Board,
    /// What runs now; nothing on an empty disk.
    pub installed: Option<Version>,
    /// The `min_version` of what runs now, or ran ever.
    pub floor: Version,
    /// A person asked for an older release.
    pub older_allowed: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("release is for board {offered}, this is a {ours}")]
    ForeignBoard { offered: Board, ours: Board },
    #[error("release {offered} is below {floor}, the oldest this box may run")]
    BelowFloor { offered: Version, floor: Version },
    #[error("release {offered} is older than the installed {installed}")]
    Older { offered: Version, installed: Version },
}

impl Manifest {
    /// Reads a manifest whose signature held.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        #[derive(Deserialize)]
        struct Envelope {
            format: u32,
        }
        let Envelope { format } = serde_json::from_slice(bytes)?;
        if format != FORMAT {
            return Err(InvalidManifest::Format { found: format });
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The bytes that are signed, the same for the same manifest.
    pub fn to_bytes(&self) -> Result<Vec<u8>, InvalidManifest> {
        self.check()?;
        Ok(serde_json::to_vec(self)?)
    }

    fn check(&self) -> Result<(), InvalidManifest> {
        if self.files.len() > FILES_MAX {
            return Err(InvalidManifest::Files { count: self.files.len() });
        }
        let mut names: Vec<&FileName> = self.files.iter().map(|file| &file.name).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InvalidManifest::Twice { name: pair[0].clone() });
        }
        if self.min_version > self.version {
            let Self { version, min_version, .. } = *self;
            return Err(InvalidManifest::MinVersion { version, min_version });
        }
        // Payloads are padded to whole blocks; a quarter of the range leaves room for that.
        let sum = self.files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.bytes));
        sum.filter(|&sum| sum < u64::MAX / 4).map(|_| ()).ok_or(InvalidManifest::Sizes)
    }

    /// Whether a box takes this release.
    pub fn admit(&self, policy: &Policy) -> Result<(), Refused> {
        let offered = self.version;
        if self.board != policy.board {
            let (offered, ours) = (self.board.clone(), policy.board.clone());
            return Err(Refused::ForeignBoard { offered, ours });
        }
        if offered < policy.floor {
            return Err(Refused::BelowFloor { offered, floor: policy.floor });
        }
        match policy.installed {
            Some(installed) if offered < installed && !policy.older_allowed => {
                Err(Refused::Older { offered, installed })
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
