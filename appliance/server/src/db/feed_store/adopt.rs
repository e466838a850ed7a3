//! Making a new base: from an author's manifests, or from the old base and its overlay.

use std::collections::BTreeMap;
use std::sync::Arc;

use storebox_proto::feed::manifest::ManifestError;
use storebox_proto::feed::segment::DraftError;
use storebox_proto::feed::{Manifest, ModelDef, SegmentEntry};
use storebox_proto::ids::{Hash32, ModelName};
use storebox_proto::time::Timestamp;

use super::{BadSegment, FeedStore};
use crate::db::base::Base;
use crate::db::disk::DiskError;
use crate::db::generation::{Generation, ReadError};
use crate::db::model::{ModelView, Range};
use crate::db::plan::{CutError, SegmentSink};
use crate::db::segments::{Health, StoreError};

/// What a generation directory may take per record (indexes), and besides.
const INDEX_BYTES_PER_RECORD: u64 = 96;
const DIRECTORY_BYTES: u64 = 4 * 1024 * 1024;

/// A feed at one revision, as its author's manifests describe it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The author's life.
    pub epoch: u64,
    /// The revision.
    pub revision: u64,
    /// When the author published it.
    pub published: Timestamp,
    /// One manifest for each model.
    pub manifests: Vec<Manifest>,
}

