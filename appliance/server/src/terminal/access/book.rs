//! The clients of a box in memory and in their file: those that are known by name, and what their names had before.
//!
//! - An entry that is replaced stays among the **past** ones, revoked, if it had another token or key: who was shut out
//!   does not come back because somebody else got the name.
//! - The past is bounded; the oldest goes first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use storebox_proto::ids::{InvalidName, NodeId, TerminalId};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::Fingerprint;

use super::{AccessError, Entry, Kind, Listed};
use crate::http::identity::Identity;

/// Entries that were replaced and are remembered.
pub const PAST_MAX: usize = 1_000;
/// The only version so far.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    entries: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<Entry>,
}

/// An entry in memory, with what is not worth a write to flash.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) entry: Entry,
    pub(super) identity: Identity,
    pub(super) hash: blake3::Hash,
    seen_ms: AtomicI64,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    by_name: BTreeMap<(Kind, String), Arc<Holder>>,
    by_hash: HashMap<[u8; 32], Arc<Holder>>,
    /// What was replaced, the oldest first.
    past: VecDeque<Arc<Holder>>,
}

impl Book {
    pub(super) fn parse(file: String, bytes: &[u8]) -> Result<Self, AccessError> {
        let stored: Stored = match serde_json::from_slice(bytes) {
            Ok(stored) => stored,
            Err(source) => return Err(AccessError::Content { file, source }),
        };
        if stored.version != VERSION {
            return Err(AccessError::Version { file, version: stored.version });
        }
        Ok(Self::default().with(stored.entries, stored.past)?)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let entries = self.all().map(|holder| holder.entry.clone()).collect();
        let past = self.past.iter().map(|holder| holder.entry.clone()).collect();
        let stored = Stored { version: VERSION, entries, past };
        serde_json::to_vec_pretty(&stored).expect("names, numbers and hashes are JSON")
    }

    /// The same with these entries in place of those of their names, and with these among the past ones.
    pub(super) fn with(
        &self,
        entries: impl IntoIterator<Item = Entry>,
        past: impl IntoIterator<Item = Entry>,
    ) -> Result<Self, InvalidName> {
        let mut by_name = self.by_name.clone();
        let mut gone = self.past.clone();
        for entry in past {
            let revoked = Some(entry.revoked.unwrap_or(entry.added));
            gone.push_back(Arc::new(Holder::new(Entry { revoked, ..entry }, i64::MIN)?));
        }
        for entry in entries {
            let name = (entry.kind, entry.name.clone());
            let old = by_name.get(&name);
            let seen_ms = old.map_or(i64::MIN, |old| old.seen_ms.load(Ordering::Relaxed));
            if let Some(old) = old.filter(|old| old.entry.is_shut_out_by(&entry)) {
                let revoked = Some(old.entry.revoked.unwrap_or(entry.added));
                let old = Entry { revoked, ..old.entry.clone() };
                gone.push_back(Arc::new(Holder::new(old, seen_ms)?));
            }
            by_name.insert(name, Arc::new(Holder::new(entry, seen_ms)?));
        }
        gone.drain(..gone.len().saturating_sub(PAST_MAX));
        let all = gone.iter().chain(by_name.values());
        let by_hash = all.map(|holder| (holder.entry.hash.0, Arc::clone(holder))).collect();
        Ok(Self { by_name, by_hash, past: gone })
    }

    /// Who has this name now.
    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Holder>> {
        self.by_name.get(&(kind, name.to_owned()))
    }

    /// Whose token has this hash, or had it.
    pub(super) fn by_hash(&self, hash: &blake3::Hash) -> Option<&Arc<Holder>> {
        self.by_hash.get(hash.as_bytes())
    }

    /// All names, without the past.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Holder>> {
        self.by_name.values()
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// All of a kind, and what their names had before.
    pub(super) fn with_past(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        let all = self.all().chain(&self.past).map(|holder| &holder.entry);
        all.filter(move |entry| entry.kind == kind)
    }

    /// The last epoch in which this member's key was revoked.
    pub(super) fn struck(&self, kind: Kind, name: &str, key: Fingerprint) -> Option<u32> {
        let is_it = |entry: &&Entry| (entry.kind, entry.name.as_str()) == (kind, name);
        let past = self.past.iter().map(|holder| &holder.entry).filter(is_it);
        let all = past.chain(self.get(kind, name).map(|holder| &holder.entry));
        let struck = all.filter(|entry| entry.key == Some(key) && !entry.is_active());
        struck.map(|entry| entry.epoch).max()
    }
}

impl Entry {
    /// Whether it lets its client in.
    pub(in crate::terminal) fn is_active(&self) -> bool {
        self.revoked.is_none()
    }

    /// Whether a box next door that has let the name in in this epoch has done so after it was revoked here.
    pub(super) fn gives_way_to(&self, epoch: u32) -> bool {
        !self.is_active() && epoch > self.epoch
    }

    /// Whether its token or key is worth nothing any more once this one has its name; the token of a member that has a
    /// key was never seen by anybody.
    fn is_shut_out_by(&self, next: &Self) -> bool {
        match self.key {
            Some(key) => next.key != Some(key),
            None => next.hash != self.hash,
        }
    }
}

impl Holder {
    fn new(entry: Entry, seen_ms: i64) -> Result<Self, InvalidName> {
        let identity = match entry.kind {
            Kind::Terminal => Identity::Terminal(entry.name.parse::<TerminalId>()?),
            Kind::Node => Identity::Node(entry.name.parse::<NodeId>()?),
            // The name keeps the same rule; what operators may do does not depend on it.
            Kind::Operator => entry.name.parse::<TerminalId>().map(|_| Identity::Operator)?,
        };
        let hash = blake3::Hash::from_bytes(entry.hash.0);
        Ok(Self { entry, identity, hash, seen_ms: AtomicI64::new(seen_ms) })
    }

    pub(super) fn came(&self, now: Timestamp) {
        self.seen_ms.store(now.unix_ms(), Ordering::Relaxed);
    }

    pub(super) fn listed(&self) -> Listed {
        let seen = self.seen_ms.load(Ordering::Relaxed);
        Listed {
            name: self.entry.name.clone(),
            epoch: self.entry.epoch,
            added: self.entry.added,
            revoked: self.entry.revoked,
            last_seen: (seen != i64::MIN).then(|| Timestamp::from_unix_ms(seen)),
            guest_of: None,
        }
    }
}

/// Reads the book; a box that has let nobody in has none.
pub(super) fn read(path: &Path) -> Result<Book, AccessError> {
    let file = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => Book::parse(file, &bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Book::default()),
        Err(source) => Err(AccessError::File { file, source }),
    }
}
