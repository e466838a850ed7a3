//! The boxes next door: who they are, where tills find them, and which terminals they have let in.
//!
//! Boxes of a store that show each other the secret of the store tell each other two things: a **card** (their name,
//! their addresses, the pages that they serve) and the list of their terminals, names and hashes of tokens.
//! So a till whose own box is gone is let in by any other box of the store as a **guest**, with the token that it has;
//! it is told beforehand where those boxes are, and its page may speak to them.
//!
//! Invariants:
//! - A guest is a terminal. A list that names anything else is refused whole; an operator is let in where he was added.
//! - A token that any box of the store has revoked lets nobody in anywhere, and a name that was revoked here stays out
//!   until its box has added it anew.
//! - A list that is played again takes nothing back: within a name, the later epoch wins, and revoked over let in.
//! - Addresses and pages are those that a box has stated itself, under the secret; where a request seemed to come from
//!   is not believed, so that nobody who stands between gives a till his own address.
//! - What is known survives a restart, so that guests come in while their own box is gone; a box that was not heard of
//!   for a month has no guests any more.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{Hash32, NodeId, TerminalId};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::Fingerprint;

use super::access::{Entry, Listed};
use crate::pass::SiteSecret;
use crate::{files, logging};

mod card;
mod guests;

pub use card::{Card, Served};
use guests::Guests;
pub use guests::ListError;

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

/// What a box says to one next door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who it is.
    pub card: Card,
    /// Names this hello; the answer is sealed over it.
    pub challenge: String,
    /// Names the list of its terminals as it is now.
    pub digest: Hash32,
    /// The list, if the other side wanted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminals: Option<Vec<Entry>>,
}

/// What it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The card of who answers, as text: what is sealed is what was sent, whatever a later version adds to it.
    pub card: String,
    /// That this is the answer of a box of the store to this very hello.
    pub seal: String,
    /// Whether the list is to be sent as well.
    pub wants_terminals: bool,
}

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
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    card: Card,
    heard: Timestamp,
    digest: Hash32,
    entries: Vec<Entry>,
}

/// All boxes next door; cheap to clone.
#[derive(Debug, Clone)]
pub struct NextDoor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    own: ArcSwap<Option<Card>>,
    boxes: ArcSwap<BTreeMap<NodeId, Arc<Neighbour>>>,
    /// Boxes that have taken the list of this one, and when.
    met: Mutex<BTreeMap<NodeId, (Card, Instant)>>,
    /// When guests were here last, by whose they are and their name.
    seen: Mutex<BTreeMap<(NodeId, TerminalId), Timestamp>>,
    /// Held while a file is replaced.
    writing: Mutex<()>,
}

