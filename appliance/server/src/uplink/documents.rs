//! What was created in this shop, visible to all its tills at once.
//!
//! While a transaction is held, its document is read from the journal.
//! When it is settled, its document is kept here until the central record arrives, or until there are too many.
//! Whoever reads a model asks the replica first: the central version wins.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storebox_proto::ids::{ModelName, RecordId, TerminalId, TxKey, TxKind};
use storebox_proto::sync::outbox::{Meta, Slot};
use storebox_proto::ticket::{Envelope, Grade};
use storebox_proto::time::Timestamp;

use super::keeper::read_envelope;
use crate::db::{DiskError, Keyed};
use crate::journal::{Location, Reader};

/// Settled documents that are kept until the central record arrives.
const KEPT_MAX: usize = 20_000;
/// Documents that may be kept before it is looked whether there are too many.
const PRUNE_EVERY: usize = 1000;
/// Names of changed documents that are remembered, for whoever keeps an index of them.
const LATELY_MAX: usize = 4096;
const BY_ID: u8 = b'd';
const BY_AGE: u8 = b'o';

/// A document that was created here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// What it is.
    #[schema(value_type = String)]
    pub kind: TxKind,
    /// Its id: the payload's `id`, or the key of the transaction.
    pub id: String,
    /// The transaction that created it.
    #[schema(value_type = String)]
    pub key: TxKey,
    /// Who created it.
    #[schema(value_type = String)]
    pub terminal: TerminalId,
    /// When it was accepted.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// `held` or `settled`.
    #[schema(value_type = String)]
    pub grade: Grade,
    /// The content.
    #[schema(value_type = Object)]
    pub payload: Map<String, Value>,
}

/// The id under which other tills find what an envelope creates.
pub fn document_id(envelope: &Envelope) -> String {
    let id = envelope.payload.get("id").and_then(Value::as_str);
    match id.filter(|id| id.parse::<RecordId>().is_ok()) {
        Some(id) => id.to_owned(),
        None => envelope.key.to_string(),
    }
}

#[derive(Deserialize)]
struct Outline {
    key: TxKey,
    payload: OutlinePayload,
}

#[derive(Deserialize)]
struct OutlinePayload {
    #[serde(default)]
    id: Option<Value>,
}

/// The same id from an envelope's bytes, without building the payload.
pub(super) fn document_id_in(envelope: &[u8]) -> Option<String> {
    let Outline { key, payload } = serde_json::from_slice(envelope).ok()?;
    let id = payload.id.as_ref().and_then(Value::as_str);
    let id = id.filter(|id| id.parse::<RecordId>().is_ok());
    Some(id.map_or_else(|| key.to_string(), str::to_owned))
}

/// Documents whose transactions are held; the keeper writes it, everybody reads it.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<RwLock<HeldMaps>>);

/// Kind and id.
type Name = (TxKind, String);

#[derive(Default)]
struct HeldMaps {
    by_id: BTreeMap<Arc<Name>, HeldDocument>,
    by_position: BTreeMap<u64, Arc<Name>>,
    /// The names of what came or changed lately, the oldest first.
    lately: VecDeque<Arc<Name>>,
    /// How many came or changed before these.
    before: u64,
}

impl HeldMaps {
    fn note(&mut self, name: Arc<Name>) {
        self.lately.push_back(name);
        if self.lately.len() > LATELY_MAX {
            self.lately.pop_front();
            self.before += 1;
        }
    }
}

#[derive(Clone)]
struct HeldDocument {
    position: u64,
    at: Timestamp,
    location: Location,
}

impl Held {
    pub(super) fn insert(&self, meta: &Meta, slot: &Slot, id: String, location: Location) {
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = Arc::new((meta.kind.clone(), id));
        maps.by_position.insert(slot.position, name.clone());
        let document = HeldDocument { position: slot.position, at: slot.at, location };
        maps.note(name.clone());
        maps.by_id.insert(name, document);
    }

    pub(super) fn moved(&self, position: u64, location: Location) {
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let HeldMaps { by_id, by_position, .. } = &mut *maps;
        let Some(name) = by_position.get(&position).cloned() else { return };
        if let Some(held) = by_id.get_mut(&name).filter(|held| held.position == position) {
            held.location = location;
            maps.note(name);
        }
    }

    pub(super) fn remove(&self, position: u64) {
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(name) = maps.by_position.remove(&position) else { return };
        if maps.by_id.get(&name).is_some_and(|held| held.position == position) {
            maps.by_id.remove(&name);
        }
    }
}

