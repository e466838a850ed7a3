//! The base of a model: the segments of a snapshot and the indexes over them.
//!
//! Segment headers are read when they are first needed; blocks are checked every time they are read.
//! A block that fails its check is an error that names the segment, never data.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use storebox_proto::feed::segment::{HEADER_BYTES_MAX, HEADER_PREFIX_BYTES, Header};
use storebox_proto::feed::{Block, Manifest, Record, SegmentEntry, model_digest};
use storebox_proto::ids::{Hash32, ModelName, RecordId};

use super::cache::BlockCache;
use super::generation::ReadError;
use super::index::FieldIndex;
use super::segments::{Lease, SegmentStore};

/// Read at once from the start of a segment: enough for an ordinary header.
const HEADER_BYTES_USUAL: usize = 4096;

#[derive(Debug)]
struct Held {
    entry: SegmentEntry,
    header: OnceLock<Header>,
    /// The position of its first record.
    start: u32,
    _lease: Arc<Lease>,
}

/// An index, or the reason why there is none until a repair.
#[derive(Debug, Clone)]
pub(super) enum IndexState {
    Ready(Arc<FieldIndex>),
    Broken { segment: Hash32 },
}

/// The immutable part of a model's replica.
#[derive(Debug)]
pub(super) struct Base {
    model: ModelName,
    segments: Vec<Held>,
    digest: Hash32,
    count: u32,
    pub(super) indexes: BTreeMap<String, IndexState>,
    store: SegmentStore,
    cache: BlockCache,
}

impl Base {
    pub(super) fn new(
        model: ModelName,
        entries: Vec<SegmentEntry>,
        store: &SegmentStore,
        cache: &BlockCache,
    ) -> Self {
        let digest = model_digest(entries.iter().map(|entry| (&entry.digest, entry.count)));
        let mut count = 0u32;
        let mut segments = Vec::with_capacity(entries.len());
        for entry in entries {
            let (start, lease) = (count, store.lease(entry.name));
            count += entry.count;
            segments.push(Held { entry, header: OnceLock::new(), start, _lease: lease });
        }
        let (store, cache) = (store.clone(), cache.clone());
        Self { model, segments, digest, count, indexes: BTreeMap::new(), store, cache }
    }

    /// Notes a header that was read already.
    pub(super) fn learn(&self, segment: usize, header: Header) {
        // A header that is known already is the same: the file's name is its hash.
        let _known = self.segments[segment].header.set(header);
    }

    pub(super) fn digest(&self) -> Hash32 {
        self.digest
    }

    pub(super) fn manifest(&self) -> Manifest {
        Manifest { model: self.model.clone(), segments: self.entries().cloned().collect() }
    }

    pub(super) fn entries(&self) -> impl ExactSizeIterator<Item = &SegmentEntry> {
        self.segments.iter().map(|held| &held.entry)
    }

    /// Whether every index is there.
    pub(super) fn is_whole(&self) -> bool {
        self.indexes.values().all(|index| matches!(index, IndexState::Ready(_)))
    }

    /// The body of a record.
    pub(super) fn get(&self, id: &RecordId) -> Result<Option<Bytes>, ReadError> {
        let number = self.segments.partition_point(|held| held.entry.last < *id);
        let Some(held) = self.segments.get(number).filter(|held| held.entry.first <= *id) else {
            return Ok(None);
        };
        let header = self.header(held)?;
        let Some(number) = block_of(header, id) else { return Ok(None) };
        let block = self.block(held, number, Caching::Keep)?;
        Ok(block.find(id.as_str()).ok().and_then(|row| block.body(row)))
    }

    /// The record at a position that an index told.
    pub(super) fn at(&self, position: u32) -> Result<Option<Record>, ReadError> {
        if position >= self.count {
            return Ok(None);
        }
        let number = self.segments.partition_point(|held| held.start <= position) - 1;
        let held = &self.segments[number];
        let mut row = (position - held.start) as usize;
        for (number, entry) in self.header(held)?.blocks.iter().enumerate() {
            if row < usize::from(entry.rows) {
                let block = self.block(held, number, Caching::Keep)?;
                return Ok(block.record(row));
            }
            row -= usize::from(entry.rows);
        }
        Ok(None)
    }

