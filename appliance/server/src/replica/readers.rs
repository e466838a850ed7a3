//! What the rest of the box reads masterdata through: the models that are known and the generation of each feed.
//!
//! A reader takes a generation once and works on it to the end; a refresh meanwhile does not disturb it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use storebox_proto::estate::{EXCERPT, Excerpt};
use storebox_proto::feed::registry::{ESTATE, MODEL_OF_MODELS};
use storebox_proto::feed::{ModelDef, Record, Registry};
use storebox_proto::ids::{FeedId, ModelName, NodeId, SiteId};

use crate::db::{FeedReader, Generation};

/// All readers; a cheap handle.
#[derive(Debug, Clone)]
pub struct Readers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: ArcSwap<Registry>,
    feeds: ArcSwap<BTreeMap<FeedId, FeedReader>>,
}

impl Readers {
    /// Readers of nothing yet, who know the built-in models.
    pub fn new() -> Self {
        let registry = ArcSwap::from_pointee(Registry::built_in());
        Self { inner: Arc::new(Inner { registry, feeds: ArcSwap::default() }) }
    }

    /// The models that are known now, those that came as masterdata included.
    pub fn registry(&self) -> Arc<Registry> {
        self.inner.registry.load_full()
    }

    /// The feeds that have a replica here.
    pub fn feeds(&self) -> Vec<FeedId> {
        self.inner.feeds.load().keys().cloned().collect()
    }

    /// What is in service of a feed; nothing before its first refresh.
    pub fn generation(&self, feed: &FeedId) -> Option<Arc<Generation>> {
        self.inner.feeds.load().get(feed).and_then(FeedReader::current)
    }

    /// The definition of a model and what is in service of its feed.
    pub fn of_model(&self, model: &ModelName) -> Option<(ModelDef, Option<Arc<Generation>>)> {
        let registry = self.registry();
        let def = registry.get(model)?.clone();
        let generation = self.generation(&def.feed);
        Some((def, generation))
    }

    /// Lets a feed be read.
    pub fn add(&self, feed: FeedId, reader: FeedReader) {
        self.inner.feeds.rcu(|feeds| {
            let mut feeds = BTreeMap::clone(feeds);
            feeds.insert(feed.clone(), reader.clone());
            feeds
        });
    }

    /// Looks at the estate for models that came as masterdata; true if what is known has changed.
    pub(super) fn look_for_models(&self) -> bool {
        let registry = self.defined();
        let changed = *self.registry() != registry;
        if changed {
            self.inner.registry.store(Arc::new(registry));
        }
        changed
    }

    /// Which feed is replicated in the place of one: the excerpt of this box, or all of it.
    pub(super) fn extent(&self, feed: &FeedId, node: &NodeId, site: &SiteId) -> FeedId {
        let model: ModelName = EXCERPT.parse().expect("the name of a built-in model");
        let records = self.estate(&model);
        let read =
            |record: &Record| Excerpt::read(&serde_json::from_slice(&record.body).ok()?).ok();
        let excerpts: Vec<Excerpt> = records.iter().filter_map(read).collect();
        let own = Excerpt::of(&excerpts, node, site);
        let own = own.filter(|excerpt| excerpt.feeds(&self.registry()).contains(feed));
        own.and_then(|excerpt| feed.with_excerpt(&excerpt.id)).unwrap_or_else(|| feed.clone())
    }

    /// All records of a model of the estate.
    fn estate(&self, model: &ModelName) -> Vec<Record> {
        let estate: FeedId = ESTATE.parse().expect("the name of a built-in feed");
        let mut records: Vec<Record> = Vec::new();
        if let Some(generation) = self.generation(&estate) {
            let read = generation.each(model, |record| {
                records.push(record);
                true
            });
            if let Err(error) = read {
                tracing::warn!(%model, error = %error, "definitions of the estate cannot all be read");
            }
        }
        records
    }

    fn defined(&self) -> Registry {
        let model: ModelName = MODEL_OF_MODELS.parse().expect("the name of a built-in model");
        let records = self.estate(&model);
        let mut registry = Registry::built_in();
        for record in &records {
            let added = ModelDef::from_record(record).and_then(|def| registry.add(def));
            if let Err(refused) = added {
                tracing::warn!(error = %refused, "a model that came as masterdata is not taken");
            }
        }
        registry
    }
}

impl Default for Readers {
    fn default() -> Self {
        Self::new()
    }
}
