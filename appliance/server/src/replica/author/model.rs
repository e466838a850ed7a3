//! The new edition of a model: which records changed, and the segments that hold them now.

use std::collections::BTreeMap;
use std::iter::Peekable;

use bytes::Bytes;
use storebox_proto::feed::segment::{Draft, Packer, Segment};
use storebox_proto::feed::{
    Change, Cutter, HeadModel, Manifest, Piece, Record, RunPage, SegmentEntry, recut,
};
use storebox_proto::ids::{Hash32, ModelName, RecordId};

use super::AuthorError;
use crate::db::SegmentStore;
use crate::replica::import::Batch;

/// Files are put on disk together until they are so many bytes.
const PENDING_BYTES_MAX: usize = 32 << 20;

/// What an edit came to.
pub(super) enum Outcome {
    /// No record differs.
    Same,
    /// The model is now this.
    Changed(Manifest),
}

/// A row that a model is to have, or that is to be removed.
pub(super) type NewRow = Result<(RecordId, Option<Bytes>), AuthorError>;

/// What an edition put on disk.
pub(super) struct Written {
    /// The run; empty if the history begins anew.
    pub(super) pages: Vec<RunPage>,
    /// Records changed or removed, per model.
    pub(super) changes: BTreeMap<ModelName, u64>,
    /// Segments that had to be written.
    pub(super) segments: u64,
}

/// Everything that one revision of a feed puts on disk before its head.
pub(super) struct Edition<'a> {
    store: &'a SegmentStore,
    packer: &'a mut Packer,
    revision: u64,
    /// Whether a run of this revision is of use to anybody; false once what was before is unknown.
    history: bool,
    pages: Vec<RunPage>,
    changes: BTreeMap<ModelName, u64>,
    segments: u64,
    pending: Vec<(Hash32, Bytes)>,
    pending_bytes: usize,
}

impl<'a> Edition<'a> {
    pub(super) fn new(
        store: &'a SegmentStore,
        packer: &'a mut Packer,
        revision: u64,
        history: bool,
    ) -> Self {
        Self {
            store,
            packer,
            revision,
            history,
            pages: Vec::new(),
            changes: BTreeMap::new(),
            segments: 0,
            pending: Vec::new(),
            pending_bytes: 0,
        }
    }

    /// Reads the manifest that a head names.
    pub(super) fn manifest(&self, entry: &HeadModel) -> Result<Manifest, AuthorError> {
        manifest(self.store, entry)
    }

    /// Works the rows of the import into a model.
    pub(super) fn edit(
        &mut self,
        before: &Manifest,
        batch: &Batch,
    ) -> Result<Outcome, AuthorError> {
        let model = &before.model;
        if !batch.is_whole(model) {
            return self.edit_some(before, batch);
        }
        self.edit_to(before, || batch.rows(model).map(|row| row.map_err(AuthorError::Rows)))
    }

    /// Makes of a model what these rows are, all of them.
    pub(super) fn edit_to<R: Iterator<Item = NewRow>>(
        &mut self,
        before: &Manifest,
        rows: impl Fn() -> R,
    ) -> Result<Outcome, AuthorError> {
        let kept = (self.pages.len(), self.segments);
        match self.edit_whole(before, rows()) {
            // What was there cannot be read, but all of it is given anew: only the history is lost.
            Err(AuthorError::Damaged { model, what, name }) => {
                tracing::warn!(%model, what, %name, "damaged; the whole model is published anew");
                self.history = false;
                self.pages.truncate(kept.0);
                self.segments = kept.1;
                let nothing = Manifest { model: model.clone(), segments: Vec::new() };
                self.edit_whole(&nothing, rows())
            }
            result => result,
        }
    }

    /// Streams old and new side by side; memory holds one segment of each.
    fn edit_whole(
        &mut self,
        before: &Manifest,
        rows: impl Iterator<Item = NewRow>,
    ) -> Result<Outcome, AuthorError> {
        let model = &before.model;
        let store = self.store;
        let mut old = OldRecords::new(store, before).peekable();
        let mut draft = Cutting::new(before);
        let mut run = Draft::run(model.clone(), self.revision);
        let mut changed = 0;
        for row in rows {
            let (id, body) = row?;
            while let Some(gone) = next_before(&mut old, &id)? {
                self.push_change(&mut run, model, &gone.id, None)?;
                changed += 1;
            }
            let same = match old.next_if(|next| next.as_ref().is_ok_and(|record| record.id == id)) {
                Some(record) => {
                    let record = record?;
                    let same = body.as_ref() == Some(&record.body);
                    if !same {
                        self.push_change(&mut run, model, &id, body.as_deref())?;
                    }
                    same
                }
                None if body.is_some() => {
                    self.push_change(&mut run, model, &id, body.as_deref())?;
                    false
                }
                None => true,
            };
            changed += u64::from(!same);
            if let Some(body) = body {
                self.push_record(&mut draft, Record { id, body })?;
            }
        }
        for gone in old {
            self.push_change(&mut run, model, &gone?.id, None)?;
            changed += 1;
        }
        self.close_page(run, model)?;
        let entries = self.close_cut(draft)?;
        self.outcome(model, changed, entries)
    }

