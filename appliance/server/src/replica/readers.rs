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

use crate::db::{FeedReader, Generation, ReadError};

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
        // What cannot be read is not gone: the models that are known stay known.
        let Ok(registry) = self.defined() else { return false };
        let changed = *self.registry() != registry;
        if changed {
            self.inner.registry.store(Arc::new(registry));
        }
        changed
    }

    /// Which feed is replicated in the place of one: the excerpt of this box, or all of it.
    ///
    /// Nothing if what the estate says of that cannot be read: then what is here stays.
    pub(super) fn extent(&self, feed: &FeedId, node: &NodeId, site: &SiteId) -> Option<FeedId> {
        let model: ModelName = EXCERPT.parse().expect("the name of a built-in model");
        let records = self.estate(&model).ok()?;
        let own = Excerpt::own(records.iter().map(|record| &*record.body), node, site);
        let own = own.inspect_err(|fault| {
            tracing::error!(%node, error = %fault, "the excerpt of this box is not understood; what is here stays");
        });
        let own = own.ok()?.filter(|excerpt| excerpt.feeds(&self.registry()).contains(feed));
        let cut = own.and_then(|excerpt| feed.with_excerpt(&excerpt.id));
        Some(cut.unwrap_or_else(|| feed.clone()))
    }

    /// All records of a model of the estate.
    fn estate(&self, model: &ModelName) -> Result<Vec<Record>, ReadError> {
        let estate: FeedId = ESTATE.parse().expect("the name of a built-in feed");
        let mut records: Vec<Record> = Vec::new();
        if let Some(generation) = self.generation(&estate) {
            let read = generation.each(model, |record| {
                records.push(record);
                true
            });
            read.inspect_err(|error| {
                tracing::error!(%model, %error, "definitions of the estate cannot be read; those of before stay");
            })?;
        }
        Ok(records)
    }

    fn defined(&self) -> Result<Registry, ReadError> {
        let model: ModelName = MODEL_OF_MODELS.parse().expect("the name of a built-in model");
        let records = self.estate(&model)?;
        let mut registry = Registry::built_in();
        for record in &records {
            let added = ModelDef::from_record(record).and_then(|def| registry.add(def));
            if let Err(refused) = added {
                tracing::warn!(error = %refused, "a model that came as masterdata is not taken");
            }
        }
        Ok(registry)
    }
}

impl Default for Readers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
