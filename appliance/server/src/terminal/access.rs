//! Who may come in: tokens of terminals, of other boxes and of operators.
//!
//! A token is 256 random bits, shown once; only its BLAKE3 hash is kept, so that the file is worth nothing to
//! a thief.
//! All entries live in one small file that is replaced whole; readers use a copy in memory and never wait.
//! Revoked entries stay, so that their token is told apart from one that never was, and so that a terminal
//! that is added again gets the next epoch.
//! A member that was enrolled by certificate has an entry too: it holds the member's epoch, and revoking it keeps the
//! certificate out of this box; its token is made and thrown away.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{Hash32, InvalidName, NodeId, TerminalId};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::Fingerprint;
use tokio::sync::watch;

use crate::http::identity::Identity;
use crate::pass::{Claim, SiteSecret};
use crate::terminal::next_door::NextDoor;
use crate::{env, files};

mod error;
mod listed;

pub use error::AccessError;
pub use listed::Listed;

/// Its name within the data directory.
pub const FILE: &str = "access.json";
/// Entries of a box, revoked ones included; a chain's main server has one per box.
pub const ENTRIES_MAX: usize = 20_000;
/// The name of whoever reads what is shared in a scope; no client may have it.
pub const SHARED: &str = "shared";
/// The only version so far.
const VERSION: u32 = 1;

/// What kind of client a token belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A till or other client.
    Terminal,
    /// Another box.
    Node,
    /// A person who may act on this box from a browser.
    Operator,
}

impl Kind {
    /// Begins its tokens, so that a leaked one is recognised.
    fn prefix(self) -> &'static str {
        match self {
            Self::Terminal => "sbt_",
            Self::Node => "sbn_",
            Self::Operator => "sbo_",
        }
    }
}

/// One client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The hash of its token.
    pub hash: Hash32,
    /// How often a client of this name was added; a till starts its sequence anew in each epoch.
    pub epoch: u32,
    /// When it was added.
    pub added: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The key of its certificate, if it was enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    entries: Vec<Entry>,
}

/// An entry in memory, with what is not worth a write to flash.
#[derive(Debug)]
struct Holder {
    entry: Entry,
    identity: Identity,
    hash: blake3::Hash,
    seen_ms: AtomicI64,
}

#[derive(Debug, Default)]
struct Book {
    by_name: BTreeMap<(Kind, String), Arc<Holder>>,
    by_hash: HashMap<[u8; 32], Arc<Holder>>,
}

/// Why a token does not let anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// Nobody has this token.
    Unknown,
    /// Its client was revoked.
    Revoked,
}

/// All clients; cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    book: ArcSwap<Book>,
    /// What the boxes of the store share.
    site: ArcSwapOption<SiteSecret>,
    /// The other boxes of the store, and whom they have let in.
    next_door: NextDoor,
    /// Counts changes of the list.
    changed: watch::Sender<u64>,
    /// Held while the file is replaced, so that changes happen one after the other.
    writing: Mutex<()>,
}