#[cfg(test)]
thread_local! {
    /// How many documents this thread has loaded.
    pub(crate) static LOADED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Documents that were created in this shop; cheap to clone.
#[derive(Clone)]
pub struct LocalDocuments {
    held: Held,
    kept: Arc<Keyed>,
    kept_max: usize,
    /// Kept since it was last looked whether there are too many.
    unpruned: Arc<AtomicUsize>,
    reader: Reader,
}

impl LocalDocuments {
    pub(super) fn open(
        dir: &Path,
        held: Held,
        reader: Reader,
    ) -> Result<(Self, Option<DiskError>), DiskError> {
        let opened = Keyed::open(dir)?;
        let (kept, unpruned) = (Arc::new(opened.keyed), Arc::default());
        Ok((Self { held, kept, kept_max: KEPT_MAX, unpruned, reader }, opened.lost))
    }

    /// One document; reads the disk.
    pub fn load(&self, kind: &TxKind, id: &str) -> Option<Document> {
        #[cfg(test)]
        LOADED.set(LOADED.get() + 1);
        let held = {
            let maps = self.held.0.read().unwrap_or_else(PoisonError::into_inner);
            maps.by_id.get(&(kind.clone(), id.to_owned())).cloned()
        };
        if let Some(document) = held.and_then(|held| self.read_held(id, &held)) {
            return Some(document);
        }
        match self.kept.get(BY_ID, &key_of(kind, id)) {
            Ok(bytes) => serde_json::from_slice(&bytes?).ok(),
            Err(error) => {
                tracing::warn!(%error, "kept documents cannot be read");
                None
            }
        }
    }

    /// Documents of a kind in the order of their ids, behind `after`; reads the disk.
    pub fn list(&self, kind: &TxKind, after: Option<&str>, count_max: usize) -> Vec<Document> {
        let ids = self.ids_under(kind, "", after, count_max);
        ids.iter().filter_map(|id| self.load(kind, id)).collect()
    }

    /// The ids of documents of a kind that begin so, in their order, behind `after`; reads the disk, and no document.
    pub fn ids_under(
        &self,
        kind: &TxKind,
        beginning: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> Vec<String> {
        let name = |id: &str| (kind.clone(), id.to_owned());
        let start = after.map_or(Bound::Included(name(beginning)), |id| Bound::Excluded(name(id)));
        let mut ids: Vec<String> = {
            let maps = self.held.0.read().unwrap_or_else(PoisonError::into_inner);
            let names = maps.by_id.range::<Name, _>((start, Bound::Unbounded));
            let names = names.map(|(name, _)| &**name);
            let names = names.take_while(|(of, id)| of == kind && id.starts_with(beginning));
            names.take(count_max).map(|(_, id)| id.clone()).collect()
        };
        let of_kind = key_of(kind, "").len();
        let prefix = key_of(kind, beginning);
        let after = after.map(|id| key_of(kind, id));
        let mut count = 0;
        let scanned = self.kept.scan(BY_ID, &prefix, after.as_deref(), &mut |key, _| {
            ids.push(String::from_utf8_lossy(&key[of_kind..]).into_owned());
            count += 1;
            count < count_max
        });
        if let Err(error) = scanned {
            tracing::warn!(%error, "kept documents cannot be read");
        }
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(count_max);
        ids
    }

    /// What was created behind a position of the outbox, in its order: position, kind and id; reads the disk.
    pub fn since(&self, position: u64, count_max: usize) -> Vec<(u64, TxKind, String)> {
        let mut found: BTreeMap<u64, (TxKind, String)> = {
            let maps = self.held.0.read().unwrap_or_else(PoisonError::into_inner);
            let names = maps.by_position.range((Bound::Excluded(position), Bound::Unbounded));
            names.take(count_max).map(|(at, name)| (*at, Name::clone(name))).collect()
        };
        let mut count = 0;
        let after = position.to_be_bytes();
        let scanned = self.kept.scan(BY_AGE, &[], Some(&after), &mut |age, key| {
            let at = age.try_into().map(u64::from_be_bytes);
            if let (Ok(at), Some(name)) = (at, name_of(key)) {
                found.insert(at, name);
            }
            count += 1;
            count < count_max
        });
        if let Err(error) = scanned {
            tracing::warn!(%error, "kept documents cannot be read");
        }
        found.into_iter().take(count_max).map(|(at, (kind, id))| (at, kind, id)).collect()
    }

    /// The position of what was created last.
    pub fn newest(&self) -> u64 {
        let held = {
            let maps = self.held.0.read().unwrap_or_else(PoisonError::into_inner);
            maps.by_position.keys().next_back().copied()
        };
        let mut newest = held.unwrap_or(0);
        let _ = self.kept.scan(BY_AGE, &[], None, &mut |age, _| {
            newest = newest.max(age.try_into().map_or(0, u64::from_be_bytes));
            true
        });
        newest
    }

    /// How many documents have come or changed, and which since there were so many; nothing if that is too long ago.
    pub fn changed_since(&self, count: u64) -> (u64, Option<Vec<(TxKind, String)>>) {
        let maps = self.held.0.read().unwrap_or_else(PoisonError::into_inner);
        let now = maps.before + maps.lately.len() as u64;
        let skipped = count.checked_sub(maps.before).and_then(|count| usize::try_from(count).ok());
        let names = skipped.map(|skipped| {
            maps.lately.iter().skip(skipped).map(|name| Name::clone(name)).collect()
        });
        (now, names)
    }

    /// The central record has arrived: what was kept for it goes.
    pub fn give_way(&self, model: &ModelName, id: &RecordId) {
        let Some(kind) = kind_for(model) else { return };
        if let Err(error) = self.kept.remove(BY_ID, &key_of(&kind, id.as_str())) {
            tracing::warn!(%error, "kept document cannot be removed");
        }
    }

    /// The transaction is about to be settled: its document outlives its place in the journal.
    pub(super) fn keep(&self, position: u64, envelope: &[u8]) {
        let Ok(envelope) = serde_json::from_slice::<Envelope>(envelope) else { return };
        let id = document_id(&envelope);
        let key = key_of(&envelope.kind, &id);
        let document = Document {
            kind: envelope.kind,
            id,
            key: envelope.key,
            terminal: envelope.terminal,
            at: envelope.occurred_at,
            grade: Grade::Settled,
            payload: envelope.payload,
        };
        let bytes = serde_json::to_vec(&document).expect("plain data with string keys");
        let age = position.to_be_bytes();
        let put =
            self.kept.put(BY_ID, &key, &bytes).and_then(|()| self.kept.put(BY_AGE, &age, &key));
        self.unpruned.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = put {
            tracing::warn!(%error, "settled document cannot be kept");
        }
    }

    /// What was kept so far survives whatever happens to the process: its place in the journal may go.
    pub(super) fn commit(&self) {
        if let Err(error) = self.kept.commit() {
            tracing::warn!(%error, "settled documents are not kept safely");
        }
        if self.unpruned.load(Ordering::Relaxed) >= PRUNE_EVERY {
            self.prune();
        }
    }

    /// Lets the oldest kept documents go when there are too many.
    pub(super) fn prune(&self) {
        self.unpruned.store(0, Ordering::Relaxed);
        let mut ages = Vec::new();
        let scanned = self.kept.scan(BY_AGE, &[], None, &mut |age, key| {
            ages.push((age.to_vec(), key.to_vec()));
            true
        });
        if let Err(error) = scanned {
            tracing::warn!(%error, "kept documents cannot be read");
            return;
        }
        let surplus = ages.len().saturating_sub(self.kept_max);
        for (age, key) in ages.iter().take(surplus) {
            let removed = self.kept.remove(BY_ID, key).and_then(|()| self.kept.remove(BY_AGE, age));
            if let Err(error) = removed {
                tracing::warn!(%error, "kept documents cannot be pruned");
                return;
            }
        }
    }

    fn read_held(&self, id: &str, held: &HeldDocument) -> Option<Document> {
        let envelope = read_envelope(&self.reader, &held.location)?;
        let envelope: Envelope = serde_json::from_slice(&envelope).ok()?;
        Some(Document {
            kind: envelope.kind,
            id: id.to_owned(),
            key: envelope.key,
            terminal: envelope.terminal,
            at: held.at,
            grade: Grade::Held,
            payload: envelope.payload,
        })
    }
}

fn key_of(kind: &TxKind, id: &str) -> Vec<u8> {
    [kind.as_str().as_bytes(), &[0], id.as_bytes()].concat()
}

fn name_of(key: &[u8]) -> Option<(TxKind, String)> {
    let (kind, id) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some((kind.parse().ok()?, id.to_owned()))
}

/// Which kind of local document a central model makes superfluous.
fn kind_for(model: &ModelName) -> Option<TxKind> {
    let kind = match model.as_str() {
        "BusinessPartner" => "ChangedBusinessPartners",
        "BPLocation" => "ChangedBPlocation",
        other => other,
    };
    kind.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, Options, RealDisk};
    use crate::uplink::tests::samples::sale;

    #[test]
    fn a_box_that_is_never_restarted_keeps_no_more_documents_than_it_should() {
        let home = tempfile::tempdir().unwrap();
        let (disk, dir) = (Arc::new(RealDisk), home.path().join("journal"));
        let journal =
            Journal::open(disk, &dir, Options::default(), 0, &mut |_| {}).unwrap().journal;
        let path = home.path().join("documents");
        let opened = LocalDocuments::open(&path, Held::default(), journal.reader()).unwrap().0;
        let documents = LocalDocuments { kept_max: 50, ..opened };
        let kind = "Order".parse().unwrap();
        for number in 1..=PRUNE_EVERY as u64 + 10 {
            documents.keep(number, &sale(number, 1, number, 10).canonical());
            if number.is_multiple_of(10) {
                documents.commit();
            }
        }
        assert_eq!(documents.list(&kind, None, 5000).len(), 60);
        assert!(documents.load(&kind, "order-951").is_some_and(|found| found.id == "order-951"));
    }
}
