//! Moving on by a change set: the incremental refresh of a replica and the import of an author.

use std::collections::BTreeMap;
use std::sync::Arc;

use storebox_proto::feed::{Change, Manifest};
use storebox_proto::ids::{Hash32, ModelName};
use storebox_proto::limits::RECORD_BYTES_MAX;
use storebox_proto::time::Timestamp;

use super::{BadSegment, FeedStore, FoldError};
use crate::db::disk::DiskError;
use crate::db::generation::{Generation, ReadError};
use crate::db::model::{ModelView, Range, totals};
use crate::db::plan::{CutError, SegmentSink, computed, ranges_after};

/// The changes that lead from one revision to a later one.
#[derive(Debug, Clone)]
pub struct ChangeSet {
    /// The author's life.
    pub epoch: u64,
    /// The revision from which the changes lead.
    pub after: u64,
    /// The revision to which the changes lead.
    pub revision: u64,
    /// When the author published it.
    pub published: Timestamp,
    /// Changes by model, ascending by id, each id once.
    pub changes: BTreeMap<ModelName, Vec<Change>>,
}

/// Why changes are not applied; the current generation stays in service.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The changes lead from another revision than the current one.
    #[error(
        "changes from {epoch}.{after} to {revision} do not fit on {current_epoch}.{current_revision}"
    )]
    Gap {
        /// The epoch of the changes.
        epoch: u64,
        /// The revision from which they lead.
        after: u64,
        /// The revision to which they lead.
        revision: u64,
        /// The epoch in service.
        current_epoch: u64,
        /// The revision in service; 0 if the replica is empty.
        current_revision: u64,
    },
    /// A model's changes do not ascend by id, or a body is too large.
    #[error("the changes of model {model} break a rule at {id}")]
    Rule {
        /// The model.
        model: ModelName,
        /// The id at which.
        id: String,
    },
    /// The result is not what the author's head says.
    #[error("model {model} would have the digest {got}, expected {expected}")]
    Digest {
        /// The model.
        model: ModelName,
        /// What the head says.
        expected: Hash32,
        /// What came out.
        got: Hash32,
    },
    /// A part of the replica that the changes touch cannot be read.
    #[error("read what the changes touch")]
    Read(#[source] ReadError),
    /// The new revision cannot be written.
    #[error("write the new revision")]
    Disk(#[from] DiskError),
    /// A new base is due and cannot be made.
    #[error("fold the changes into a new base")]
    Fold(#[from] FoldError),
}

impl ApplyError {
    /// Whether room on the disk would help.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Disk(error) => matches!(error, DiskError::Full),
            Self::Fold(error) => error.is_disk_full(),
            Self::Gap { .. } | Self::Rule { .. } | Self::Digest { .. } | Self::Read(_) => false,
        }
    }
}

impl From<ReadError> for ApplyError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<Vec<BadSegment>> for ApplyError {
    fn from(bad: Vec<BadSegment>) -> Self {
        Self::Fold(FoldError::Segments { bad })
    }
}

impl From<CutError> for ApplyError {
    fn from(error: CutError) -> Self {
        match error {
            CutError::Read(error) => Self::Read(error),
            CutError::Pack(_) | CutError::Store(_) => Self::Fold(error.into()),
        }
    }
}

/// How the next generation comes into service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The changes lie over the base.
    Overlay,
    /// A new base is made; the changes are not indexed on the way, since there may be millions.
    Base,
}

/// A revision whose segment files are written, before any reader sees it.
pub struct Prepared {
    next: Generation,
    way: Way,
    changes: ChangeSet,
    /// The manifests of the new revision.
    pub manifests: Vec<Manifest>,
}

impl FeedStore {
    /// Applies the changes of the revisions that follow: verified, durable, then shown.
    ///
    /// `expected` are the digests of the author's head; with one that differs, nothing happens.
    /// When too many changes lie over the base, a new base is made of both.
    pub fn apply(
        &mut self,
        changes: ChangeSet,
        expected: Option<&BTreeMap<ModelName, Hash32>>,
    ) -> Result<Arc<Generation>, ApplyError> {
        let way = self.way(&changes);
        let next = self.after(&changes, way, |_, records| Ok(computed(&records)))?;
        for (model, expected) in expected.into_iter().flatten() {
            let empty = totals(&[]).0;
            let got = next.models.get(model).map_or(empty, |view| view.digest);
            if got != *expected {
                let (model, expected) = (model.clone(), *expected);
                return Err(ApplyError::Digest { model, expected, got });
            }
        }
        self.advance(next, way, &changes)
    }

