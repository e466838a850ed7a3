//! The boxes next door: who they are, where tills find them, and which terminals they have let in.
//!
//! Boxes of a store that show each other the secret of the store tell each other two things: a **card** (their name,
//! their addresses, the pages that they serve) and the list of their terminals, names and hashes of tokens.
//! So a till whose own box is gone is let in by any other box of the store as a **guest**, with the token that it has;
//! it is told beforehand where those boxes are, and its page may speak to them.
//!
//! Invariants:
//! - A guest is a terminal. A list that names anything else is refused whole; an operator is let in where he was added.
//! - A token or key that any box of the store has revoked lets nobody in anywhere, and a name that was revoked here
//!   stays out until a box has let it in in a later epoch.
//! - A name is one terminal's: where two boxes have let different ones in under it, the own one comes in, else that of
//!   the later epoch.
//! - A hello is taken once, so one that is played again takes nothing back and keeps nobody in; the list in it is all
//!   that its box has let in, but whoever was revoked before stays so.
//! - What is revoked holds before the disk has it.
//! - Addresses and pages are those that a box has stated itself, under the secret; where a request seemed to come from
//!   is not believed, so that nobody who stands between gives a till his own address.
//! - What is known survives a restart, so that guests come in while their own box is gone; a box that was not heard of
//!   for a month has no guests any more, and makes room when there are too many.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{Hash32, NodeId, TerminalId};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::Fingerprint;

use super::access::{Entry, Listed};
use crate::{env, files, logging};

mod card;
mod guests;
mod hello;

pub use card::{Card, Served};
use guests::Guests;
pub use guests::ListError;
pub(super) use guests::fold;
pub use hello::{Heard, Hello, Reply};

/// Its folder within the data directory.
const FOLDER: &str = "next-door";
/// Boxes of a store that are remembered.
pub const BOXES_MAX: usize = 16;
/// A box that was not heard of for so long has no guests here.
const REMEMBERED_MS: i64 = 30 * 24 * 3_600_000;
/// Tills are told of a box that has taken the list of this one within this time.
const TOLD_FOR: Duration = Duration::from_secs(600);
/// The only version so far.
const VERSION: u32 = 1;

/// A terminal that came with the token of a box next door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) terminal: TerminalId,
    pub(super) of: NodeId,
}

/// What is known of one box.
#[derive(Debug, Clone)]
struct Neighbour {
    card: Card,
    heard: Timestamp,
    guests: Guests,
    /// Whether its file says all of this, but for when it was heard of.
    is_written: bool,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    card: Card,
    heard: Timestamp,
    digest: Hash32,
    entries: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past: Vec<Entry>,
}

/// Makes the card of this box as it is found now.
type Carded = Box<dyn Fn() -> Card + Send + Sync>;