    /// The records of a key range, ascending.
    pub(super) fn scan(&self, from: Bound<&RecordId>, caching: Caching) -> BaseScan<'_> {
        let (after, skip) = match from {
            Bound::Unbounded => (None, false),
            Bound::Included(id) => (Some(id.clone()), false),
            Bound::Excluded(id) => (Some(id.clone()), true),
        };
        let segment = match &after {
            None => 0,
            Some(id) => self.segments.partition_point(|held| held.entry.last < *id),
        };
        BaseScan { base: self, caching, segment, block: 0, row: 0, current: None, after, skip }
    }

    fn header<'a>(&self, held: &'a Held) -> Result<&'a Header, ReadError> {
        if let Some(header) = held.header.get() {
            return Ok(header);
        }
        let damaged = || self.damaged(held, None);
        let name = held.entry.name;
        let read = |len| self.store.read_part(name, 0, len).map_err(|_| damaged());
        let mut bytes = read(HEADER_BYTES_USUAL)?;
        let prefix = &bytes[..bytes.len().min(HEADER_PREFIX_BYTES)];
        let len = Header::len_of(prefix).map_err(|_| damaged())?;
        if len > bytes.len() && len <= HEADER_BYTES_MAX {
            bytes = read(len)?;
        }
        let header = Header::parse(&bytes).map_err(|_| damaged())?;
        if header.count != held.entry.count || header.file != held.entry.bytes {
            return Err(damaged());
        }
        Ok(held.header.get_or_init(|| header))
    }

    fn block(&self, held: &Held, number: usize, caching: Caching) -> Result<Arc<Block>, ReadError> {
        let name = held.entry.name;
        let short = u32::try_from(number).map_err(|_| self.damaged(held, None))?;
        if let Some(block) = self.cache.get(name, short) {
            return Ok(block);
        }
        let header = self.header(held)?;
        let damaged = || self.damaged(held, Some(short));
        let entry = header.blocks.get(number).ok_or_else(damaged)?;
        let packed = self.store.read_part(name, entry.offset, entry.packed as usize);
        let packed = packed.map_err(|_| damaged())?;
        let block = Block::decode(entry, header.kind, &packed).map_err(|_| damaged())?;
        let block = Arc::new(block);
        if caching == Caching::Keep {
            self.cache.insert(name, short, Arc::clone(&block));
        }
        Ok(block)
    }

    fn damaged(&self, held: &Held, block: Option<u32>) -> ReadError {
        ReadError::Damaged { model: self.model.clone(), segment: held.entry.name, block }
    }
}

/// The block in which an id would be.
fn block_of(header: &Header, id: &RecordId) -> Option<usize> {
    header.blocks.partition_point(|block| block.first <= *id).checked_sub(1)
}

/// Whether a block that is read is kept for the next reader; a scan of everything would only evict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caching {
    Keep,
    Pass,
}

/// A walk through the records of a base, ascending by id.
pub(super) struct BaseScan<'a> {
    base: &'a Base,
    caching: Caching,
    segment: usize,
    block: usize,
    row: usize,
    current: Option<Arc<Block>>,
    /// Where to start, until the first block is found.
    after: Option<RecordId>,
    skip: bool,
}

impl BaseScan<'_> {
    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(block) = &self.current {
                if self.row < block.len() {
                    self.row += 1;
                    return Ok(block.record(self.row - 1));
                }
                self.current = None;
                self.block += 1;
            }
            if !self.load()? {
                return Ok(None);
            }
        }
    }

    /// Loads the block at which the walk stands; false at the end.
    fn load(&mut self) -> Result<bool, ReadError> {
        let Some(held) = self.base.segments.get(self.segment) else { return Ok(false) };
        let header = self.base.header(held)?;
        let start = self.after.take();
        if let Some(id) = &start {
            self.block = block_of(header, id).unwrap_or(0);
        }
        if self.block >= header.blocks.len() {
            self.segment += 1;
            self.block = 0;
            return self.load();
        }
        let block = self.base.block(held, self.block, self.caching)?;
        self.row = match &start {
            None => 0,
            Some(id) => match block.find(id.as_str()) {
                Ok(row) => row + usize::from(self.skip),
                Err(row) => row,
            },
        };
        self.current = Some(block);
        Ok(true)
    }
}
