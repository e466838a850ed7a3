//! A generation in sled: one database directory per generation, written and thrown away as a whole.
//!
//! What is in it (all keys begin with a letter; names and ids have no zero byte):
//!
//! | key | value |
//! |---|---|
//! | `h` | JSON of [`Header`]: feed, epoch, revision |
//! | `m` model | JSON of [`ModelRow`]: digests, counts and the sum over the overlay |
//! | `s` model 0 first id | JSON of the base's `SegmentEntry` |
//! | `r` model 0 first id | JSON of a `Range` |
//! | `o` model 0 id 0 part (u16) | a part of a change's body, with one byte before: more, last or removed |
//!
//! Decision 0002 gives the rules: nothing above 4 KB in one value, no trust in `flush` alone,
//! a panic on open means a damaged file, and nothing here is the only copy.

mod load;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sled::Batch;
use storebox_proto::feed::Change;
use storebox_proto::ids::{FeedId, Hash32, ModelName, RecordId};
use storebox_proto::time::Timestamp;

use super::contain::contain;
use super::durable;
use super::generation::Generation;
use super::model::{ModelView, Range};
use crate::room;

pub(super) use load::{Loaded, LoadedModel};

const VERSION: u32 = 1;
/// Values stay below 4 KB, far from the size at which sled moves them to files that it never syncs.
const PART_BYTES: usize = 3 * 1024;
const MORE: u8 = 0;
const LAST: u8 = 1;
const REMOVED: u8 = 2;
/// Everything is in our own memory, so sled needs next to none.
const CACHE_BYTES: u64 = 1024 * 1024;
/// sled lets go of its lock some time after it was dropped.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The disk is full; the handle is dead until a new generation is written.
    #[error("the disk is full")]
    Full,
    /// Another process holds the database.
    #[error("another process has it open")]
    Locked,
    /// sled or the file system refuses.
    #[error("write or read the database: {0}")]
    Engine(String),
    /// sled panicked, as it does on damaged files.
    #[error("the database panicked: {0}")]
    Panicked(String),
    /// What is in it contradicts itself.
    #[error("the database is damaged: {0}")]
    Damaged(&'static str),
}

impl From<sled::Error> for DiskError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => error.into(),
            sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. } => Self::Engine(error.to_string()),
        }
    }
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        if room::is_out(&error) { Self::Full } else { Self::Engine(error.to_string()) }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    feed: FeedId,
    epoch: u64,
    revision: u64,
    published: Timestamp,
    models: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct ModelRow {
    digest: Hash32,
    count: u64,
    base: Hash32,
    overlay_len: u64,
    overlay_sum: u64,
}

/// The open database of one generation.
pub(super) struct Disk {
    dir: PathBuf,
    db: sled::Db,
    /// sled's own file, for the sync that sled's flush leaves out.
    file: File,
    is_dead: bool,
}