    /// Reads only the segments that the rows touch.
    fn edit_some(&mut self, before: &Manifest, batch: &Batch) -> Result<Outcome, AuthorError> {
        let model = &before.model;
        let changes = self.real_changes(before, batch)?;
        let mut run = Draft::run(model.clone(), self.revision);
        for change in &changes {
            self.push_change(&mut run, model, &change.id, change.body.as_deref())?;
        }
        self.close_page(run, model)?;
        if changes.is_empty() {
            return Ok(Outcome::Same);
        }
        let lasts: Vec<&RecordId> = before.segments.iter().map(|entry| &entry.last).collect();
        let mut entries = Vec::with_capacity(before.segments.len());
        let store = self.store;
        let load = |number: usize| records(store, model, &before.segments[number]);
        recut(&lasts, &changes, load, |piece| {
            entries.push(match piece {
                Piece::Kept(number) => before.segments[number].clone(),
                Piece::Cut(records) => self.pack(model, &records)?,
            });
            Ok::<_, AuthorError>(())
        })?;
        self.outcome(model, changes.len() as u64, entries)
    }

    /// The rows that really change something.
    fn real_changes(&self, before: &Manifest, batch: &Batch) -> Result<Vec<Change>, AuthorError> {
        let model = &before.model;
        let mut changes = Vec::new();
        let mut loaded: Option<(usize, Vec<Record>)> = None;
        for row in batch.rows(model) {
            let (id, body) = row.map_err(AuthorError::Rows)?;
            let at = before.segments.partition_point(|entry| entry.last < id);
            let mut known = None;
            if let Some(entry) = before.segments.get(at) {
                if loaded.as_ref().is_none_or(|(number, _)| *number != at) {
                    loaded = Some((at, records(self.store, model, entry)?));
                }
                let held = loaded.as_ref().map_or(&[][..], |(_, records)| records);
                let found = held.binary_search_by(|record| record.id.cmp(&id));
                known = found.ok().map(|row| held[row].body.clone());
            }
            if known != body {
                changes.push(Change { id, body });
            }
        }
        Ok(changes)
    }

    fn outcome(
        &mut self,
        model: &ModelName,
        changed: u64,
        segments: Vec<SegmentEntry>,
    ) -> Result<Outcome, AuthorError> {
        if changed == 0 {
            return Ok(Outcome::Same);
        }
        self.changes.insert(model.clone(), changed);
        Ok(Outcome::Changed(Manifest { model: model.clone(), segments }))
    }

    fn push_record(&mut self, cut: &mut Cutting<'_>, record: Record) -> Result<(), AuthorError> {
        let ends = cut.cutter.ends_after(&record.id, &record.body);
        cut.open.push(record);
        if ends {
            let records = std::mem::take(&mut cut.open);
            let entry = self.cut(cut, &records)?;
            cut.entries.push(entry);
        }
        Ok(())
    }

    fn close_cut(&mut self, mut cut: Cutting<'_>) -> Result<Vec<SegmentEntry>, AuthorError> {
        let records = std::mem::take(&mut cut.open);
        if !records.is_empty() {
            let entry = self.cut(&cut, &records)?;
            cut.entries.push(entry);
        }
        Ok(cut.entries)
    }

    /// A segment of the whole edition; one with the content of an old segment is that segment.
    fn cut(&mut self, cut: &Cutting<'_>, records: &[Record]) -> Result<SegmentEntry, AuthorError> {
        let digest = storebox_proto::feed::content_digest(records);
        match cut.by_digest.get(&digest) {
            Some(entry) => Ok((*entry).clone()),
            None => self.pack(cut.model, records),
        }
    }

    fn pack(&mut self, model: &ModelName, records: &[Record]) -> Result<SegmentEntry, AuthorError> {
        let refuse = |source| AuthorError::Cut { model: model.clone(), source };
        let mut draft = Draft::snapshot(model.clone());
        for record in records {
            draft.push(&record.id, Some(&record.body)).map_err(refuse)?;
        }
        let packed = draft.pack(self.packer).map_err(refuse)?;
        self.segments += 1;
        self.put(packed.entry.name, packed.bytes)?;
        Ok(packed.entry)
    }

