//! The replica of one feed: one owner changes it, any number of readers see it.
//!
//! ```text
//! feeds/<feed>/CURRENT        names the generation directory in service
//! feeds/<feed>/gen-<n>/       sled (lists, overlay, digests) and the index files of the base
//! feeds/<feed>/set-aside-<n>  the last directory that could not be read
//! ```
//!
//! A change either moves the overlay on (one atomic batch in the same directory) or makes a new base
//! (a new directory beside, then `CURRENT`).
//! Either way readers are shown the new generation only when it is verified and durable,
//! and whoever holds the old one reads on undisturbed.

mod adopt;
mod apply;
mod directory;
mod open;
mod redefine;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use storebox_proto::feed::{Manifest, ModelDef};
use storebox_proto::ids::{FeedId, Hash32, ModelName, RecordId};

use super::base::Base;
use super::cache::BlockCache;
use super::disk::Disk;
use super::generation::Generation;
use super::model::ModelView;
use super::segments::SegmentStore;

pub use super::assemble::BadSegment;
pub use adopt::{AdoptError, FoldError, Snapshot};
pub use apply::{ApplyError, ChangeSet, Prepared};
pub use open::{Incident, OpenError, Opened};

/// What a box decides about its replicas.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cache of blocks, shared by all feeds.
    pub cache: BlockCache,
    /// Changes over a base before a new base is made of both.
    pub overlay_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache: BlockCache::new(28 * 1024 * 1024), overlay_max: 3000 }
    }
}

/// A key range of a model at the current revision, as the author's manifest has it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRef {
    /// The model.
    pub model: ModelName,
    /// The first id in it.
    pub first: RecordId,
    /// The last id in it.
    pub last: RecordId,
    /// The digest by which a manifest's entry is recognised.
    pub digest: Hash32,
}

/// Reads whatever generation is in service; a cheap handle.
#[derive(Debug, Clone)]
pub struct FeedReader {
    current: Arc<ArcSwapOption<Generation>>,
}

impl FeedReader {
    /// The generation in service; nothing before the first refresh.
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }
}

/// The replica of one feed, owned by whoever changes it.
pub struct FeedStore {
    root: PathBuf,
    feed: FeedId,
    defs: BTreeMap<ModelName, Arc<ModelDef>>,
    segments: SegmentStore,
    options: Options,
    current: Arc<ArcSwapOption<Generation>>,
    disk: Option<Disk>,
    next_directory: u64,
}

impl FeedStore {
    /// The feed.
    pub fn feed(&self) -> &FeedId {
        &self.feed
    }

    /// The generation in service; nothing before the first refresh.
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// A handle for readers.
    pub fn reader(&self) -> FeedReader {
        FeedReader { current: Arc::clone(&self.current) }
    }

    /// The manifests of the base, which lies behind the current revision by the overlay.
    ///
    /// After [`FeedStore::fold`] they are those of the current revision.
    pub fn manifests(&self) -> Vec<Manifest> {
        let current = self.current();
        let views = current.iter().flat_map(|generation| generation.models.values());
        views.map(|view| view.base.manifest()).collect()
    }

    /// Every segment file that the current generation reads or names.
    pub fn segments_in_use(&self) -> BTreeSet<Hash32> {
        let mut names = BTreeSet::new();
        if let Some(generation) = self.current() {
            for view in generation.models.values() {
                names.extend(view.base.entries().map(|entry| entry.name));
                names.extend(view.ranges.iter().filter_map(|range| Some(range.file?.0)));
            }
        }
        names
    }

    /// The ranges of the current revision that lie in a segment of the base: what a repair fetches.
    pub fn ranges_of(&self, segment: Hash32) -> Vec<RangeRef> {
        let Some(generation) = self.current() else { return Vec::new() };
        let mut found = Vec::new();
        for (model, view) in &generation.models {
            for entry in view.base.entries().filter(|entry| entry.name == segment) {
                let ranges = view.ranges.iter();
                let inside = ranges.filter(|r| r.first <= entry.last && r.last >= entry.first);
                found.extend(inside.map(|range| RangeRef {
                    model: model.clone(),
                    first: range.first.clone(),
                    last: range.last.clone(),
                    digest: range.digest,
                }));
            }
        }
        found
    }

    /// The definition of a model; one that the registry does not know travels without indexes.
    fn def(&self, model: &ModelName) -> Arc<ModelDef> {
        self.defs.get(model).cloned().unwrap_or_else(|| {
            Arc::new(ModelDef {
                name: model.clone(),
                feed: self.feed.clone(),
                scope: storebox_proto::feed::Scope::Central,
                indexes: Vec::new(),
            })
        })
    }

    /// A model without records.
    fn empty_view(&self, model: &ModelName) -> Result<ModelView, Vec<BadSegment>> {
        let def = self.def(model);
        let base = self.assemble(&def, Vec::new())?;
        Ok(ModelView::of_base(def, Arc::new(base)))
    }

    fn assemble(
        &self,
        def: &ModelDef,
        entries: Vec<storebox_proto::feed::SegmentEntry>,
    ) -> Result<Base, Vec<BadSegment>> {
        super::assemble::assemble(def, entries, &self.segments, &self.options.cache)
    }
}

/// The owner may move to a thread of its own; readers may be anywhere.
const fn is_send<T: Send>() {}
const fn is_shared<T: Send + Sync>() {}
const _: () = is_send::<FeedStore>();
const _: () = is_shared::<FeedReader>();

#[cfg(test)]
mod tests;
