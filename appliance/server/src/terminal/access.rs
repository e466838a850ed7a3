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

use crate::http::identity::Identity;
use crate::pass::{Claim, SiteSecret};
use crate::{env, files};

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

/// An entry as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// How often a client of this name was added.
    pub epoch: u32,
    /// When it was added.
    #[schema(value_type = String)]
    pub added: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub revoked: Option<Timestamp>,
    /// When its token was used last since the box started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub last_seen: Option<Timestamp>,
}

/// Why an entry cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read or written.
    #[error("{file}: cannot be used")]
    File {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{file}: is not a list of clients")]
    Content {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The file was written by a newer version.
    #[error("{file}: has version {version}, this program knows 1")]
    Version {
        /// Which file.
        file: String,
        /// What it says.
        version: u32,
    },
    /// The name breaks its rule.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The name is in use.
    #[error("{0} exists already; revoke it first")]
    Exists(String),
    /// The name is not in use.
    #[error("{0} does not exist")]
    Unknown(String),
    /// The key is another member's.
    #[error("the key belongs to another member of this box")]
    KeyTaken,
    /// Too many entries.
    #[error("{ENTRIES_MAX} clients are known, one more is not taken")]
    Full,
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
            writing: Mutex::new(()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whose token this is; remembers when it was used.
    pub fn who(&self, token: &str, now: Timestamp) -> Result<Identity, Stranger> {
        let hash = blake3::hash(token.as_bytes());
        let book = self.inner.book.load();
        let holder = book.by_hash.get(hash.as_bytes()).ok_or(Stranger::Unknown)?;
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
        if self.inner.book.load().by_name.contains_key(&(kind, name.to_owned())) {
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
        let holder = book.by_name.get(&(kind, name.to_owned())).ok_or(Stranger::Unknown)?;
        let is_other = holder.entry.key.is_some_and(|known| known != key);
        if holder.entry.revoked.is_some() || is_other {
            return Err(Stranger::Revoked);
        }
        holder.seen_ms.store(now.unix_ms(), Ordering::Relaxed);
        Ok(())
    }

    /// Takes a client's token away.
    pub fn revoke(&self, kind: Kind, name: &str, now: Timestamp) -> Result<(), AccessError> {
        self.change(|book| {
            let holder = book.by_name.get(&(kind, name.to_owned()));
            let active = holder.filter(|holder| holder.entry.revoked.is_none());
            let holder = active.ok_or_else(|| AccessError::Unknown(name.to_owned()))?;
            Ok(Entry { revoked: Some(now), ..holder.entry.clone() })
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

    /// All clients of a kind, by name.
    pub fn list(&self, kind: Kind) -> Vec<Listed> {
        let book = self.inner.book.load();
        let of_kind = book.by_name.values().filter(|holder| holder.entry.kind == kind);
        of_kind.map(|holder| holder.listed()).collect()
    }

    /// The epoch of a terminal that may come in.
    pub fn epoch(&self, terminal: &TerminalId) -> Option<u32> {
        let book = self.inner.book.load();
        let holder = book.by_name.get(&(Kind::Terminal, terminal.as_str().to_owned()))?;
        holder.entry.revoked.is_none().then_some(holder.entry.epoch)
    }

    /// Whether a terminal was known here and is let in no more.
    pub fn is_revoked(&self, terminal: &TerminalId) -> bool {
        let book = self.inner.book.load();
        let holder = book.by_name.get(&(Kind::Terminal, terminal.as_str().to_owned()));
        holder.is_some_and(|holder| holder.entry.revoked.is_some())
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
        }
    }
}

#[cfg(test)]
mod tests;
