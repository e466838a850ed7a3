//! What a reader sees: one revision of a feed, immutable for as long as it is held.

use std::collections::BTreeMap;
use std::ops::Bound;

use storebox_proto::feed::Record;
use storebox_proto::ids::{FeedId, Hash32, ModelName, RecordId};
use storebox_proto::limits::PAGE_RECORDS_MAX;
use storebox_proto::time::Timestamp;

use super::base::Caching;
use super::model::ModelView;

/// Why a read has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The feed has no such model.
    #[error("model {model} is not in this feed")]
    ModelUnknown {
        /// What was asked for.
        model: ModelName,
    },
    /// The field is not indexed, or not in the way that was asked for.
    #[error("field {field:?} of model {model} has no index for this")]
    IndexUnknown {
        /// The model.
        model: ModelName,
        /// The field, cut to 64 characters.
        field: String,
    },
    /// A part of the replica cannot be read; a repair fetches it again.
    #[error("segment {segment} of model {model} is damaged or missing")]
    Damaged {
        /// The model.
        model: ModelName,
        /// The segment's name.
        segment: Hash32,
        /// Which block of it; nothing if it is its header or the whole.
        block: Option<u32>,
    },
}

/// One revision of a feed.
#[derive(Debug)]
pub struct Generation {
    pub(super) feed: FeedId,
    pub(super) epoch: u64,
    pub(super) revision: u64,
    pub(super) published: Timestamp,
    pub(super) models: BTreeMap<ModelName, ModelView>,
}

impl Generation {
    /// The feed.
    pub fn feed(&self) -> &FeedId {
        &self.feed
    }

    /// The author's life.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The revision within the epoch.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When the author published it.
    pub fn published(&self) -> Timestamp {
        self.published
    }

    /// The models, ascending by name.
    pub fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.models.keys()
    }

    /// The digest of a model.
    pub fn digest(&self, model: &ModelName) -> Option<Hash32> {
        self.models.get(model).map(|view| view.digest)
    }

    /// How many records a model has.
    pub fn count(&self, model: &ModelName) -> Option<u64> {
        self.models.get(model).map(|view| view.count)
    }

    /// The segment files that are read, with their models: what a scrub looks through.
    pub fn segments(&self) -> Vec<(ModelName, Hash32)> {
        let views = self.models.iter();
        let named = |(model, view): (&ModelName, &ModelView)| {
            view.base.entries().map(|entry| (model.clone(), entry.name)).collect::<Vec<_>>()
        };
        views.flat_map(named).collect()
    }

    /// How many changes lie over the base, in all models.
    pub fn overlay_len(&self) -> usize {
        self.models.values().map(|view| view.overlay.len()).sum()
    }

    /// A record by its id.
    pub fn get(&self, model: &ModelName, id: &RecordId) -> Result<Option<Record>, ReadError> {
        let body = self.view(model)?.get(id)?;
        Ok(body.map(|body| Record { id: id.clone(), body }))
    }

    /// The records after an id, ascending; at most `limit`, never more than a page.
    pub fn list(
        &self,
        model: &ModelName,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut scan = self.view(model)?.scan(from, Caching::Keep);
        let mut records = Vec::new();
        while records.len() < limit.min(PAGE_RECORDS_MAX) {
            match scan.next()? {
                Some(record) => records.push(record),
                None => break,
            }
        }
        Ok(records)
    }

    /// Every record of a model, ascending, without touching the block cache; `visit` may stop it with false.
    pub fn each(
        &self,
        model: &ModelName,
        mut visit: impl FnMut(Record) -> bool,
    ) -> Result<(), ReadError> {
        let mut scan = self.view(model)?.scan(Bound::Unbounded, Caching::Pass);
        while let Some(record) = scan.next()? {
            if !visit(record) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn view(&self, model: &ModelName) -> Result<&ModelView, ReadError> {
        let view = self.models.get(model);
        view.ok_or_else(|| ReadError::ModelUnknown { model: model.clone() })
    }
}