impl Disk {
    /// Writes a whole generation into a new directory.
    pub(super) fn create(dir: &Path, generation: &Generation) -> Result<Self, DiskError> {
        let mut disk = Self::start(dir)?;
        let mut batch = Batch::default();
        for (model, view) in &generation.models {
            for entry in view.base.entries() {
                batch.insert(key(b's', model, &entry.first), json(entry));
            }
            for range in view.ranges.iter() {
                batch.insert(key(b'r', model, &range.first), json(range));
            }
            for (id, body) in view.overlay.iter() {
                put_parts(&mut batch, model, id, body.as_ref());
            }
        }
        totals(&mut batch, generation);
        disk.commit(batch)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_file() {
                File::open(path)?.sync_all()?;
            }
        }
        durable::sync_dir(dir)?;
        Ok(disk)
    }

    /// Opens the directory of a generation and reads everything in it; a panic of sled is an error.
    pub(super) fn open(dir: &Path) -> Result<(Self, Loaded), DiskError> {
        if !dir.join("db").exists() {
            return Err(DiskError::Damaged("its file is missing"));
        }
        let disk = Self::start(dir)?;
        let loaded = contain(|| load::load(&disk.db)).map_err(DiskError::Panicked)??;
        Ok((disk, loaded))
    }

    fn start(dir: &Path) -> Result<Self, DiskError> {
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let mut tries = 0;
        let db = loop {
            match contain(|| config.open()).map_err(DiskError::Panicked)? {
                Ok(db) => break db,
                Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                    tries += 1;
                    if tries == LOCK_TRIES {
                        return Err(DiskError::Locked);
                    }
                    std::thread::sleep(LOCK_WAIT);
                }
                Err(error) => return Err(error.into()),
            }
        };
        let file = File::open(dir.join("db"))?;
        Ok(Self { dir: dir.to_owned(), db, file, is_dead: false })
    }

    /// Notes what changed from one generation to the next; atomic, and durable when this returns.
    pub(super) fn advance(
        &mut self,
        before: &Generation,
        after: &Generation,
        changes: &BTreeMap<ModelName, Vec<Change>>,
    ) -> Result<(), DiskError> {
        let mut batch = Batch::default();
        for (model, changes) in changes {
            let (old, new) = (before.models.get(model), after.models.get(model));
            for change in changes {
                if let Some(body) = old.and_then(|view| view.overlay.get(&change.id)) {
                    remove_parts(&mut batch, model, &change.id, body.as_ref());
                }
                put_parts(&mut batch, model, &change.id, change.body.as_ref());
            }
            put_ranges(&mut batch, model, old, new);
        }
        totals(&mut batch, after);
        self.commit(batch)
    }

    /// The only way into the database: one atomic batch, sled's flush, and the sync that it leaves out.
    fn commit(&mut self, batch: Batch) -> Result<(), DiskError> {
        // Whatever goes wrong in between, this handle is not trusted again.
        self.is_dead = true;
        contain(|| {
            self.db.apply_batch(batch)?;
            self.db.flush()
        })
        .map_err(DiskError::Panicked)??;
        self.file.sync_data()?;
        self.is_dead = false;
        Ok(())
    }

    /// Whether a write failed; the next one needs a new directory.
    pub(super) fn is_dead(&self) -> bool {
        self.is_dead
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

fn totals(batch: &mut Batch, generation: &Generation) {
    for (model, view) in &generation.models {
        let row = ModelRow {
            digest: view.digest,
            count: view.count,
            base: view.base.digest(),
            overlay_len: view.overlay.len() as u64,
            overlay_sum: view.overlay.sum(),
        };
        batch.insert([b"m", model.as_str().as_bytes()].concat(), json(&row));
    }
    let header = Header {
        version: VERSION,
        feed: generation.feed.clone(),
        epoch: generation.epoch,
        revision: generation.revision,
        published: generation.published,
        models: u32::try_from(generation.models.len()).expect("a feed has at most 256 models"),
    };
    batch.insert(b"h", json(&header));
}

fn put_ranges(
    batch: &mut Batch,
    model: &ModelName,
    old: Option<&ModelView>,
    new: Option<&ModelView>,
) {
    let by_first = |view: Option<&ModelView>| -> BTreeMap<RecordId, Range> {
        let ranges = view.map(|view| view.ranges.as_slice()).unwrap_or_default();
        ranges.iter().map(|range| (range.first.clone(), range.clone())).collect()
    };
    let (old, new) = (by_first(old), by_first(new));
    for first in old.keys().filter(|first| !new.contains_key(*first)) {
        batch.remove(key(b'r', model, first));
    }
    for (first, range) in new.iter().filter(|(first, range)| old.get(*first) != Some(*range)) {
        batch.insert(key(b'r', model, first), json(range));
    }
}

fn put_parts(batch: &mut Batch, model: &ModelName, id: &RecordId, body: Option<&Bytes>) {
    let Some(body) = body else {
        batch.insert(part_key(model, id, 0), vec![REMOVED]);
        return;
    };
    let parts = parts_of(Some(body));
    for part in 0..parts {
        let start = usize::from(part) * PART_BYTES;
        let end = body.len().min(start + PART_BYTES);
        let flag = if part + 1 == parts { LAST } else { MORE };
        batch.insert(part_key(model, id, part), [&[flag], &body[start..end]].concat());
    }
}

fn remove_parts(batch: &mut Batch, model: &ModelName, id: &RecordId, body: Option<&Bytes>) {
    for part in 0..parts_of(body) {
        batch.remove(part_key(model, id, part));
    }
}

fn parts_of(body: Option<&Bytes>) -> u16 {
    let parts = body.map_or(1, |body| body.len().div_ceil(PART_BYTES).max(1));
    u16::try_from(parts).expect("a record of 64 KB has at most 22 parts")
}

fn key(letter: u8, model: &ModelName, id: &RecordId) -> Vec<u8> {
    [&[letter], model.as_str().as_bytes(), &[0], id.as_str().as_bytes()].concat()
}

fn part_key(model: &ModelName, id: &RecordId, part: u16) -> Vec<u8> {
    let mut key = key(b'o', model, id);
    key.push(0);
    key.extend_from_slice(&part.to_be_bytes());
    key
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names, numbers and hashes are JSON")
}