    fn push_change(
        &mut self,
        run: &mut Draft,
        model: &ModelName,
        id: &RecordId,
        body: Option<&[u8]>,
    ) -> Result<(), AuthorError> {
        if !self.history {
            return Ok(());
        }
        if run.is_full() {
            let next = Draft::run(model.clone(), self.revision);
            let full = std::mem::replace(run, next);
            self.close_page(full, model)?;
        }
        let refuse = |source| AuthorError::Cut { model: model.clone(), source };
        run.push(id, body).map_err(refuse)
    }

    fn close_page(&mut self, page: Draft, model: &ModelName) -> Result<(), AuthorError> {
        if page.is_empty() {
            return Ok(());
        }
        let packed = page
            .pack(self.packer)
            .map_err(|source| AuthorError::Cut { model: model.clone(), source })?;
        let entry = &packed.entry;
        let (name, digest, count, bytes) = (entry.name, entry.digest, entry.count, entry.bytes);
        let model = model.clone();
        self.pages.push(RunPage { model, name, digest, count, bytes });
        self.put(name, packed.bytes)
    }

    fn put(&mut self, name: Hash32, bytes: Bytes) -> Result<(), AuthorError> {
        self.pending_bytes += bytes.len();
        self.pending.push((name, bytes));
        if self.pending_bytes < PENDING_BYTES_MAX { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), AuthorError> {
        self.store.put_many(self.pending.iter().map(|(name, bytes)| (*name, bytes)))?;
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    /// Makes everything durable.
    pub(super) fn finish(mut self) -> Result<Written, AuthorError> {
        self.flush()?;
        let pages = if self.history { self.pages } else { Vec::new() };
        Ok(Written { pages, changes: self.changes, segments: self.segments })
    }
}

/// The whole of a model on its way into segments.
struct Cutting<'a> {
    model: &'a ModelName,
    cutter: Cutter,
    open: Vec<Record>,
    entries: Vec<SegmentEntry>,
    by_digest: BTreeMap<Hash32, &'a SegmentEntry>,
}

impl<'a> Cutting<'a> {
    fn new(before: &'a Manifest) -> Self {
        let by_digest = before.segments.iter().map(|entry| (entry.digest, entry)).collect();
        let (cutter, open, entries) = (Cutter::default(), Vec::new(), Vec::new());
        Self { model: &before.model, cutter, open, entries, by_digest }
    }
}

/// The records of the old edition, one segment in memory at a time.
pub(super) struct OldRecords<'a> {
    store: &'a SegmentStore,
    manifest: &'a Manifest,
    at: usize,
    records: std::vec::IntoIter<Record>,
}

impl<'a> OldRecords<'a> {
    pub(super) fn new(store: &'a SegmentStore, manifest: &'a Manifest) -> Self {
        Self { store, manifest, at: 0, records: Vec::new().into_iter() }
    }
}

impl Iterator for OldRecords<'_> {
    type Item = Result<Record, AuthorError>;
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.records.next() {
                return Some(Ok(record));
            }
            let entry = self.manifest.segments.get(self.at)?;
            self.at += 1;
            match records(self.store, &self.manifest.model, entry) {
                Ok(records) => self.records = records.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The next old record before this id.
fn next_before(
    old: &mut Peekable<OldRecords<'_>>,
    id: &RecordId,
) -> Result<Option<Record>, AuthorError> {
    old.next_if(|next| next.as_ref().map_or(true, |record| record.id < *id)).transpose()
}

/// Every record of a small model as it was published.
pub(super) fn published(
    store: &SegmentStore,
    entry: &HeadModel,
) -> Result<Vec<Record>, AuthorError> {
    let manifest = manifest(store, entry)?;
    let mut all = Vec::new();
    for segment in &manifest.segments {
        all.extend(records(store, &manifest.model, segment)?);
    }
    Ok(all)
}

pub(super) fn manifest(store: &SegmentStore, entry: &HeadModel) -> Result<Manifest, AuthorError> {
    let bytes = store.read(entry.manifest).ok();
    let intact = bytes.filter(|bytes| Hash32::of(bytes) == entry.manifest);
    intact.and_then(|bytes| Manifest::parse(&bytes).ok()).ok_or_else(|| AuthorError::Damaged {
        model: entry.model.clone(),
        what: "manifest",
        name: entry.manifest,
    })
}

/// The records of a segment, if its bytes and its content are what the manifest says.
fn records(
    store: &SegmentStore,
    model: &ModelName,
    entry: &SegmentEntry,
) -> Result<Vec<Record>, AuthorError> {
    let read = || {
        let segment = Segment::parse(store.read(entry.name).ok()?).ok()?;
        let (contents, changes) = segment.changes().ok()?;
        (contents.digest == entry.digest).then_some(changes)
    };
    let damaged =
        || AuthorError::Damaged { model: model.clone(), what: "segment", name: entry.name };
    let changes = read().ok_or_else(damaged)?;
    let records =
        changes.into_iter().filter_map(|Change { id, body }| Some(Record { id, body: body? }));
    Ok(records.collect())
}
