//! One model of a generation: base, overlay and the digests of its ranges.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storebox_proto::feed::{ModelDef, Record, SegmentEntry, model_digest};
use storebox_proto::ids::{Hash32, RecordId};

use super::base::{Base, BaseScan, Caching};
use super::generation::ReadError;
use super::overlay::Overlay;

/// A key range of a model as it is now: a segment, whether or not there is a file of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) first: RecordId,
    pub(super) last: RecordId,
    pub(super) count: u32,
    pub(super) digest: Hash32,
    /// Name and length of its file, if one was written.
    pub(super) file: Option<(Hash32, u32)>,
}

impl Range {
    /// The manifest's entry, if the range has a file.
    pub(super) fn entry(&self) -> Option<SegmentEntry> {
        let (name, bytes) = self.file?;
        let Self { first, last, count, digest, .. } = self.clone();
        Some(SegmentEntry { first, last, count, bytes, name, digest })
    }
}

impl From<&SegmentEntry> for Range {
    fn from(entry: &SegmentEntry) -> Self {
        let SegmentEntry { first, last, count, bytes, name, digest } = entry.clone();
        Self { first, last, count, digest, file: Some((name, bytes)) }
    }
}

/// What a generation holds of one model.
#[derive(Debug, Clone)]
pub(super) struct ModelView {
    pub(super) def: Arc<ModelDef>,
    pub(super) base: Arc<Base>,
    pub(super) overlay: Arc<Overlay>,
    pub(super) ranges: Arc<Vec<Range>>,
    pub(super) digest: Hash32,
    pub(super) count: u64,
}

impl ModelView {
    /// A model that is just its base.
    pub(super) fn of_base(def: Arc<ModelDef>, base: Arc<Base>) -> Self {
        let ranges: Vec<Range> = base.entries().map(Range::from).collect();
        let overlay = Arc::new(Overlay::new(&def.indexes));
        let (digest, count) = totals(&ranges);
        Self { def, base, overlay, ranges: Arc::new(ranges), digest, count }
    }

    pub(super) fn get(&self, id: &RecordId) -> Result<Option<Bytes>, ReadError> {
        match self.overlay.get(id) {
            Some(body) => Ok(body.clone()),
            None => self.base.get(id),
        }
    }

    /// The records of base and overlay together, ascending.
    pub(super) fn scan<'a>(&'a self, from: Bound<&RecordId>, caching: Caching) -> Scan<'a> {
        let base = self.base.scan(from, caching);
        Scan { base, waiting: None, overlay: self.overlay.range(from).peekable() }
    }

    /// The records of one of the ranges.
    pub(super) fn range(&self, range: &Range) -> Result<Vec<Record>, ReadError> {
        let mut scan = self.scan(Bound::Included(&range.first), Caching::Pass);
        let mut records = Vec::with_capacity(range.count as usize);
        while let Some(record) = scan.next()? {
            if record.id > range.last {
                break;
            }
            records.push(record);
        }
        Ok(records)
    }
}

/// Digest and count of the model that has these ranges.
pub(super) fn totals(ranges: &[Range]) -> (Hash32, u64) {
    let digest = model_digest(ranges.iter().map(|range| (&range.digest, range.count)));
    (digest, ranges.iter().map(|range| u64::from(range.count)).sum())
}

/// A walk through base and overlay.
pub(super) struct Scan<'a> {
    base: BaseScan<'a>,
    /// The base's next record, if it was looked at.
    waiting: Option<Record>,
    overlay: std::iter::Peekable<std::collections::btree_map::Range<'a, RecordId, Option<Bytes>>>,
}

impl Scan<'_> {
    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if self.waiting.is_none() {
                self.waiting = self.base.next()?;
            }
            let Some((id, _)) = self.overlay.peek() else { return Ok(self.waiting.take()) };
            match &self.waiting {
                Some(record) if record.id < **id => return Ok(self.waiting.take()),
                Some(record) if record.id == **id => self.waiting = None,
                Some(_) | None => {}
            }
            if let Some((id, Some(body))) = self.overlay.next() {
                return Ok(Some(Record { id: id.clone(), body: body.clone() }));
            }
        }
    }
}
