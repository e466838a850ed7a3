//! The author of a feed in memory: every revision with its runs, segments, manifests and signed head.
//!
//! It keeps the digests of every revision that ever was, for the replicas to be held against.

use std::collections::BTreeMap;
use std::convert::Infallible;

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use storebox_proto::feed::cutter::{Piece, recut};
use storebox_proto::feed::digest::{content_digest, model_digest};
use storebox_proto::feed::head::{self, Head, HeadModel, Run, RunPage, SignedHead};
use storebox_proto::feed::manifest::Manifest;
use storebox_proto::feed::position::Position;
use storebox_proto::feed::segment::{Draft, Packer};
use storebox_proto::feed::{Change, Record};
use storebox_proto::ids::{FeedId, Hash32, ModelName, RecordId};
use storebox_proto::time::Timestamp;

use crate::keys;

/// Runs that a head offers; a replica further behind takes the snapshot.
const RUNS_KEPT: usize = 4;
/// Revisions whose files are kept, after that they are swept.
const FILES_KEPT: usize = 3;

pub(crate) type Models = BTreeMap<ModelName, BTreeMap<RecordId, Bytes>>;
pub(crate) type Digests = BTreeMap<ModelName, Hash32>;

/// Head office's side of one feed; all of it is durable.
pub(crate) struct Author {
    pub(crate) feed: FeedId,
    models: Models,
    position: Position,
    runs: Vec<Run>,
    head: Bytes,
    /// Files by name, with the number of the last publication that named them.
    files: BTreeMap<Hash32, (usize, Bytes)>,
    published: usize,
    history: BTreeMap<(u64, u64), Digests>,
    packer: Packer,
}

impl Author {
    /// An author that has published its first revision.
    pub(crate) fn new(rng: &mut ChaCha8Rng) -> Self {
        let names = ["Product", "ProductPrice"];
        let mut author = Self {
            feed: "catalogue".parse().unwrap(),
            models: names.map(|name| (name.parse().unwrap(), BTreeMap::new())).into(),
            position: Position { epoch: 1, revision: 0 },
            runs: vec![],
            head: Bytes::new(),
            files: BTreeMap::new(),
            published: 0,
            history: BTreeMap::new(),
            packer: Packer::new(1),
        };
        author.publish(rng);
        author
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn head(&self) -> &Bytes {
        &self.head
    }

    pub(crate) fn file(&self, name: &Hash32) -> Option<&Bytes> {
        self.files.get(name).map(|(_, bytes)| bytes)
    }

    /// All files, as a publisher reads them.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Hash32, &Bytes)> {
        self.files.iter().map(|(name, (_, bytes))| (name, bytes))
    }

    /// The digests of a revision, if it was ever published.
    pub(crate) fn digests_at(&self, at: Position) -> Option<&Digests> {
        self.history.get(&(at.epoch, at.revision))
    }

    /// A new life, as after a restore from a backup: earlier positions mean nothing any more.
    pub(crate) fn begin_epoch(&mut self, rng: &mut ChaCha8Rng) {
        self.position = Position { epoch: self.position.epoch + 1, revision: 0 };
        self.runs.clear();
        self.publish(rng);
    }

    /// Changes some records and publishes the next revision.
    pub(crate) fn publish(&mut self, rng: &mut ChaCha8Rng) {
        self.position.revision += 1;
        self.published += 1;
        let mut pages = Vec::new();
        let names: Vec<ModelName> = self.models.keys().cloned().collect();
        for name in names {
            let changes = self.change(&name, rng);
            if let Some(page) = self.page(&name, &changes) {
                pages.push(page);
            }
        }
        self.runs.push(Run { revision: self.position.revision, pages });
        let surplus = self.runs.len().saturating_sub(RUNS_KEPT);
        self.runs.drain(..surplus);
        self.commit();
        let oldest = self.published.saturating_sub(FILES_KEPT);
        self.files.retain(|_, (published, _)| *published >= oldest);
    }

    fn change(&mut self, name: &ModelName, rng: &mut ChaCha8Rng) -> Vec<Change> {
        let records = self.models.get_mut(name).unwrap();
        let mut changes = BTreeMap::new();
        for _ in 0..rng.random_range(1..6) {
            let number: u32 = rng.random_range(0..60);
            let id: RecordId = format!("{number:04}").parse().unwrap();
            let removed = records.contains_key(&id) && rng.random_ratio(1, 4);
            let body = format!("{{\"id\":\"{id}\",\"price\":{}}}", rng.random_range(1..9999u32));
            changes.insert(id, (!removed).then(|| Bytes::from(body)));
        }
        let changes: Vec<Change> =
            changes.into_iter().map(|(id, body)| Change { id, body }).collect();
        apply(records, &changes);
        changes
    }

