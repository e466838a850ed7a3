//! What a box says about itself on the LAN: the vocabulary of its DNS-SD TXT record.
//!
//! A beacon is a hint and nothing else: anyone on the LAN can forge one.
//! It carries what a till needs to choose whom to try first, never a secret, and nothing that is
//! believed without the box's certificate.
//!
//! Keys are at most nine characters, as RFC 6763 asks, and unknown keys are passed over, so that a later
//! version can add some.
//! A record whose `txtvers` is not ours is refused instead of guessed at.

mod option;
mod pointer;
mod sweep;

use std::fmt;
use std::str::FromStr;

use crate::ids::{Hash32, InvalidName, NodeId, SiteId};
use crate::limits::{BEACON_BYTES_MAX, BEACON_ENTRIES_MAX, BEACON_NAME_BYTES_MAX};

pub use pointer::{InvalidPointer, Place, Pointer};
pub use sweep::{InvalidSweep, Sweep};

/// The service type that tills look for; lower case, because one side compares it byte by byte.
pub const SERVICE: &str = "_storebox._tcp.local.";
/// The service type that neighbours look for; subtypes were found not to work between two boxes.
pub const PEER_SERVICE: &str = "_storebox-peer._tcp.local.";
/// The name under which the box in charge of a store may be asked for.
pub const FIXED_NAME: &str = "storebox.local";

const TXT_VERSION: &str = "1";

/// What a box does on its LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The main server, when it stands on the same LAN.
    Main,
    /// The box in charge of the store.
    Primary,
    /// A box that takes over when the primary is away.
    Standby,
    /// A box or till that lends masterdata to its neighbours and takes no terminals.
    Peer,
}

impl Role {
    const ALL: [Self; 4] = [Self::Main, Self::Primary, Self::Standby, Self::Peer];

    /// The word in the TXT record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Peer => "peer",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// How far the catalogue of a box has come; written `epoch.revision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Progress {
    /// The life of the feed's author.
    pub epoch: u64,
    /// The revision within it.
    pub revision: u64,
}

/// What a box says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// The store it belongs to.
    pub site: SiteId,
    /// Which box it is.
    pub node: NodeId,
    /// What it does.
    pub role: Role,
    /// Whom to prefer: lower first.
    pub priority: u16,
    /// How far its catalogue is; nothing before its first refresh.
    pub progress: Option<Progress>,
    /// The version of the interface between boxes.
    pub api: u16,
    /// The version of the interface for terminals.
    pub terminal_api: u16,
    /// Whether a new terminal may enrol now.
    pub takes_terminals: bool,
    /// Random for each start of the process: tells two boxes of one name apart.
    pub boot: u32,
    /// What people call it.
    pub name: Option<String>,
}

/// Why a TXT record is not a beacon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// Larger than any box writes.
    #[error("TXT record has {bytes} bytes, more than {BEACON_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// More entries than any box writes.
    #[error("TXT record has more than {BEACON_ENTRIES_MAX} entries")]
    TooMany,
    /// A length byte points past the end.
    #[error("TXT record ends within an entry")]
    Truncated,
    /// Of another version.
    #[error("TXT record is of another version than {TXT_VERSION}")]
    Version,
    /// A key that must be there is not.
    #[error("TXT record has no {key:?}")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A value breaks its rule.
    #[error("TXT record has a {key:?} that breaks its rule")]
    Value {
        /// The key.
        key: &'static str,
    },
}

impl Beacon {
    /// The entries of the TXT record, in the order in which they are sent.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let mut entries = vec![
            ("txtvers", TXT_VERSION.to_owned()),
            ("site", self.site.to_string()),
            ("node", self.node.to_string()),
            ("role", self.role.as_str().to_owned()),
            ("prio", self.priority.to_string()),
            ("api", self.api.to_string()),
            ("term", self.terminal_api.to_string()),
            ("pair", u8::from(self.takes_terminals).to_string()),
            ("boot", format!("{:08x}", self.boot)),
        ];
        if let Some(Progress { epoch, revision }) = self.progress {
            entries.push(("rev", format!("{epoch}.{revision}")));
        }
        if let Some(name) = self.name.as_deref().and_then(clean_name) {
            entries.push(("name", name));
        }
        entries
    }

    /// The TXT record as it is on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BEACON_BYTES_MAX);
        for (key, value) in self.entries() {
            let length = key.len() + 1 + value.len();
            bytes.push(u8::try_from(length).expect("every value is bounded far below 255 bytes"));
            bytes.extend_from_slice(key.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
        }
        assert!(bytes.len() <= BEACON_BYTES_MAX, "the parts are bounded, so their sum is");
        bytes
    }

    /// Reads a TXT record as it is on the wire.
    pub fn decode(record: &[u8]) -> Result<Self, BeaconError> {
        if record.len() > BEACON_BYTES_MAX {
            return Err(BeaconError::TooLarge { bytes: record.len() });
        }
        let mut entries = Vec::new();
        let mut rest = record;
        while let Some((&length, tail)) = rest.split_first() {
            let (entry, tail) =
                tail.split_at_checked(usize::from(length)).ok_or(BeaconError::Truncated)?;
            rest = tail;
            let mut parts = entry.splitn(2, |&byte| byte == b'=');
            let key = parts.next().unwrap_or_default();
            entries.push((key, parts.next()));
        }
        Self::from_entries(entries)
    }

    /// Reads the entries of a TXT record that someone else has taken apart.
    pub fn from_entries<'a, I>(entries: I) -> Result<Self, BeaconError>
    where
        I: IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    {
        let mut fields = Fields::default();
        let mut bytes = 0;
        for (seen, (key, value)) in entries.into_iter().enumerate() {
            if seen >= BEACON_ENTRIES_MAX {
                return Err(BeaconError::TooMany);
            }
            bytes += 2 + key.len() + value.map_or(0, <[u8]>::len);
            if bytes > BEACON_BYTES_MAX + BEACON_ENTRIES_MAX {
                return Err(BeaconError::TooLarge { bytes });
            }
            fields.take(key, value.unwrap_or_default());
        }
        fields.beacon()
    }
}