impl Access {
    /// Reads the clients of the box.
    pub fn open(data_dir: &Path) -> Result<Self, AccessError> {
        let path = data_dir.join(FILE);
        let file = path.display().to_string();
        let entries = match std::fs::read(&path) {
            Ok(bytes) => parse(file, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(AccessError::File { file, source }),
        };
        let mut book = Book::default();
        for entry in entries {
            book.put(Arc::new(Holder::new(entry, i64::MIN)?));
        }
        let inner = Inner {
            path,
            book: ArcSwap::from_pointee(book),
            site: ArcSwapOption::empty(),
            next_door: NextDoor::open(data_dir),
            changed: watch::Sender::new(0),
            writing: Mutex::new(()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whose token this is, here or at a box next door; remembers when it was used.
    pub fn who(&self, token: &str, now: Timestamp) -> Result<Identity, Stranger> {
        let hash = blake3::hash(token.as_bytes());
        if self.inner.next_door.has_revoked(&hash) {
            return Err(Stranger::Revoked);
        }
        let book = self.inner.book.load();
        let Some(holder) = book.by_hash.get(hash.as_bytes()) else {
            let guest = self.inner.next_door.who(&hash, now).ok_or(Stranger::Unknown)?;
            return match self.is_revoked(&guest.terminal) {
                true => Err(Stranger::Revoked),
                false => Ok(Identity::Terminal(guest.terminal)),
            };
        };
        // The map was searched by a hash that a caller cannot steer; the last word compares in constant time.
        if holder.hash != hash {
            return Err(Stranger::Unknown);
        }
        if holder.entry.revoked.is_some() {
            return Err(Stranger::Revoked);
        }
        holder.seen_ms.store(now.unix_ms(), Ordering::Relaxed);
        Ok(holder.identity.clone())
    }

    /// Adds a client and returns its token, which is not kept.
    pub fn add(
        &self,
        kind: Kind,
        name: &str,
        secret: [u8; 32],
        now: Timestamp,
    ) -> Result<String, AccessError> {
        let token = format!("{}{}", kind.prefix(), hex::encode(secret));
        let hash = Hash32::of(token.as_bytes());
        self.change(|book| {
            let known = book.by_name.get(&(kind, name.to_owned()));
            if name == SHARED {
                return Err(AccessError::Exists(name.to_owned()));
            }
            if known.is_some_and(|holder| holder.entry.revoked.is_none()) {
                return Err(AccessError::Exists(name.to_owned()));
            }
            if known.is_none() && book.by_name.len() >= ENTRIES_MAX {
                return Err(AccessError::Full);
            }
            let epoch = known.map_or(1, |holder| holder.entry.epoch.saturating_add(1));
            let name = name.to_owned();
            Ok(Entry { kind, name, hash, epoch, added: now, revoked: None, key: None })
        })?;
        Ok(token)
    }

    /// Adds a member that enrols by certificate, in place of one of its name only if that was allowed.
    pub fn enrol(
        &self,
        kind: Kind,
        name: &str,
        key: Fingerprint,
        replace: bool,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        self.change(|book| {
            let known = book.by_name.get(&(kind, name.to_owned())).map(|holder| &holder.entry);
            let is_in_the_way = |entry: &&Entry| entry.revoked.is_none() && entry.key != Some(key);
            if !replace && known.is_some_and(|entry| is_in_the_way(&entry)) {
                return Err(AccessError::Exists(name.to_owned()));
            }
            let mut holders = book.by_name.values();
            let owner = holders.find(|holder| holder.entry.key == Some(key));
            if owner
                .is_some_and(|owner| (owner.entry.kind, owner.entry.name.as_str()) != (kind, name))
            {
                return Err(AccessError::KeyTaken);
            }
            Self::member(book, kind, name, key, now)
        })
    }

    /// Adds a member that another box of the site has enrolled, when it comes here for the first time.
    pub fn meet(
        &self,
        kind: Kind,
        name: &str,
        key: Fingerprint,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let is_known = self.inner.book.load().by_name.contains_key(&(kind, name.to_owned()));
        if is_known || self.inner.next_door.has_revoked_key(name, key) {
            return Ok(());
        }
        self.change(|book| Self::member(book, kind, name, key, now))
    }

    /// The entry of a member; the same key again keeps its epoch.
    fn member(
        book: &Book,
        kind: Kind,
        name: &str,
        key: Fingerprint,
        now: Timestamp,
    ) -> Result<Entry, AccessError> {
        let known = book.by_name.get(&(kind, name.to_owned())).map(|holder| &holder.entry);
        if known.is_none() && book.by_name.len() >= ENTRIES_MAX {
            return Err(AccessError::Full);
        }
        let epoch = match known {
            Some(entry) if entry.key == Some(key) && entry.revoked.is_none() => entry.epoch,
            Some(entry) => entry.epoch.saturating_add(1),
            None => 1,
        };
        // Nobody ever sees the token whose hash this is.
        let hash = Hash32::of(&env::random::<32>());
        let (name, key) = (name.to_owned(), Some(key));
        Ok(Entry { kind, name, hash, epoch, added: now, revoked: None, key })
    }

    /// Whether a member with a good certificate may come in here; remembers when it did.
    ///
    /// One that is not known here may: another box of the site has let it in.
    pub fn certified(
        &self,
        kind: Kind,
        name: &str,
        key: Fingerprint,
        now: Timestamp,
    ) -> Result<(), Stranger> {
        let book = self.inner.book.load();
        let Some(holder) = book.by_name.get(&(kind, name.to_owned())) else {
            return match kind == Kind::Terminal && self.inner.next_door.has_revoked_key(name, key) {
                true => Err(Stranger::Revoked),
                false => Err(Stranger::Unknown),
            };
        };
        let is_other = holder.entry.key.is_some_and(|known| known != key);
        if holder.entry.revoked.is_some() || is_other {
            return Err(Stranger::Revoked);
        }
        holder.seen_ms.store(now.unix_ms(), Ordering::Relaxed);
        Ok(())
    }

    /// Takes a client's token away; that of a guest as well, whose own box may be gone.
    pub fn revoke(&self, kind: Kind, name: &str, now: Timestamp) -> Result<(), AccessError> {
        self.change(|book| {
            let own = book.by_name.get(&(kind, name.to_owned())).map(|holder| holder.entry.clone());
            let guest = || self.inner.next_door.entry(name).filter(|_| kind == Kind::Terminal);
            let active = own.or_else(guest).filter(|entry| entry.revoked.is_none());
            let entry = active.ok_or_else(|| AccessError::Unknown(name.to_owned()))?;
            Ok(Entry { revoked: Some(now), ..entry })
        })
    }

    /// Whether a client of this name may come in.
    pub fn is_active(&self, kind: Kind, name: &str) -> bool {
        let book = self.inner.book.load();
        let holder = book.by_name.get(&(kind, name.to_owned()));
        holder.is_some_and(|holder| holder.entry.revoked.is_none())
    }

    /// The terminals of this box, as another may need to know them: hashes, never a token.
    pub fn terminals(&self) -> Vec<Entry> {
        let book = self.inner.book.load();
        let terminals = book.by_name.values().filter(|h| h.entry.kind == Kind::Terminal);
        terminals.map(|holder| holder.entry.clone()).collect()
    }

    /// Enters terminals of a box whose place this one takes; who is known here stays as it is.
    pub fn adopt(&self, entries: Vec<Entry>) -> Result<u64, AccessError> {
        let mut entered = 0;
        for entry in entries.into_iter().filter(|entry| entry.kind == Kind::Terminal) {
            let name = (entry.kind, entry.name.clone());
            if self.inner.book.load().by_name.contains_key(&name) {
                continue;
            }
            self.change(|book| {
                if book.by_name.len() >= ENTRIES_MAX { Err(AccessError::Full) } else { Ok(entry) }
            })?;
            entered += 1;
        }
        Ok(entered)
    }

    /// Lets boxes in that show this secret of the store.
    pub fn share(&self, secret: SiteSecret) {
        self.inner.site.store(Some(Arc::new(secret)));
    }

    /// Who shows the secret of the store, if that is what the header does; the path has its query.
    pub fn neighbour(&self, header: &str, method: &str, path: &str) -> Option<Claim> {
        self.inner.site.load().as_ref()?.check(header, method, path)
    }

    /// The secret of the store, if this box has it.
    pub fn secret(&self) -> Option<Arc<SiteSecret>> {
        self.inner.site.load_full()
    }

    /// The other boxes of the store.
    pub fn next_door(&self) -> &NextDoor {
        &self.inner.next_door
    }

    /// Changes whenever the list does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// All clients of a kind, by name; guests that this box does not know itself come last.
    pub fn list(&self, kind: Kind) -> Vec<Listed> {
        let book = self.inner.book.load();
        let of_kind = book.by_name.values().filter(|holder| holder.entry.kind == kind);
        let mut listed: Vec<_> = of_kind.map(|holder| holder.listed()).collect();
        if kind == Kind::Terminal {
            let guests = self.inner.next_door.list().into_iter();
            let is_own = |name: &str| book.by_name.contains_key(&(kind, name.to_owned()));
            listed.extend(guests.filter(|guest| !is_own(&guest.name)));
        }
        listed
    }

    /// The epoch of a terminal that may come in.
    pub fn epoch(&self, terminal: &TerminalId) -> Option<u32> {
        let entry = self.terminal(terminal)?;
        entry.revoked.is_none().then_some(entry.epoch)
    }

    /// Whether a terminal was known here and is let in no more.
    pub fn is_revoked(&self, terminal: &TerminalId) -> bool {
        self.terminal(terminal).is_some_and(|entry| entry.revoked.is_some())
    }

    /// What was decided about a terminal here, else next door; who was revoked here is let in again by its own box only
    /// if that has added it later.
    fn terminal(&self, terminal: &TerminalId) -> Option<Entry> {
        let name = (Kind::Terminal, terminal.as_str().to_owned());
        let own = self.inner.book.load().by_name.get(&name).map(|holder| holder.entry.clone());
        let guest = self.inner.next_door.entry(terminal.as_str());
        let is_anew = |guest: &Entry, revoked: Timestamp| {
            guest.revoked.is_none() && guest.added.unix_ms() > revoked.unix_ms()
        };
        match (own.as_ref().and_then(|own| own.revoked), guest) {
            (Some(revoked), Some(guest)) if is_anew(&guest, revoked) => Some(guest),
            (_, guest) => own.or(guest),
        }
    }

    /// Makes one entry, writes all of them, and only then lets readers see it.
    fn change(
        &self,
        make: impl FnOnce(&Book) -> Result<Entry, AccessError>,
    ) -> Result<(), AccessError> {
        let _writing = self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.inner.book.load_full();
        let entry = make(&old)?;
        let mut book = Book::default();
        let replaced = (entry.kind, entry.name.clone());
        for (name, holder) in old.by_name.iter().filter(|(name, _)| **name != replaced) {
            debug_assert_eq!(name.0, holder.entry.kind);
            book.put(Arc::clone(holder));
        }
        let seen = old.by_name.get(&replaced).map(|holder| holder.seen_ms.load(Ordering::Relaxed));
        book.put(Arc::new(Holder::new(entry, seen.unwrap_or(i64::MIN))?));
        let entries = book.by_name.values().map(|holder| holder.entry.clone()).collect();
        let stored = Stored { version: VERSION, entries };
        let bytes = serde_json::to_vec_pretty(&stored).expect("names, numbers and hashes are JSON");
        let file = self.inner.path.display().to_string();
        files::replace(&self.inner.path, &bytes, files::PRIVATE)
            .map_err(|source| AccessError::File { file, source })?;
        self.inner.book.store(Arc::new(book));
        self.inner.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

fn parse(file: String, bytes: &[u8]) -> Result<Vec<Entry>, AccessError> {
    let stored: Stored = match serde_json::from_slice(bytes) {
        Ok(stored) => stored,
        Err(source) => return Err(AccessError::Content { file, source }),
    };
    if stored.version != VERSION {
        return Err(AccessError::Version { file, version: stored.version });
    }
    Ok(stored.entries)
}

impl Book {
    fn put(&mut self, holder: Arc<Holder>) {
        let name = (holder.entry.kind, holder.entry.name.clone());
        self.by_hash.insert(holder.entry.hash.0, Arc::clone(&holder));
        self.by_name.insert(name, holder);
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

    fn listed(&self) -> Listed {
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

#[cfg(test)]
mod tests;