/// Why a snapshot is not adopted; the current generation stays in service.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A manifest breaks a rule.
    #[error("the manifest of model {model} cannot be used")]
    Manifest {
        /// The model.
        model: ModelName,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Two manifests are of the same model.
    #[error("model {model} has two manifests")]
    Twice {
        /// The model.
        model: ModelName,
    },
    /// Segments are missing or damaged; all of them are named.
    #[error("{} segments cannot be used, the first: {}", bad.len(), first(bad))]
    Segments {
        /// What has to be fetched.
        bad: Vec<BadSegment>,
    },
    /// There is not enough room for the new generation beside the old.
    #[error("{needed} bytes are needed, {free} are free")]
    DiskFull {
        /// What the new generation may take.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// The new generation cannot be written.
    #[error("write the new generation")]
    Disk(#[from] DiskError),
    /// The file system does not tell its free space.
    #[error("look at the disk")]
    Store(#[from] StoreError),
}

fn first(bad: &[BadSegment]) -> String {
    bad.first().map(ToString::to_string).unwrap_or_default()
}

/// Why base and overlay cannot be folded; the current generation stays in service.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// There is nothing to fold.
    #[error("the replica is empty")]
    Empty,
    /// A part of the base cannot be read.
    #[error("read the old base")]
    Read(#[source] ReadError),
    /// Segments of the new base are missing or damaged.
    #[error("{} segments cannot be used, the first: {}", bad.len(), first(bad))]
    Segments {
        /// What has to be fetched.
        bad: Vec<BadSegment>,
    },
    /// What was read is not what the digests say.
    #[error("a range of model {model} has the digest {got}, expected {expected}")]
    Digest {
        /// The model.
        model: ModelName,
        /// What it should be.
        expected: Hash32,
        /// What was read.
        got: Hash32,
    },
    /// A segment cannot be packed.
    #[error("pack a segment")]
    Pack(#[source] DraftError),
    /// A segment cannot be stored.
    #[error("store a segment")]
    Store(#[source] StoreError),
    /// There is not enough room for the new generation beside the old.
    #[error("{needed} bytes are needed, {free} are free")]
    DiskFull {
        /// What the new generation may take.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// The new generation cannot be written.
    #[error("write the new generation")]
    Disk(#[from] DiskError),
}

impl FoldError {
    /// Whether room on the disk would help.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull { .. }
            | Self::Disk(DiskError::Full)
            | Self::Store(StoreError::DiskFull { .. }) => true,
            Self::Empty
            | Self::Read(_)
            | Self::Segments { .. }
            | Self::Digest { .. }
            | Self::Pack(_)
            | Self::Store(_)
            | Self::Disk(_) => false,
        }
    }
}

impl AdoptError {
    /// Whether room on the disk would help.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::DiskFull { .. }
            | Self::Disk(DiskError::Full)
            | Self::Store(StoreError::DiskFull { .. }) => true,
            Self::Manifest { .. }
            | Self::Twice { .. }
            | Self::Segments { .. }
            | Self::Disk(_)
            | Self::Store(_) => false,
        }
    }
}

impl From<CutError> for FoldError {
    fn from(error: CutError) -> Self {
        match error {
            CutError::Read(error) => Self::Read(error),
            CutError::Pack(error) => Self::Pack(error),
            CutError::Store(error) => Self::Store(error),
        }
    }
}

impl From<AdoptError> for FoldError {
    fn from(error: AdoptError) -> Self {
        match error {
            AdoptError::Segments { bad } => Self::Segments { bad },
            AdoptError::DiskFull { needed, free } => Self::DiskFull { needed, free },
            AdoptError::Disk(error) => Self::Disk(error),
            AdoptError::Store(error) => Self::Store(error),
            AdoptError::Manifest { .. } | AdoptError::Twice { .. } => Self::Empty,
        }
    }
}

impl FeedStore {
    /// Takes over an author's snapshot, all of whose segments are in the segment store.
    pub fn adopt(&mut self, snapshot: Snapshot) -> Result<Arc<Generation>, AdoptError> {
        let Snapshot { epoch, revision, published, manifests } = snapshot;
        let mut by_model: BTreeMap<ModelName, Vec<SegmentEntry>> = BTreeMap::new();
        for manifest in manifests {
            let model = manifest.model.clone();
            if let Err(source) = manifest.check() {
                return Err(AdoptError::Manifest { model, source });
            }
            if by_model.insert(model.clone(), manifest.segments).is_some() {
                return Err(AdoptError::Twice { model });
            }
        }
        let models = self.build(by_model)?;
        let feed = self.feed.clone();
        Ok(self.install(Generation { feed, epoch, revision, published, models })?)
    }

    /// Makes a new base of base and overlay, writing only the segments that changed.
    pub fn fold(&mut self) -> Result<Vec<Manifest>, FoldError> {
        let current = self.current().ok_or(FoldError::Empty)?;
        self.rebase(same(&current))?;
        Ok(self.manifests())
    }

    /// Makes a new base at the same revision, in which files of the author's manifests stand for ranges
    /// that cannot be read here, as far as they were fetched.
    pub fn repair(&mut self, manifests: &[Manifest]) -> Result<Vec<Manifest>, FoldError> {
        let current = self.current().ok_or(FoldError::Empty)?;
        let entries = manifests.iter().flat_map(|manifest| &manifest.segments);
        let offered: BTreeMap<Hash32, &SegmentEntry> = entries
            .filter(|entry| self.segments.contains(entry.name))
            .map(|entry| (entry.digest, entry))
            .collect();
        let mut next = same(&current);
        for view in next.models.values_mut() {
            let mut ranges = view.ranges.as_ref().clone();
            for range in &mut ranges {
                let is_intact =
                    range.file.is_some_and(|(name, _)| self.segments.check(name) == Health::Intact);
                if let (false, Some(entry)) = (is_intact, offered.get(&range.digest)) {
                    *range = Range::from(*entry);
                }
            }
            view.ranges = Arc::new(ranges);
        }
        self.rebase(next)?;
        Ok(self.manifests())
    }

    /// Puts a generation into service whose ranges have all become its base.
    pub(super) fn rebase(&mut self, next: Generation) -> Result<Arc<Generation>, FoldError> {
        let mut sink = SegmentSink::new(&self.segments);
        let mut by_model = BTreeMap::new();
        for (model, view) in &next.models {
            let mut entries = Vec::with_capacity(view.ranges.len());
            for range in view.ranges.iter() {
                entries.push(match range.entry() {
                    Some(entry) => entry,
                    None => self.write_range(&mut sink, model, view, range)?,
                });
            }
            by_model.insert(model.clone(), entries);
        }
        sink.finish().map_err(FoldError::Store)?;
        let models = self.build(by_model)?;
        Ok(self.install(Generation { models, ..same(&next) })?)
    }

    fn write_range(
        &self,
        sink: &mut SegmentSink<'_>,
        model: &ModelName,
        view: &ModelView,
        range: &Range,
    ) -> Result<SegmentEntry, FoldError> {
        let records = view.range(range).map_err(FoldError::Read)?;
        let entry = sink.write(model, &records)?;
        if entry.digest != range.digest {
            let (expected, got) = (range.digest, entry.digest);
            return Err(FoldError::Digest { model: model.clone(), expected, got });
        }
        Ok(entry)
    }

    /// Bases of all models; one that is the same as now is used again.
    fn build(
        &self,
        by_model: BTreeMap<ModelName, Vec<SegmentEntry>>,
    ) -> Result<BTreeMap<ModelName, ModelView>, AdoptError> {
        let entries = by_model.values().flatten();
        self.check_room(entries.map(|entry| u64::from(entry.count)).sum())?;
        let current = self.current();
        let known = self.defs.keys().filter(|model| !by_model.contains_key(*model));
        let mut wanted: BTreeMap<ModelName, Vec<SegmentEntry>> =
            known.map(|model| (model.clone(), Vec::new())).collect();
        wanted.extend(by_model);
        let (mut models, mut bad) = (BTreeMap::new(), Vec::new());
        for (model, entries) in wanted {
            let def = self.def(&model);
            let old = current.as_ref().and_then(|generation| generation.models.get(&model));
            let base = match old.filter(|view| can_stay(view, &def, &entries)) {
                Some(view) => Ok(Arc::clone(&view.base)),
                None => self.assemble(&def, entries).map(Arc::new),
            };
            match base {
                Ok(base) => drop(models.insert(model, ModelView::of_base(def, base))),
                Err(more) => bad.extend(more),
            }
        }
        if bad.is_empty() { Ok(models) } else { Err(AdoptError::Segments { bad }) }
    }

    /// Whether a directory for so many records fits beside the one in service.
    pub(super) fn check_room(&self, records: u64) -> Result<(), AdoptError> {
        let needed = records * INDEX_BYTES_PER_RECORD + DIRECTORY_BYTES;
        let free = self.segments.room()?.free_bytes;
        if free < needed { Err(AdoptError::DiskFull { needed, free }) } else { Ok(()) }
    }
}

/// Whether a model's base is already what is wanted.
fn can_stay(view: &ModelView, def: &ModelDef, entries: &[SegmentEntry]) -> bool {
    let base: &Base = &view.base;
    base.is_whole() && *view.def == *def && base.entries().eq(entries.iter())
}

/// The same generation once more, to be changed before anyone sees it.
pub(super) fn same(generation: &Generation) -> Generation {
    let Generation { feed, epoch, revision, published, models } = generation;
    Generation {
        feed: feed.clone(),
        epoch: *epoch,
        revision: *revision,
        published: *published,
        models: models.clone(),
    }
}
