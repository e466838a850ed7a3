//! Writing a whole model as segments: how an author imports everything at once.
//!
//! Records come in order and leave as files; a few segments are in memory at any time.
//! Compression, by far the largest part of the work, is done by threads of its own.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use storebox_proto::feed::segment::{DraftError, Packed};
use storebox_proto::feed::{Cutter, Draft, Manifest, Packer, Record};
use storebox_proto::ids::{Hash32, ModelName};
use storebox_proto::limits::MANIFEST_SEGMENTS_MAX;

use super::plan::PACK_LEVEL;
use super::segments::{SegmentStore, StoreError};

const WORKERS_MAX: usize = 4;
/// Drafts that wait for each worker, and packed segments that wait to be written.
const AHEAD_MAX: usize = 4;
/// Packed segments that are synced together.
const PENDING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why a model cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A record is out of order or too large.
    #[error("add a record to a segment")]
    Record(#[from] DraftError),
    /// A file cannot be written.
    #[error("store a segment")]
    Store(#[from] StoreError),
    /// The model has more segments than a manifest may name.
    #[error("more than {MANIFEST_SEGMENTS_MAX} segments")]
    Segments,
    /// A thread that packs did not start or ended early.
    #[error("a packing thread did not start or ended early")]
    Worker,
}

struct Worker {
    drafts: SyncSender<Draft>,
    packed: Receiver<Result<Packed, DraftError>>,
    thread: JoinHandle<()>,
}

/// Takes all records of a model, ascending by id, and writes its segments.
pub struct SnapshotWriter {
    store: SegmentStore,
    manifest: Manifest,
    cutter: Cutter,
    draft: Draft,
    workers: Vec<Worker>,
    /// Which worker has the segment that comes next in the manifest, and after it.
    waiting: VecDeque<usize>,
    sent: usize,
    pending: Vec<(Hash32, Bytes)>,
    pending_bytes: usize,
}

impl SnapshotWriter {
    /// A writer of an empty model.
    pub fn new(store: &SegmentStore, model: ModelName) -> Result<Self, SnapshotError> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
        Ok(Self {
            store: store.clone(),
            manifest: Manifest { model: model.clone(), segments: Vec::new() },
            cutter: Cutter::default(),
            draft: Draft::snapshot(model),
            workers: (0..count).map(|_| Worker::start()).collect::<Result<_, _>>()?,
            waiting: VecDeque::new(),
            sent: 0,
            pending: Vec::new(),
            pending_bytes: 0,
        })
    }

    /// Adds the next record.
    pub fn push(&mut self, record: &Record) -> Result<(), SnapshotError> {
        self.draft.push(&record.id, Some(&record.body))?;
        if self.cutter.ends_after(&record.id, &record.body) { self.cut() } else { Ok(()) }
    }

    /// Ends the model; every file that the manifest names is durable.
    pub fn finish(mut self) -> Result<Manifest, SnapshotError> {
        if !self.draft.is_empty() {
            self.cut()?;
        }
        while !self.waiting.is_empty() {
            self.collect()?;
        }
        self.flush()?;
        for Worker { drafts, packed, thread } in self.workers {
            drop((drafts, packed));
            thread.join().map_err(|_| SnapshotError::Worker)?;
        }
        Ok(self.manifest)
    }

    fn cut(&mut self) -> Result<(), SnapshotError> {
        if self.sent == MANIFEST_SEGMENTS_MAX {
            return Err(SnapshotError::Segments);
        }
        // A worker's queue is never full here: what it has packed is collected first.
        if self.waiting.len() >= self.workers.len() * AHEAD_MAX {
            self.collect()?;
        }
        let draft = Draft::snapshot(self.manifest.model.clone());
        let draft = std::mem::replace(&mut self.draft, draft);
        let worker = self.sent % self.workers.len();
        self.workers[worker].drafts.send(draft).map_err(|_| SnapshotError::Worker)?;
        self.waiting.push_back(worker);
        self.sent += 1;
        Ok(())
    }

    fn collect(&mut self) -> Result<(), SnapshotError> {
        let Some(worker) = self.waiting.pop_front() else { return Ok(()) };
        let packed = self.workers[worker].packed.recv().map_err(|_| SnapshotError::Worker)??;
        self.pending_bytes += packed.bytes.len();
        self.pending.push((packed.entry.name, packed.bytes));
        self.manifest.segments.push(packed.entry);
        if self.pending_bytes > PENDING_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        self.pending_bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        self.store.put_many(pending.iter().map(|(name, bytes)| (*name, bytes)))?;
        Ok(())
    }
}

impl Worker {
    fn start() -> Result<Self, SnapshotError> {
        let (drafts, inbox) = sync_channel::<Draft>(AHEAD_MAX);
        let (outbox, packed) = sync_channel(AHEAD_MAX);
        let pack = move || {
            let mut packer = Packer::new(PACK_LEVEL);
            for draft in inbox {
                if outbox.send(draft.pack(&mut packer)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("pack".to_owned()).spawn(pack);
        Ok(Self { drafts, packed, thread: thread.map_err(|_| SnapshotError::Worker)? })
    }
}
