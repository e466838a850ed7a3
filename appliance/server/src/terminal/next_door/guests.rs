//! The terminals of one box, as it has told them.

use std::collections::{BTreeMap, HashMap};
use std::io;

use storebox_proto::ids::{Hash32, TerminalId};

use crate::terminal::access::{Entry, Kind};

/// Terminals of one box, revoked ones included.
pub(super) const GUESTS_MAX: usize = 5_000;

/// Why what a box says of itself is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Only terminals are guests.
    #[error("{0} is no terminal: nobody else is a guest")]
    NoTerminal(String),
    /// More than a box has.
    #[error("more than {GUESTS_MAX} terminals of one box")]
    TooMany,
    /// More boxes than a store has.
    #[error("more boxes than a store has")]
    Full,
    /// What it says of where it is found.
    #[error("{0:?} is no address of a box")]
    Address(String),
    /// The disk.
    #[error("keep what a box next door said")]
    Disk(#[source] io::Error),
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Guests {
    by_name: BTreeMap<String, Entry>,
    by_hash: HashMap<[u8; 32], String>,
    /// Names the list that came last.
    digest: Option<Hash32>,
}

/// What was decided last about a name: a later epoch, or the same one revoked; else by the time it was added.
fn rank(entry: &Entry) -> (u32, bool, i64) {
    (entry.epoch, entry.revoked.is_some(), entry.added.unix_ms())
}

impl Guests {
    /// Takes a list over: nothing that is known is taken back by an older one.
    pub(super) fn merge(&mut self, entries: Vec<Entry>, digest: Hash32) -> Result<(), ListError> {
        let mut by_name = self.by_name.clone();
        for entry in entries {
            if entry.kind != Kind::Terminal || entry.name.parse::<TerminalId>().is_err() {
                return Err(ListError::NoTerminal(entry.name));
            }
            let is_later = by_name.get(&entry.name).is_none_or(|known| rank(&entry) > rank(known));
            if is_later {
                by_name.insert(entry.name.clone(), entry);
            }
            if by_name.len() > GUESTS_MAX {
                return Err(ListError::TooMany);
            }
        }
        self.by_hash = by_name.values().map(|entry| (entry.hash.0, entry.name.clone())).collect();
        self.by_name = by_name;
        self.digest = Some(digest);
        Ok(())
    }

    /// Names the list that came last.
    pub(super) fn digest(&self) -> Option<Hash32> {
        self.digest
    }

    /// Whose token has this hash; the map was searched by what a caller cannot steer, the last word is in constant time.
    pub(super) fn by_hash(&self, hash: &blake3::Hash) -> Option<&Entry> {
        let entry = self.by_name.get(self.by_hash.get(hash.as_bytes())?)?;
        (blake3::Hash::from_bytes(entry.hash.0) == *hash).then_some(entry)
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.by_name.values()
    }
}