/// All boxes next door; cheap to clone.
#[derive(Debug, Clone)]
pub struct NextDoor {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    own: OnceLock<Carded>,
    boxes: ArcSwap<BTreeMap<NodeId, Arc<Neighbour>>>,
    /// Boxes that have taken the list of this one, and when.
    met: Mutex<BTreeMap<NodeId, (Card, Instant)>>,
    /// What the next hello of each carries.
    asks: Mutex<BTreeMap<NodeId, String>>,
    /// When guests were here last, by whose they are and their name.
    seen: Mutex<BTreeMap<(NodeId, TerminalId), Timestamp>>,
    /// Held while a file is replaced.
    writing: Mutex<()>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl NextDoor {
    /// What was known before the restart; a file that cannot be read is passed over, its box tells everything anew.
    pub(super) fn open(data_dir: &Path) -> Self {
        let folder = data_dir.join(FOLDER);
        let inner = Inner {
            boxes: ArcSwap::from_pointee(read(&folder)),
            folder,
            own: OnceLock::new(),
            met: Mutex::default(),
            asks: Mutex::default(),
            seen: Mutex::default(),
            writing: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// From now on this box can be found as its card says, which is made anew each time: addresses come and go.
    pub fn serve(&self, card: impl Fn() -> Card + Send + Sync + 'static) {
        // A box listens once.
        let _ = self.inner.own.set(Box::new(card));
    }

    /// The card of this box, once it listens.
    pub fn own(&self) -> Option<Card> {
        self.inner.own.get().map(|card| card())
    }

    /// Takes the hello of a box that has shown the secret of the store, if it carries what was asked for last.
    pub(super) fn hear(&self, hello: Hello, now: Timestamp) -> Result<Heard, ListError> {
        hello.card.check()?;
        let _writing = lock(&self.inner.writing);
        let node = hello.card.node.clone();
        let Some(asks) = self.ask_anew(&node, &hello.asked) else {
            let asks = lock(&self.inner.asks).get(&node).cloned().unwrap_or_default();
            return Ok(Heard { wants_terminals: true, asks });
        };
        let mut boxes = BTreeMap::clone(&self.inner.boxes.load());
        let known = boxes.get(&node).cloned();
        if known.is_none() && boxes.len() >= BOXES_MAX {
            self.forget_one(&mut boxes, now)?;
        }
        let mut guests = known.as_ref().map_or_else(Guests::default, |known| known.guests.clone());
        let is_news = hello.terminals.is_some();
        if let Some(entries) = hello.terminals {
            guests.replace(entries, hello.digest)?;
        }
        let wants_terminals = guests.digest() != Some(hello.digest);
        // Whether it was heard of is written down once an hour, everything else at once.
        let is_told = known.is_some_and(|known| {
            let is_old = now.unix_ms() - known.heard.unix_ms() > 3_600_000;
            known.is_written && !is_old && !is_news && known.card == hello.card
        });
        let neighbour = Neighbour { card: hello.card, heard: now, guests, is_written: is_told };
        self.keep(&mut boxes, neighbour)?;
        Ok(Heard { wants_terminals, asks })
    }

    /// What the next hello of this box is to carry, if this one carried what was asked for before.
    fn ask_anew(&self, node: &NodeId, asked: &str) -> Option<String> {
        let mut asks = lock(&self.inner.asks);
        if !asks.contains_key(node) && asks.len() >= BOXES_MAX {
            asks.pop_first();
        }
        let fresh = || hex::encode(env::random::<16>());
        let expected = asks.entry(node.clone()).or_insert_with(fresh);
        let is_answer = expected == asked;
        if is_answer {
            *expected = fresh();
        }
        is_answer.then(|| expected.clone())
    }

    /// Makes room: the box that was heard of longest ago goes, if it has no guests any more.
    fn forget_one(
        &self,
        boxes: &mut BTreeMap<NodeId, Arc<Neighbour>>,
        now: Timestamp,
    ) -> Result<(), ListError> {
        let oldest = boxes.values().min_by_key(|neighbour| neighbour.heard);
        let oldest = oldest.filter(|neighbour| !neighbour.is_fresh(now)).ok_or(ListError::Full)?;
        let node = oldest.card.node.clone();
        boxes.remove(&node);
        match std::fs::remove_file(self.path(&node)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ListError::Disk(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Lets readers see what was heard, and writes it if need be.
    fn keep(
        &self,
        boxes: &mut BTreeMap<NodeId, Arc<Neighbour>>,
        neighbour: Neighbour,
    ) -> Result<(), ListError> {
        let node = neighbour.card.node.clone();
        boxes.insert(node.clone(), Arc::new(neighbour.clone()));
        self.inner.boxes.store(Arc::new(boxes.clone()));
        if neighbour.is_written {
            return Ok(());
        }
        self.write(&neighbour)?;
        boxes.insert(node, Arc::new(Neighbour { is_written: true, ..neighbour }));
        self.inner.boxes.store(Arc::new(boxes.clone()));
        Ok(())
    }

    /// A box has taken the list of this one, so tills may be told of it; one that has no address yet stays as it was.
    pub fn meet(&self, card: Card, now: Instant) {
        if card.addresses.is_empty() {
            return;
        }
        let mut met = lock(&self.inner.met);
        met.retain(|_, (_, at)| now.saturating_duration_since(*at) < TOLD_FOR);
        if met.len() < BOXES_MAX || met.contains_key(&card.node) {
            met.insert(card.node.clone(), (card, now));
        }
    }

    /// The boxes that let the tills of this one in, for the tills.
    pub fn others(&self, now: Instant) -> Vec<Served> {
        let met = lock(&self.inner.met);
        let fresh = met.values().filter(|(_, at)| now.saturating_duration_since(*at) < TOLD_FOR);
        fresh.map(|(card, _)| card.served()).collect()
    }

    /// Whether a page of this origin is served by a box of the store, this one under another name included.
    pub fn is_page(&self, origin: &str, now: Timestamp) -> bool {
        if self.own().is_some_and(|own| own.serves(origin)) {
            return true;
        }
        let boxes = self.inner.boxes.load();
        let mut fresh = boxes.values().filter(|neighbour| neighbour.is_fresh(now));
        fresh.any(|neighbour| neighbour.card.serves(origin))
            || lock(&self.inner.met).values().any(|(card, _)| card.serves(origin))
    }

    /// Whose token has this hash, if a box next door has let it in.
    pub(super) fn guest(&self, hash: &blake3::Hash, now: Timestamp) -> Option<Guest> {
        let boxes = self.inner.boxes.load();
        let mut fresh = boxes.values().filter(|neighbour| neighbour.is_fresh(now));
        fresh.find_map(|neighbour| {
            let terminal = neighbour.guests.by_hash(hash)?.name.parse().ok()?;
            Some(Guest { terminal, of: neighbour.card.node.clone() })
        })
    }

    /// Remembers that a guest was here.
    pub(super) fn came(&self, guest: &Guest, now: Timestamp) {
        let key = (guest.of.clone(), guest.terminal.clone());
        if lock(&self.inner.seen).insert(key, now).is_none() {
            let (terminal, of) = (guest.terminal.as_str(), guest.of.as_str());
            tracing::info!(
                till = terminal,
                node = of,
                "a till of this box next door is a guest here"
            );
        }
    }

    /// Whether any box of the store has revoked the token of this hash.
    pub(super) fn has_revoked(&self, hash: &blake3::Hash) -> bool {
        let boxes = self.inner.boxes.load();
        boxes.values().any(|neighbour| neighbour.guests.has_revoked(hash.as_bytes()))
    }

    /// The last epoch in which a box next door has revoked the key of this member.
    pub(super) fn struck(&self, name: &str, key: Fingerprint) -> Option<u32> {
        let boxes = self.inner.boxes.load();
        boxes.values().filter_map(|neighbour| neighbour.guests.struck(name, key)).max()
    }

    /// When any box next door has revoked the token or key of an entry.
    pub(super) fn revoked_at(&self, entry: &Entry) -> Option<Timestamp> {
        let boxes = self.inner.boxes.load();
        boxes.values().find_map(|neighbour| neighbour.guests.revoked_at(entry))
    }

    /// The last epoch of this name at any box next door.
    pub(super) fn last_epoch(&self, name: &str) -> Option<u32> {
        let boxes = self.inner.boxes.load();
        boxes.values().filter_map(|neighbour| neighbour.guests.last_epoch(name)).max()
    }

    /// What the boxes next door say of a terminal: the one that was let in last, else one that is not any more.
    pub(super) fn entry(&self, name: &str, now: Timestamp) -> Option<Entry> {
        let boxes = self.inner.boxes.load();
        let told = boxes.values().filter_map(|neighbour| {
            let entry = neighbour.guests.by_name(name)?.clone();
            let revoked = entry.revoked.or_else(|| self.revoked_at(&entry));
            // Who was revoked stays so, however long ago that was said.
            (revoked.is_some() || neighbour.is_fresh(now)).then_some(Entry { revoked, ..entry })
        });
        // Of equals the first is taken, so that it is the same one each time.
        told.reduce(|best, other| match rank(&other) > rank(&best) {
            true => other,
            false => best,
        })
    }

    /// All guests that may come, or have been shut out, by name.
    pub(super) fn list(&self, now: Timestamp) -> Vec<Listed> {
        let (boxes, seen) = (self.inner.boxes.load(), lock(&self.inner.seen));
        let fresh = boxes.values().filter(|neighbour| neighbour.is_fresh(now));
        let listed = fresh.flat_map(|neighbour| {
            let (of, seen) = (neighbour.card.node.clone(), &seen);
            neighbour.guests.entries().map(move |entry| {
                let key = entry.name.parse().ok().map(|name| (of.clone(), name));
                Listed {
                    name: entry.name.clone(),
                    epoch: entry.epoch,
                    added: entry.added,
                    revoked: entry.revoked.or_else(|| self.revoked_at(entry)),
                    last_seen: key.and_then(|key| seen.get(&key).copied()),
                    guest_of: Some(of.to_string()),
                }
            })
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed
    }

    fn path(&self, node: &NodeId) -> PathBuf {
        self.inner.folder.join(format!("{node}.json"))
    }

    fn write(&self, neighbour: &Neighbour) -> Result<(), ListError> {
        let stored = Stored {
            version: VERSION,
            card: neighbour.card.clone(),
            heard: neighbour.heard,
            digest: neighbour.guests.digest().unwrap_or(Hash32([0; 32])),
            entries: neighbour.guests.entries().cloned().collect(),
            past: neighbour.guests.past().to_vec(),
        };
        let bytes = serde_json::to_vec(&stored).expect("names, numbers and hashes are JSON");
        let path = self.path(&neighbour.card.node);
        let written = std::fs::create_dir_all(&self.inner.folder)
            .and_then(|()| files::replace(&path, &bytes, files::PRIVATE));
        written.map_err(ListError::Disk)
    }
}

impl Neighbour {
    /// A clock that was set back makes nobody old.
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.unix_ms().saturating_sub(self.heard.unix_ms()) < REMEMBERED_MS
    }
}

/// Who is let in goes before who is not, then the later epoch.
fn rank(entry: &Entry) -> (bool, u32) {
    (entry.is_active(), entry.epoch)
}

fn read(folder: &Path) -> BTreeMap<NodeId, Arc<Neighbour>> {
    let mut boxes = BTreeMap::new();
    let Ok(found) = std::fs::read_dir(folder) else { return boxes };
    for file in found.flatten().take(4 * BOXES_MAX) {
        let path = file.path();
        if path.extension().is_none_or(|ending| ending != "json") || boxes.len() >= BOXES_MAX {
            continue;
        }
        match read_one(&path) {
            Ok(neighbour) => {
                boxes.insert(neighbour.card.node.clone(), Arc::new(neighbour));
            }
            Err(error) => {
                let (path, error) = (path.display().to_string(), logging::chain(&error));
                tracing::warn!(path, error, "what a box next door said is asked for anew");
            }
        }
    }
    boxes
}

fn read_one(path: &Path) -> Result<Neighbour, ListError> {
    let bytes = std::fs::read(path).map_err(ListError::Disk)?;
    let damaged = |error| ListError::Disk(io::Error::other(error));
    let stored: Stored =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if stored.version != VERSION {
        return Err(damaged(format!("it has version {}", stored.version)));
    }
    let guests = Guests::kept(stored.entries, stored.past, stored.digest)?;
    stored.card.check()?;
    Ok(Neighbour { card: stored.card, heard: stored.heard, guests, is_written: true })
}

/// What is behind these locks is whole even if a thread died while holding one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
