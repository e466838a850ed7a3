//! The terminals of one box, as it has told them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use storebox_proto::ids::{Hash32, TerminalId};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::Fingerprint;

use crate::terminal::access::{AccessError, Entry, Kind, PAST_MAX};

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
    /// The disk, for those of this box.
    #[error("keep who was revoked next door")]
    Own(#[from] AccessError),
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Guests {
    by_name: BTreeMap<String, Entry>,
    /// What these names had before, and what the box before this one of its name had revoked.
    past: Vec<Entry>,
    by_hash: HashMap<[u8; 32], String>,
    /// When tokens were revoked.
    gone: HashMap<[u8; 32], Timestamp>,
    /// In which epoch keys of members were revoked last, and when.
    struck: BTreeMap<(String, Fingerprint), (u32, Timestamp)>,
    /// Names the list that came last.
    digest: Option<Hash32>,
}

/// What each name has now, which a list tells first, and what it had before.
pub(in crate::terminal) fn fold(entries: Vec<Entry>) -> (BTreeMap<String, Entry>, Vec<Entry>) {
    let (mut by_name, mut past) = (BTreeMap::<String, Entry>::new(), Vec::new());
    for entry in entries {
        if by_name.contains_key(&entry.name) {
            past.push(entry);
        } else {
            by_name.insert(entry.name.clone(), entry);
        }
    }
    (by_name, past)
}

impl Guests {
    /// What was kept of a list, and of those before it.
    pub(super) fn kept(
        entries: Vec<Entry>,
        past: Vec<Entry>,
        digest: Hash32,
    ) -> Result<Self, ListError> {
        let mut guests = Self { past, ..Self::default() };
        guests.replace(entries, digest)?;
        Ok(guests)
    }

    /// Takes a list in place of the one before: the box may be another of the same name, which has let others in.
    ///
    /// Whoever was revoked stays so, even if the list says otherwise: a box that lost power may have lost what it had
    /// decided, and nobody is given a token or an epoch a second time.
    /// No box drops a name from its book, so a list without one is that of another book: it says nothing about those
    /// that it is to adopt.
    pub(super) fn replace(&mut self, entries: Vec<Entry>, digest: Hash32) -> Result<(), ListError> {
        let is_guest = |entry: &&Entry| {
            entry.kind == Kind::Terminal && entry.name.parse::<TerminalId>().is_ok()
        };
        if let Some(odd) = entries.iter().find(|entry| !is_guest(entry)) {
            return Err(ListError::NoTerminal(odd.name.clone()));
        }
        let (mut by_name, mut past) = fold(entries);
        if by_name.len() > GUESTS_MAX || past.len() > PAST_MAX {
            return Err(ListError::TooMany);
        }
        self.digest = Some(digest);
        let told = by_name.values().chain(&past).filter(|entry| entry.revoked.is_some());
        let told: BTreeSet<_> = told.map(|entry| entry.hash).collect();
        let revoked = self.by_name.values().filter(|entry| entry.revoked.is_some());
        let before = revoked.chain(&self.past).filter(|entry| !told.contains(&entry.hash));
        let room = PAST_MAX - past.len();
        past.extend(before.take(room).cloned());
        let room = GUESTS_MAX - by_name.len();
        let unnamed = std::mem::take(&mut self.by_name).into_iter();
        let unnamed =
            unnamed.filter(|(name, entry)| entry.is_active() && !by_name.contains_key(name));
        let unnamed: Vec<_> = unnamed.take(room).collect();
        by_name.extend(unnamed);
        (self.by_name, self.past) = (by_name, past);
        self.index();
        Ok(())
    }

    fn index(&mut self) {
        let active = self.by_name.values().filter(|entry| entry.revoked.is_none());
        self.by_hash = active.map(|entry| (entry.hash.0, entry.name.clone())).collect();
        (self.gone, self.struck) = (HashMap::new(), BTreeMap::new());
        let revoked = self.by_name.values().filter(|entry| entry.revoked.is_some());
        for entry in self.past.iter().chain(revoked) {
            let Some(at) = entry.revoked else { continue };
            self.gone.insert(entry.hash.0, at);
            if let Some(key) = entry.key {
                let last = self.struck.entry((entry.name.clone(), key)).or_insert((0, at));
                *last = (*last).max((entry.epoch, at));
            }
        }
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

    /// Whether the token of this hash was revoked.
    pub(super) fn has_revoked(&self, hash: &[u8; 32]) -> bool {
        self.gone.contains_key(hash)
    }

    /// The last epoch in which this member's key was revoked.
    pub(super) fn struck(&self, name: &str, key: Fingerprint) -> Option<u32> {
        self.struck.get(&(name.to_owned(), key)).map(|(epoch, _)| *epoch)
    }

    /// When the token or key of an entry was revoked here, whoever has let it in.
    pub(super) fn revoked_at(&self, entry: &Entry) -> Option<Timestamp> {
        let struck = entry.key.and_then(|key| self.struck.get(&(entry.name.clone(), key)));
        let struck = struck.filter(|(epoch, _)| *epoch >= entry.epoch).map(|(_, at)| *at);
        struck.or_else(|| self.gone.get(&entry.hash.0).copied())
    }

    /// The last epoch of this name.
    pub(super) fn last_epoch(&self, name: &str) -> Option<u32> {
        let current = self.by_name.get(name);
        let past = self.past.iter().filter(|entry| entry.name == name);
        past.chain(current).map(|entry| entry.epoch).max()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.by_name.values()
    }

    pub(super) fn past(&self) -> &[Entry] {
        &self.past
    }
}
