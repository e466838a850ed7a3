//! Names, each parsed once at the edge; after that the type is the proof.
//!
//! Copies of a name share its text: what waits in a full outbox is bounded by what each entry takes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?} is not allowed: {rule}")]
pub struct InvalidName {
    /// Which kind of name was wanted.
    pub kind: &'static str,
    /// What was given, cut to 64 characters.
    pub value: String,
    /// The rule in words.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:expr, $allowed:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether a text is such a name, without making one.
            pub fn allows(value: &str) -> bool {
                let allowed: fn(char) -> bool = $allowed;
                (1..=$max).contains(&value.len()) && value.chars().all(allowed)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                if Self::allows(value) {
                    return Ok(Self(value.into()));
                }
                let value = value.chars().take(64).collect();
                Err(InvalidName { kind: $kind, value, rule: $rule })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(value: String) -> Result<Self, Self::Error> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn lower_dash(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

name!(
    /// A group of models that switch together, such as `catalogue`.
    FeedId, "feed", 32, lower_dash, "1 to 32 of a-z, 0-9 and '-'"
);
name!(
    /// A kind of record, such as `ProductPrice`; modules bring their own, such as `OBDSCAL_Scale`.
    ModelName, "model", 64, |c| c.is_ascii_alphanumeric() || c == '_', "1 to 64 of A-Z, a-z, 0-9 and '_'"
);
name!(
    /// An excerpt of masterdata that some stores need.
    ExcerptId, "excerpt", 16, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), "1 to 16 of a-z and 0-9"
);
name!(
    /// The identity of a record within its model.
    RecordId, "record id", 128, |c| !c.is_control(), "1 to 128 bytes without control characters"
);
name!(
    /// One running Storebox.
    NodeId, "node", 32, lower_dash, "1 to 32 of a-z, 0-9 and '-'"
);
name!(
    /// One store, as its boxes and tills name it.
    SiteId, "site", 32, lower_dash, "1 to 32 of a-z, 0-9 and '-'"
);
name!(
    /// A till, kiosk or other client, unique within a store.
    TerminalId, "terminal", 32, lower_dash, "1 to 32 of a-z, 0-9 and '-'"
);
name!(
    /// Where transactions are delivered.
    SinkId, "sink", 32, lower_dash, "1 to 32 of a-z, 0-9 and '-'"
);
name!(
    /// Where a box reads feeds from or sends transactions through.
    SourceId, "source", 48, lower_dash, "1 to 48 of a-z, 0-9 and '-'"
);
name!(
    /// A printer, scale, drawer, display or scanner of a box.
    DeviceId, "device", 32, lower_dash, "1 to 32 of a-z, 0-9 and '-'"
);
name!(
    /// One aggregate whose transactions stay in order, such as `ticket:0198`.
    LaneId, "lane", 128, |c| c.is_ascii_graphic(), "1 to 128 printable ASCII characters without spaces"
);
name!(
    /// What a transaction is, such as `Order` or `CashUp`.
    TxKind, "kind", 64, |c| c.is_ascii_alphanumeric() || c == '_', "1 to 64 of A-Z, a-z, 0-9 and '_'"
);

/// What stands between the name of a feed and that of an excerpt of it.
pub const EXCERPT_MARK: &str = "--";

impl FeedId {
    /// The name under which an excerpt of this feed is published; nothing if the two names are too long together.
    pub fn with_excerpt(&self, excerpt: &ExcerptId) -> Option<Self> {
        format!("{self}{EXCERPT_MARK}{excerpt}").parse().ok()
    }

    /// The feed that this is an excerpt of; a whole feed is its own.
    pub fn whole(&self) -> Self {
        self.0.rsplit_once(EXCERPT_MARK).map_or_else(|| self.clone(), |(feed, _)| Self(feed.into()))
    }

    /// Which excerpt this is; nothing if it is the whole feed.
    pub fn excerpt(&self) -> Option<&str> {
        self.0.rsplit_once(EXCERPT_MARK).map(|(_, excerpt)| excerpt)
    }
}

/// A BLAKE3 hash, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash32(pub [u8; 32]);

impl Hash32 {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", hex::encode(&self.0[..4]))
    }
}

impl FromStr for Hash32 {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; 32];
        match hex::decode_to_slice(value, &mut hash) {
            Ok(()) => Ok(Self(hash)),
            Err(_) => Err(InvalidName {
                kind: "hash",
                value: value.chars().take(64).collect(),
                rule: "64 hexadecimal digits",
            }),
        }
    }
}

impl TryFrom<String> for Hash32 {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<Hash32> for String {
    fn from(value: Hash32) -> Self {
        value.to_string()
    }
}

/// The key of a transaction: a UUIDv7 minted where the sale happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TxKey(pub uuid::Uuid);

impl fmt::Display for TxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TxKey {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::parse_str(value).map(Self).map_err(|_| InvalidName {
            kind: "transaction key",
            value: value.chars().take(64).collect(),
            rule: "a UUID such as 0192d3a4-5b6c-7d8e-9f00-112233445566",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_with_its_rule() {
        let error = "Till 1".parse::<TerminalId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "terminal \"Till 1\" is not allowed: 1 to 32 of a-z, 0-9 and '-'"
        );
        assert!("till-1".parse::<TerminalId>().is_ok());
        assert!("".parse::<RecordId>().is_err());
        assert!("x".repeat(129).parse::<RecordId>().is_err());
    }

    #[test]
    fn a_hash_survives_its_text() {
        let hash = Hash32::of(b"storebox");
        assert_eq!(hash.to_string().parse::<Hash32>().unwrap(), hash);
        assert!("zz".parse::<Hash32>().is_err());
    }
}