/// The values of the known keys, before they are looked at; the first of two wins.
#[derive(Default)]
struct Fields<'a>([Option<&'a [u8]>; KEYS.len()]);

const KEYS: [&str; 11] =
    ["txtvers", "site", "node", "role", "prio", "api", "term", "pair", "boot", "rev", "name"];

impl<'a> Fields<'a> {
    fn take(&mut self, key: &[u8], value: &'a [u8]) {
        let known = KEYS.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(key));
        if let Some(slot) = known.map(|at| &mut self.0[at]) {
            slot.get_or_insert(value);
        }
    }

    fn get(&self, key: &'static str) -> Result<Option<&'a str>, BeaconError> {
        let at = KEYS.iter().position(|known| *known == key).expect("only keys of the table");
        let text = |value| std::str::from_utf8(value).map_err(|_| BeaconError::Value { key });
        self.0[at].map(text).transpose()
    }

    fn read<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, BeaconError> {
        let Some(text) = self.get(key)? else { return Ok(None) };
        parse(text).map(Some).ok_or(BeaconError::Value { key })
    }

    fn must<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, BeaconError> {
        self.read(key, parse)?.ok_or(BeaconError::Missing { key })
    }

    fn beacon(&self) -> Result<Beacon, BeaconError> {
        if self.get("txtvers")? != Some(TXT_VERSION) {
            return Err(BeaconError::Version);
        }
        Ok(Beacon {
            site: self.must("site", |text| text.parse().ok())?,
            node: self.must("node", |text| text.parse().ok())?,
            role: self.must("role", Role::parse)?,
            priority: self.must("prio", number)?,
            api: self.must("api", number)?,
            terminal_api: self.must("term", number)?,
            takes_terminals: self.must("pair", flag)?,
            boot: self.must("boot", boot)?,
            progress: self.read("rev", progress)?,
            name: self.read("name", |text| clean_name(text).filter(|clean| clean == text))?,
        })
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

fn boot(text: &str) -> Option<u32> {
    let hex = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex { u32::from_str_radix(text, 16).ok() } else { None }
}

fn progress(text: &str) -> Option<Progress> {
    let (epoch, revision) = text.split_once('.')?;
    Some(Progress { epoch: number(epoch)?, revision: number(revision)? })
}

/// The name without control characters, cut to its limit; nothing if nothing is left.
fn clean_name(name: &str) -> Option<String> {
    let mut clean = String::new();
    for c in name.chars().filter(|c| !c.is_control()) {
        if clean.len() + c.len_utf8() > BEACON_NAME_BYTES_MAX {
            break;
        }
        clean.push(c);
    }
    (!clean.is_empty()).then_some(clean)
}

/// The label under which a box is announced: `<label>._storebox._tcp.local.` at `<label>.local.`
///
/// Always lower case: one implementation of the other side forgets the second announcement of a name
/// that is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// A label that no other box has, made from the hash of the box's public key.
    ///
    /// Forty bits: in a chain of 20,000 stores the chance that two boxes of one store share it is far
    /// below one in a million, and people can still read it from a sticker.
    pub fn of_key(key: &Hash32) -> Self {
        Self(format!("storebox-{}", hex::encode(&key.0[..5])))
    }

    /// The label to move to when another box uses this one as well.
    pub fn contested(&self, boot: u32) -> Self {
        let kept: String = self.0.chars().take(48).collect();
        Self(format!("{kept}-{boot:08x}"))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host name that belongs to it, in the form of DNS.
    pub fn host(&self) -> String {
        format!("{}.local.", self.0)
    }
}

impl FromStr for Label {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edges = !value.starts_with('-') && !value.ends_with('-');
        if (1..=63).contains(&value.len()) && value.chars().all(allowed) && edges {
            return Ok(Self(value.to_owned()));
        }
        let rule = "1 to 63 of a-z, 0-9 and '-', neither first nor last a '-'";
        Err(InvalidName { kind: "host label", value: value.chars().take(64).collect(), rule })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
