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

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use storebox_proto::feed::{Manifest, ModelDef};
use storebox_proto::ids::{FeedId, ModelName};

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