    /// Writes the segments of the next revision without showing or storing it: what an author does
    /// before it signs the head. An author leaves no revision out.
    pub fn prepare(&self, changes: ChangeSet) -> Result<Prepared, ApplyError> {
        if changes.revision != changes.after.saturating_add(1) {
            return Err(self.gap(&changes));
        }
        let mut sink = SegmentSink::new(&self.segments);
        let way = self.way(&changes);
        let mut next = self.after(&changes, way, |model, records| {
            let entry = sink.write(model, &records)?;
            Ok(Some(Range::from(&entry)))
        })?;
        for (model, view) in &mut next.models {
            let mut ranges = view.ranges.as_ref().clone();
            for range in ranges.iter_mut().filter(|range| range.file.is_none()) {
                let records = view.range(range)?;
                *range = Range::from(&sink.write(model, &records)?);
            }
            view.ranges = Arc::new(ranges);
        }
        sink.finish().map_err(CutError::Store)?;
        let manifests = next.models.iter().map(|(model, view)| Manifest {
            model: model.clone(),
            segments: view.ranges.iter().filter_map(Range::entry).collect(),
        });
        let manifests = manifests.collect();
        Ok(Prepared { next, way, changes, manifests })
    }

    /// Puts a prepared revision into service.
    pub fn commit(&mut self, prepared: Prepared) -> Result<Arc<Generation>, ApplyError> {
        self.check_gap(&prepared.changes)?;
        self.advance(prepared.next, prepared.way, &prepared.changes)
    }

    fn advance(
        &mut self,
        next: Generation,
        way: Way,
        changes: &ChangeSet,
    ) -> Result<Arc<Generation>, ApplyError> {
        let (Way::Overlay, Some(disk), Some(before)) =
            (way, &mut self.disk, self.current.load_full())
        else {
            return Ok(self.rebase(next)?);
        };
        if disk.is_dead() {
            let records = next.models.values().map(|view| view.count).sum();
            self.check_room(records).map_err(FoldError::from)?;
            return Ok(self.install(next)?);
        }
        disk.advance(&before, &next, &changes.changes)?;
        Ok(self.show(next))
    }

    fn way(&self, changes: &ChangeSet) -> Way {
        let count: usize = changes.changes.values().map(Vec::len).sum();
        let over = self.current().map_or(0, |current| current.overlay_len());
        let fits = over.saturating_add(count) <= self.options.overlay_max;
        if fits && self.disk.is_some() { Way::Overlay } else { Way::Base }
    }

    fn check_gap(&self, changes: &ChangeSet) -> Result<(), ApplyError> {
        let (epoch, revision) = self.stands_at(changes);
        let fits = changes.epoch == epoch && changes.after == revision;
        if fits && changes.revision > revision { Ok(()) } else { Err(self.gap(changes)) }
    }

    fn gap(&self, changes: &ChangeSet) -> ApplyError {
        let (current_epoch, current_revision) = self.stands_at(changes);
        let ChangeSet { epoch, after, revision, .. } = *changes;
        ApplyError::Gap { epoch, after, revision, current_epoch, current_revision }
    }

    /// Epoch and revision in service; an empty replica stands at the begin of whatever life comes.
    fn stands_at(&self, changes: &ChangeSet) -> (u64, u64) {
        self.current().map_or((changes.epoch, 0), |now| (now.epoch, now.revision))
    }

    /// The generation after the changes; `cut` makes the ranges that are new.
    fn after(
        &self,
        changes: &ChangeSet,
        way: Way,
        mut cut: impl FnMut(
            &ModelName,
            Vec<storebox_proto::feed::Record>,
        ) -> Result<Option<Range>, ApplyError>,
    ) -> Result<Generation, ApplyError> {
        self.check_gap(changes)?;
        let current = self.current();
        let mut models =
            current.as_ref().map(|generation| generation.models.clone()).unwrap_or_default();
        for (model, changes) in &changes.changes {
            check_rules(model, changes)?;
            let view = match models.remove(model) {
                Some(view) => view,
                None => self.empty_view(model)?,
            };
            let ranges = ranges_after(&view, changes, |records| cut(model, records))?;
            models.insert(model.clone(), with_changes(view, changes, way, ranges));
        }
        let ChangeSet { epoch, revision, published, .. } = *changes;
        Ok(Generation { feed: self.feed.clone(), epoch, revision, published, models })
    }
}

fn with_changes(
    mut view: ModelView,
    changes: &[Change],
    way: Way,
    ranges: Vec<Range>,
) -> ModelView {
    let indexes = match way {
        Way::Overlay => view.def.indexes.as_slice(),
        Way::Base => &[],
    };
    let overlay = Arc::make_mut(&mut view.overlay);
    for change in changes {
        overlay.set(indexes, change);
    }
    (view.digest, view.count) = totals(&ranges);
    view.ranges = Arc::new(ranges);
    view
}

fn check_rules(model: &ModelName, changes: &[Change]) -> Result<(), ApplyError> {
    let disordered = changes.windows(2).find(|pair| pair[0].id >= pair[1].id).map(|pair| &pair[1]);
    let is_large =
        |change: &&Change| change.body.as_ref().is_some_and(|body| body.len() > RECORD_BYTES_MAX);
    match disordered.or_else(|| changes.iter().find(is_large)) {
        Some(change) => {
            Err(ApplyError::Rule { model: model.clone(), id: change.id.as_str().to_owned() })
        }
        None => Ok(()),
    }
}
