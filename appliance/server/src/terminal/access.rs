//! Who may come in: tokens of terminals, of other boxes and of operators.
//!
//! A token is 256 random bits, shown once; only its BLAKE3 hash is kept, so that the file is worth nothing to
//! a thief.
//! All entries live in one small file that is replaced whole; readers use a copy in memory and never wait.
//! Revoked entries stay, so that their token is told apart from one that never was, and so that a terminal
//! that is added again gets the next epoch; what it had before stays known as revoked.
//! A revocation holds in memory at once and is written then: a full disk keeps nobody in.
//! A member that was enrolled by certificate has an entry too: it holds the member's epoch, and revoking it keeps the
//! certificate out of this box; its token is made and thrown away.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{Hash32, TerminalId};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::Fingerprint;
use tokio::sync::watch;

use crate::files;
use crate::http::identity::Identity;
use crate::pass::{Claim, SiteSecret};
use crate::terminal::next_door::{self, Heard, Hello, ListError, NextDoor};

mod book;
mod error;
mod listed;
mod members;

use book::Book;
pub use book::PAST_MAX;
pub use error::AccessError;
pub use listed::Listed;

/// Its name within the data directory.
pub const FILE: &str = "access.json";
/// Entries of a box, revoked ones included; a chain's main server has one per box.
pub const ENTRIES_MAX: usize = 20_000;
/// The name of whoever reads what is shared in a scope; no client may have it.
pub const SHARED: &str = "shared";

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

/// Why a token or a certificate does not let anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// Nobody has this token.
    Unknown,
    /// Its client was revoked.
    Revoked,
    /// It is of a box next door, or a certificate, and another terminal has its name here.
    Namesake,
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
    /// Whether somebody was revoked whom the file still lets in.
    is_unwritten: AtomicBool,
}