    fn page(&mut self, model: &ModelName, changes: &[Change]) -> Option<RunPage> {
        if changes.is_empty() {
            return None;
        }
        let mut draft = Draft::run(model.clone(), self.position.revision);
        for change in changes {
            draft.push(&change.id, change.body.as_deref()).unwrap();
        }
        let packed = draft.pack(&mut self.packer).unwrap();
        let (entry, model) = (packed.entry, model.clone());
        self.keep(entry.name, packed.bytes);
        let (name, digest, count, bytes) = (entry.name, entry.digest, entry.count, entry.bytes);
        Some(RunPage { model, name, digest, count, bytes })
    }

    fn commit(&mut self) {
        let mut models = Vec::new();
        let mut digests = Digests::new();
        for (name, records) in self.models.clone() {
            let manifest = self.manifest(name.clone(), &records);
            let bytes = manifest.to_bytes().unwrap();
            let entry = HeadModel {
                model: name.clone(),
                count: manifest.count(),
                digest: manifest.digest(),
                manifest: Hash32::of(&bytes),
                manifest_bytes: u32::try_from(bytes.len()).unwrap(),
            };
            self.keep(entry.manifest, bytes);
            digests.insert(name, entry.digest);
            models.push(entry);
        }
        for page in self.runs.clone().iter().flat_map(|run| &run.pages) {
            if let Some((published, _)) = self.files.get_mut(&page.name) {
                *published = self.published;
            }
        }
        let Position { epoch, revision } = self.position;
        let head = Head {
            version: head::VERSION,
            feed: self.feed.clone(),
            epoch,
            revision,
            horizon: revision - u64::try_from(self.runs.len()).unwrap(),
            published: Timestamp::from_unix_ms(0),
            models,
            runs: self.runs.clone(),
        };
        let signed = SignedHead::sign(&head, keys::author()).unwrap();
        self.head = Bytes::from(serde_json::to_vec(&signed).unwrap());
        self.history.insert((epoch, revision), digests);
    }

    fn manifest(&mut self, model: ModelName, records: &BTreeMap<RecordId, Bytes>) -> Manifest {
        let mut segments = Vec::new();
        for piece in cut(records) {
            let mut draft = Draft::snapshot(model.clone());
            for record in &piece {
                draft.push(&record.id, Some(&record.body)).unwrap();
            }
            let packed = draft.pack(&mut self.packer).unwrap();
            self.keep(packed.entry.name, packed.bytes);
            segments.push(packed.entry);
        }
        Manifest { model, segments }
    }

    fn keep(&mut self, name: Hash32, bytes: Bytes) {
        self.files.insert(name, (self.published, bytes));
    }
}

/// Puts changes into records.
pub(crate) fn apply(records: &mut BTreeMap<RecordId, Bytes>, changes: &[Change]) {
    for change in changes {
        match &change.body {
            Some(body) => records.insert(change.id.clone(), body.clone()),
            None => records.remove(&change.id),
        };
    }
}

/// The digest of every model, computed from its records alone.
pub(crate) fn digests(models: &Models) -> Digests {
    let digest = |records| {
        let pieces: Vec<(Hash32, u32)> = cut(records)
            .iter()
            .map(|piece| (content_digest(piece), u32::try_from(piece.len()).unwrap()))
            .collect();
        model_digest(pieces.iter().map(|(digest, count)| (digest, *count)))
    };
    models.iter().map(|(name, records)| (name.clone(), digest(records))).collect()
}

fn cut(records: &BTreeMap<RecordId, Bytes>) -> Vec<Vec<Record>> {
    let all: Vec<Change> = records
        .iter()
        .map(|(id, body)| Change { id: id.clone(), body: Some(body.clone()) })
        .collect();
    let mut pieces = Vec::new();
    let emit = |piece| {
        match piece {
            Piece::Cut(records) => pieces.push(records),
            Piece::Kept(_) => unreachable!("nothing was cut before"),
        }
        Ok::<_, Infallible>(())
    };
    let Ok(()) = recut(&[], &all, |_| Ok(vec![]), emit);
    pieces
}