impl NextDoor {
    /// What was known before the restart; a file that cannot be read is passed over, its box tells everything anew.
    pub(super) fn open(data_dir: &Path) -> Self {
        let folder = data_dir.join(FOLDER);
        let inner = Inner {
            boxes: ArcSwap::from_pointee(read(&folder)),
            folder,
            own: ArcSwap::from_pointee(None),
            met: Mutex::default(),
            seen: Mutex::default(),
            writing: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// From now on this box can be found as its card says.
    pub fn serve(&self, card: Card) {
        self.inner.own.store(Arc::new(Some(card)));
    }

    /// The card of this box, once it listens.
    pub fn own(&self) -> Option<Card> {
        self.inner.own.load().as_ref().clone()
    }

    /// Takes the hello of a box that has shown the secret of the store; whether its list is wanted as well.
    pub fn hear(&self, hello: Hello, now: Timestamp) -> Result<bool, ListError> {
        hello.card.check()?;
        let _writing = lock(&self.inner.writing);
        let boxes = self.inner.boxes.load_full();
        let node = hello.card.node.clone();
        let known = boxes.get(&node);
        if known.is_none() && boxes.len() >= BOXES_MAX {
            return Err(ListError::Full);
        }
        let mut guests = known.map_or_else(Guests::default, |known| known.guests.clone());
        let is_news =
            hello.terminals.is_some() || known.is_none_or(|known| known.card != hello.card);
        if let Some(entries) = hello.terminals {
            guests.merge(entries, hello.digest)?;
        }
        let wants = guests.digest() != Some(hello.digest);
        let neighbour = Neighbour { card: hello.card, heard: now, guests };
        // Whether it was heard of is written down once an hour, everything else at once.
        let is_old = known.is_none_or(|known| now.unix_ms() - known.heard.unix_ms() > 3_600_000);
        if is_news || is_old {
            self.write(&neighbour)?;
        }
        let mut boxes = BTreeMap::clone(&boxes);
        boxes.insert(node, Arc::new(neighbour));
        self.inner.boxes.store(Arc::new(boxes));
        Ok(wants)
    }

    /// A box has taken the list of this one, so tills may be told of it.
    pub fn meet(&self, card: Card, now: Instant) {
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
    pub fn is_page(&self, origin: &str) -> bool {
        if self.inner.own.load().as_ref().as_ref().is_some_and(|own| own.serves(origin)) {
            return true;
        }
        let boxes = self.inner.boxes.load();
        if boxes.values().any(|neighbour| neighbour.card.serves(origin)) {
            return true;
        }
        lock(&self.inner.met).values().any(|(card, _)| card.serves(origin))
    }

    /// Whose token has this hash, if a box next door has let it in.
    pub(super) fn who(&self, hash: &blake3::Hash, now: Timestamp) -> Option<Guest> {
        let boxes = self.inner.boxes.load();
        let mut found = boxes.values().filter(|neighbour| neighbour.is_fresh(now));
        let guest = found.find_map(|neighbour| {
            let entry = neighbour.guests.by_hash(hash)?;
            let terminal = entry.name.parse().ok()?;
            entry.revoked.is_none().then(|| Guest { terminal, of: neighbour.card.node.clone() })
        })?;
        let key = (guest.of.clone(), guest.terminal.clone());
        if lock(&self.inner.seen).insert(key, now).is_none() {
            let (terminal, of) = (guest.terminal.as_str(), guest.of.as_str());
            tracing::info!(
                till = terminal,
                node = of,
                "a till of this box next door is a guest here"
            );
        }
        Some(guest)
    }

    /// Whether any box of the store has revoked the token of this hash.
    pub(super) fn has_revoked(&self, hash: &blake3::Hash) -> bool {
        let boxes = self.inner.boxes.load();
        boxes.values().any(|neighbour| {
            neighbour.guests.by_hash(hash).is_some_and(|entry| entry.revoked.is_some())
        })
    }

    /// Whether a box next door has revoked the member with this key.
    pub(super) fn has_revoked_key(&self, name: &str, key: Fingerprint) -> bool {
        let boxes = self.inner.boxes.load();
        let mut entries = boxes.values().filter_map(|neighbour| neighbour.guests.by_name(name));
        entries.any(|entry| entry.revoked.is_some() && entry.key == Some(key))
    }

    /// What a box next door says of a terminal: one that is let in, else one that is not any more.
    pub(super) fn entry(&self, name: &str) -> Option<Entry> {
        let boxes = self.inner.boxes.load();
        let entries = boxes.values().filter_map(|neighbour| neighbour.guests.by_name(name));
        entries.min_by_key(|entry| entry.revoked.is_some()).cloned()
    }

    /// All guests that may come, or have been shut out where they belong, by name.
    pub(super) fn list(&self) -> Vec<Listed> {
        let (boxes, seen) = (self.inner.boxes.load(), lock(&self.inner.seen));
        let listed = boxes.values().flat_map(|neighbour| {
            let (of, seen) = (neighbour.card.node.clone(), &seen);
            neighbour.guests.entries().map(move |entry| {
                let key = entry.name.parse().ok().map(|name| (of.clone(), name));
                Listed {
                    name: entry.name.clone(),
                    epoch: entry.epoch,
                    added: entry.added,
                    revoked: entry.revoked,
                    last_seen: key.and_then(|key| seen.get(&key).copied()),
                    guest_of: Some(of.to_string()),
                }
            })
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed
    }

    fn write(&self, neighbour: &Neighbour) -> Result<(), ListError> {
        let stored = Stored {
            version: VERSION,
            card: neighbour.card.clone(),
            heard: neighbour.heard,
            digest: neighbour.guests.digest().unwrap_or(Hash32([0; 32])),
            entries: neighbour.guests.entries().cloned().collect(),
        };
        let bytes = serde_json::to_vec(&stored).expect("names, numbers and hashes are JSON");
        let path = self.inner.folder.join(format!("{}.json", neighbour.card.node));
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

impl Reply {
    /// The answer to a hello, by a box that has this secret.
    pub fn new(secret: &SiteSecret, challenge: &str, card: &Card, wants_terminals: bool) -> Self {
        let card = serde_json::to_string(card).expect("names and texts are JSON");
        Self { seal: secret.vouch(challenge, &card), card, wants_terminals }
    }

    /// Who answered, if it was a box with this secret and this very hello.
    pub fn read(&self, secret: &SiteSecret, challenge: &str) -> Option<Card> {
        if !secret.has_vouched(&self.seal, challenge, &self.card) {
            return None;
        }
        let card: Card = serde_json::from_str(&self.card).ok()?;
        card.check().is_ok().then_some(card)
    }
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
    let mut guests = Guests::default();
    guests.merge(stored.entries, stored.digest)?;
    stored.card.check()?;
    Ok(Neighbour { card: stored.card, heard: stored.heard, guests })
}

/// What is behind these locks is whole even if a thread died while holding one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