impl Access {
    /// Reads the clients of the box.
    pub fn open(data_dir: &Path) -> Result<Self, AccessError> {
        let path = data_dir.join(FILE);
        let book = book::read(&path)?;
        let inner = Inner {
            path,
            book: ArcSwap::from_pointee(book),
            is_unwritten: AtomicBool::new(false),
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
        let Some(holder) = book.by_hash(&hash) else { return self.guest(&hash, now) };
        // The map was searched by a hash that a caller cannot steer; the last word compares in constant time.
        if holder.hash != hash {
            return Err(Stranger::Unknown);
        }
        if !holder.entry.is_active() {
            return Err(Stranger::Revoked);
        }
        holder.came(now);
        Ok(holder.identity.clone())
    }

    /// A terminal of a box next door, if its name is nobody else's here: two that number their sales in one epoch would
    /// be taken for one.
    fn guest(&self, hash: &blake3::Hash, now: Timestamp) -> Result<Identity, Stranger> {
        let guest = self.inner.next_door.guest(hash, now).ok_or(Stranger::Unknown)?;
        match self.terminal(&guest.terminal, now) {
            Some(entry) if !entry.is_active() => Err(Stranger::Revoked),
            Some(entry) if blake3::Hash::from_bytes(entry.hash.0) == *hash => {
                self.inner.next_door.came(&guest, now);
                Ok(Identity::Terminal(guest.terminal))
            }
            Some(_) => Err(Stranger::Namesake),
            None => Err(Stranger::Unknown),
        }
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
            let known = book.get(kind, name);
            let is_taken = known.is_some_and(|holder| holder.entry.is_active());
            if is_taken || name == SHARED {
                return Err(AccessError::Exists(name.to_owned()));
            }
            if known.is_none() && book.len() >= ENTRIES_MAX {
                return Err(AccessError::Full);
            }
            let (epoch, name) = (self.next_epoch(book, kind, name), name.to_owned());
            let entry = Entry { kind, name, hash, epoch, added: now, revoked: None, key: None };
            Ok(book.with([entry], [])?)
        })?;
        Ok(token)
    }

    /// The epoch after all in which this name was let in anywhere in the store, as far as this box knows.
    fn next_epoch(&self, book: &Book, kind: Kind, name: &str) -> u32 {
        let own = book.get(kind, name).map(|holder| holder.entry.epoch);
        let is_terminal = kind == Kind::Terminal;
        let beside = is_terminal.then(|| self.inner.next_door.last_epoch(name)).flatten();
        own.max(beside).unwrap_or(0).saturating_add(1)
    }

    /// Takes a client's token away; that of a guest as well, whose own box may be gone.
    pub fn revoke(&self, kind: Kind, name: &str, now: Timestamp) -> Result<(), AccessError> {
        self.shut_out(|book| {
            let own = book.get(kind, name).map(|holder| &holder.entry);
            let active = match kind {
                Kind::Terminal => self.of_name(book, name, now),
                Kind::Node | Kind::Operator => own.cloned(),
            };
            // Of a member that was met here its own box may know a later epoch, in which its key would be good.
            let beside = (kind == Kind::Terminal).then(|| self.inner.next_door.entry(name, now));
            let later = |entry: &Entry| {
                let beside = beside.flatten().filter(|beside| beside.is_active());
                let beside =
                    beside.filter(|beside| beside.key.is_some() && beside.key == entry.key);
                beside.map_or(entry.epoch, |beside| entry.epoch.max(beside.epoch))
            };
            match active.filter(Entry::is_active) {
                Some(entry) => {
                    let epoch = later(&entry);
                    Ok(vec![Entry { revoked: Some(now), epoch, ..entry }])
                }
                // Asked for again because the disk was full.
                None if own.is_some() && self.is_unwritten() => Ok(Vec::new()),
                None => Err(AccessError::Unknown(name.to_owned())),
            }
        })
    }

    /// Takes the hello of a box that has shown the secret of the store; whom it has revoked is out here too.
    pub fn hear(&self, hello: Hello, now: Timestamp) -> Result<Heard, ListError> {
        let heard = self.inner.next_door.hear(hello, now);
        // Who is revoked is out even if the disk did not take what was heard.
        self.shut_out(|book| {
            let of_kind = book.all().filter(|holder| holder.entry.kind == Kind::Terminal);
            let active = of_kind.map(|holder| &holder.entry).filter(|entry| entry.is_active());
            let out = active.filter(|entry| self.inner.next_door.revoked_at(entry).is_some());
            Ok(out.map(|entry| Entry { revoked: Some(now), ..entry.clone() }).collect())
        })?;
        heard
    }

    /// Whether a client of this name may come in.
    pub fn is_active(&self, kind: Kind, name: &str) -> bool {
        let book = self.inner.book.load();
        book.get(kind, name).is_some_and(|holder| holder.entry.is_active())
    }

    /// The terminals of this box and what their names had before, as another may need to know them: hashes, never a
    /// token.
    pub fn terminals(&self) -> Vec<Entry> {
        self.inner.book.load().with_past(Kind::Terminal).cloned().collect()
    }

    /// Enters terminals of a box whose place this one takes; who is known here stays as it is.
    pub fn adopt(&self, entries: Vec<Entry>) -> Result<u64, AccessError> {
        let mut entered = 0;
        let terminals = entries.into_iter().filter(|entry| entry.kind == Kind::Terminal).collect();
        let (by_name, past) = next_door::fold(terminals);
        self.change(|book| {
            let is_new = |entry: &Entry| book.get(Kind::Terminal, &entry.name).is_none();
            let entries: Vec<_> = by_name.into_values().filter(is_new).collect();
            if book.len() + entries.len() > ENTRIES_MAX {
                return Err(AccessError::Full);
            }
            entered = entries.len() as u64;
            let is_known = |entry: &Entry| book.by_hash(&entry.hash.0.into()).is_some();
            Ok(book.with(entries, past.into_iter().filter(|entry| !is_known(entry)))?)
        })?;
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
    pub fn list(&self, kind: Kind, now: Timestamp) -> Vec<Listed> {
        let book = self.inner.book.load();
        let mut guests = match kind {
            Kind::Terminal => self.inner.next_door.list(now),
            Kind::Node | Kind::Operator => Vec::new(),
        };
        guests.retain(|guest| match book.get(kind, &guest.name).map(|holder| &holder.entry) {
            Some(own) => guest.revoked.is_none() && own.gives_way_to(guest.epoch),
            None => true,
        });
        let of_kind = book.all().filter(|holder| holder.entry.kind == kind);
        let is_anew = |name: &str| guests.iter().any(|guest| guest.name == name);
        let own = of_kind.filter(|holder| holder.entry.is_active() || !is_anew(&holder.entry.name));
        let own: Vec<_> = own.map(|holder| holder.listed()).collect();
        own.into_iter().chain(guests).collect()
    }

    /// The epoch of a terminal that may come in.
    pub fn epoch(&self, terminal: &TerminalId, now: Timestamp) -> Option<u32> {
        Some(self.terminal(terminal, now).filter(Entry::is_active)?.epoch)
    }

    /// Whether a terminal was known here and is let in no more.
    pub fn is_revoked(&self, terminal: &TerminalId, now: Timestamp) -> bool {
        self.terminal(terminal, now).is_some_and(|entry| !entry.is_active())
    }

    /// What was decided about a terminal here, else next door.
    fn terminal(&self, terminal: &TerminalId, now: Timestamp) -> Option<Entry> {
        self.of_name(&self.inner.book.load(), terminal.as_str(), now)
    }

    /// Who was revoked here is let in again by a box next door only in a later epoch; no two clocks are compared.
    fn of_name(&self, book: &Book, name: &str, now: Timestamp) -> Option<Entry> {
        let own = book.get(Kind::Terminal, name).map(|holder| &holder.entry);
        if own.is_some_and(Entry::is_active) {
            return own.cloned();
        }
        let guest = self.inner.next_door.entry(name, now);
        let Some(own) = own else { return guest };
        let anew = guest.filter(|guest| guest.is_active() && own.gives_way_to(guest.epoch));
        anew.or_else(|| Some(own.clone()))
    }

    /// Writes a book, and only then lets readers see it.
    fn change(
        &self,
        make: impl FnOnce(&Book) -> Result<Book, AccessError>,
    ) -> Result<(), AccessError> {
        let _writing = self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let book = make(&self.inner.book.load())?;
        self.write(&book)?;
        self.show(book);
        Ok(())
    }

    /// Shuts out who is revoked now, and only then writes it; what the disk did not take is written with the next.
    fn shut_out(
        &self,
        find: impl FnOnce(&Book) -> Result<Vec<Entry>, AccessError>,
    ) -> Result<(), AccessError> {
        let _writing = self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.inner.book.load_full();
        let out = find(&old)?;
        if !out.is_empty() {
            self.inner.is_unwritten.store(true, Ordering::Relaxed);
            self.show(old.with(out, [])?);
        }
        if self.is_unwritten() { self.write(&self.inner.book.load()) } else { Ok(()) }
    }

    fn show(&self, book: Book) {
        self.inner.book.store(Arc::new(book));
        self.inner.changed.send_modify(|count| *count += 1);
    }

    fn is_unwritten(&self) -> bool {
        self.inner.is_unwritten.load(Ordering::Relaxed)
    }

    fn write(&self, book: &Book) -> Result<(), AccessError> {
        let file = self.inner.path.display().to_string();
        files::replace(&self.inner.path, &book.bytes(), files::PRIVATE)
            .map_err(|source| AccessError::File { file, source })?;
        self.inner.is_unwritten.store(false, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
