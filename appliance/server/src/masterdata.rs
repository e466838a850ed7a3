//! All masterdata of the box as readers see it: each model in the generation that its feed is in.
//!
//! A terminal with an assortment loads the products of that one.
//! A listing goes on in the generation that it began in, for as long as that is kept; the number of kept
//! generations and the time are bounded, because each holds its indexes in memory.

mod assortment;
mod definitions;
mod rollout;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use storebox_proto::feed::{Position, Registry, Scope};
use storebox_proto::ids::{FeedId, Hash32, ModelName, RecordId};
use storebox_proto::rings::Rings;
use tokio_util::sync::CancellationToken;

use crate::db::{Generation, ReadError};
use crate::env;
use crate::replica::readers::Readers;
use crate::replica::refresher::Handle;

pub use assortment::Assortment;
pub use definitions::Definitions;
pub use rollout::Rollout;

/// Generations that are kept for listings, besides the current ones.
const KEPT_MAX: usize = 4;
/// A listing that is not continued for this long must start again.
const KEPT_FOR: Duration = Duration::from_secs(120);
/// How often outdated generations are let go.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Why a model cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReadable {
    /// The registry does not have it.
    #[error("no model is called {0:?}")]
    Unknown(String),
    /// It is born in the shop and is not masterdata.
    #[error("model {0} is local; its records are under /v1/documents")]
    Local(ModelName),
    /// Its feed has no verified generation yet.
    #[error("feed {0} was not replicated yet")]
    Empty(FeedId),
    /// The generation that a listing began in is gone.
    #[error("the listing is too old, start it again")]
    Expired,
}

/// The reader of all feeds; cheap to clone.
#[derive(Debug, Clone)]
pub struct Masterdata {
    inner: Arc<Inner>,
}

/// What all handles share; each request clones a handle.
#[derive(Debug)]
struct Inner {
    readers: Readers,
    refresher: Option<Handle>,
    kept: Mutex<Vec<Kept>>,
    definitions: Mutex<Option<Arc<Definitions>>>,
    rings: Mutex<Option<(Position, Arc<Rings>)>>,
}

#[derive(Debug)]
struct Kept {
    generation: Arc<Generation>,
    used: Instant,
}

/// A model's reader: which model, and the generation that answers.
#[derive(Debug, Clone)]
pub struct View {
    /// The model.
    pub model: ModelName,
    /// What answers.
    pub generation: Arc<Generation>,
}

impl Masterdata {
    /// Reads what these readers see.
    pub fn new(readers: Readers) -> Self {
        Self::of(readers, None)
    }

    /// Lets damage that a read meets be repaired by this refresher.
    pub fn repaired_by(self, refresher: Handle) -> Self {
        let (readers, refresher) = (self.inner.readers.clone(), Some(refresher));
        Self::of(readers, refresher)
    }

    fn of(readers: Readers, refresher: Option<Handle>) -> Self {
        let (kept, definitions, rings) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { readers, refresher, kept, definitions, rings }) }
    }

    /// A read met damage: its segment is fetched again, however many readers say so.
    pub fn damaged(&self, model: &ModelName, segment: Hash32) {
        tracing::error!(%model, %segment, "a read met a damaged segment");
        let feed = self.inner.readers.registry().get(model).map(|def| def.feed.clone());
        if let (Some(feed), Some(refresher)) = (feed, &self.inner.refresher)
            && let Err(busy) = refresher.repair(feed, vec![segment])
        {
            tracing::debug!(error = %busy, "the repair was wished for already");
        }
    }

    /// The excerpt that this box has of a model's feed; nothing: it has all of it.
    pub fn excerpt_of(&self, model: &ModelName) -> Option<String> {
        let feed = self.inner.readers.registry().get(model)?.feed.clone();
        let statuses = self.inner.refresher.as_ref()?.watch();
        statuses.borrow().get(&feed)?.excerpt.clone()
    }

    /// All models, those that came as masterdata included.
    pub fn registry(&self) -> Arc<Registry> {
        self.inner.readers.registry()
    }

    /// All feeds with what readers see of them now.
    pub fn feeds(&self) -> Vec<(FeedId, Option<Arc<Generation>>)> {
        let feeds = self.inner.readers.feeds().into_iter();
        feeds.map(|feed| (feed.clone(), self.inner.readers.generation(&feed))).collect()
    }

    /// Waits, for so long at most, until these feeds stand here where their author has them, so that whoever published
    /// something reads it in the next question; a feed that this box does not have is not waited for.
    pub async fn follow(&self, published: &[(&FeedId, Position)], patience: Duration) {
        let Some(refresher) = &self.inner.refresher else { return };
        let mut statuses = refresher.watch();
        let stands = |feed: &FeedId, position: Position| {
            self.generation(feed).is_some_and(|generation| position_of(&generation) >= position)
        };
        let followed = async {
            loop {
                statuses.mark_unchanged();
                let known = self.inner.readers.feeds();
                let mut ours = published.iter().filter(|(feed, _)| known.contains(*feed));
                if ours.all(|(feed, position)| stands(feed, *position))
                    || statuses.changed().await.is_err()
                {
                    return;
                }
            }
        };
        // Who waits longer finds it a little later: it is published all the same.
        let _ = tokio::time::timeout(patience, followed).await;
    }

    /// A feed's current generation.
    pub fn generation(&self, feed: &FeedId) -> Option<Arc<Generation>> {
        self.inner.readers.generation(feed)
    }

    /// A model in its current generation.
    pub fn view(&self, model: &str) -> Result<View, NotReadable> {
        let unknown = || NotReadable::Unknown(model.chars().take(64).collect());
        let model: ModelName = model.parse().map_err(|_| unknown())?;
        let registry = self.inner.readers.registry();
        let def = registry.get(&model).ok_or_else(unknown)?;
        match (def.scope, self.inner.readers.generation(&def.feed)) {
            (Scope::Local, _) => Err(NotReadable::Local(model)),
            (Scope::Central, Some(generation)) => Ok(View { model, generation }),
            (Scope::Central, None) => Err(NotReadable::Empty(def.feed.clone())),
        }
    }

    /// A model in the generation that a listing began in.
    pub fn view_at(&self, model: &str, position: Position) -> Result<View, NotReadable> {
        let current = self.view(model)?;
        if position_of(&current.generation) == position {
            return Ok(current);
        }
        let mut kept = self.kept();
        let same = |kept: &&mut Kept| {
            position_of(&kept.generation) == position
                && kept.generation.feed() == current.generation.feed()
        };
        let found = kept.iter_mut().find(same).ok_or(NotReadable::Expired)?;
        found.used = env::instant();
        Ok(View { model: current.model, generation: Arc::clone(&found.generation) })
    }

    /// Keeps the generation of a listing that goes on.
    pub fn keep(&self, generation: &Arc<Generation>) {
        let used = env::instant();
        let mut kept = self.kept();
        kept.retain(|kept| used.saturating_duration_since(kept.used) < KEPT_FOR);
        if let Some(known) = kept.iter_mut().find(|kept| Arc::ptr_eq(&kept.generation, generation))
        {
            known.used = used;
            return;
        }
        if kept.len() >= KEPT_MAX {
            kept.sort_by_key(|kept| kept.used);
            kept.remove(0);
        }
        kept.push(Kept { generation: Arc::clone(generation), used });
    }

    /// A record of the estate by id or by an indexed field; what cannot be read is not there.
    pub fn look(&self, model: &str, field: &str, value: &str) -> Option<Map<String, Value>> {
        let View { model, generation } = self.view(model).ok()?;
        let found: Result<Option<_>, ReadError> = match field {
            "id" => value.parse::<RecordId>().map_or(Ok(None), |id| generation.get(&model, &id)),
            field => generation.find(&model, field, value, 1).map(|mut found| found.pop()),
        };
        serde_json::from_slice(&found.ok()??.body).ok()
    }

    /// Up to so many records of the estate by an indexed field; what cannot be read is not there.
    pub fn look_all(
        &self,
        model: &str,
        field: &str,
        value: &str,
        max: usize,
    ) -> Vec<Map<String, Value>> {
        let Ok(View { model, generation }) = self.view(model) else { return Vec::new() };
        let found = generation.find(&model, field, value, max).unwrap_or_default();
        found.iter().filter_map(|record| serde_json::from_slice(&record.body).ok()).collect()
    }

    /// Lets go of generations that no listing asked for lately; nothing is lost when this is dropped.
    pub async fn run(self, stop: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        while stop.run_until_cancelled(sweep.tick()).await.is_some() {
            let now = env::instant();
            self.kept().retain(|kept| now.saturating_duration_since(kept.used) < KEPT_FOR);
        }
    }

    /// What is behind the lock is a list of handles: whole even if a thread died while holding it.
    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a generation stands.
pub fn position_of(generation: &Generation) -> Position {
    Position { epoch: generation.epoch(), revision: generation.revision() }
}
