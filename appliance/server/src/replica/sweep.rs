//! Takes away objects that no head names any more, after a while: somebody may be in the middle of fetching them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use storebox_proto::feed::Manifest;
use storebox_proto::ids::Hash32;

use super::board::Board;
use crate::db::{SegmentStore, StoreError};

/// How much of what the heads name lies in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// All of it: this node is the author, and a manifest that is not there is damage.
    Everything,
    /// What was needed to get here.
    Parts,
}

/// Why nothing was taken away.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The segment store refuses.
    #[error("look through the segments")]
    Store(#[from] StoreError),
    /// What the manifest names cannot be known, so nothing is safe to remove.
    #[error("manifest {name} is missing or damaged")]
    Manifest {
        /// Its name.
        name: Hash32,
    },
}

/// Remembers since when an object has been unnamed.
///
/// The first sweep after a start only takes note, so a restart lengthens the grace and never shortens it.
#[derive(Debug)]
pub struct Sweeper {
    holding: Holding,
    grace: Duration,
    unnamed: BTreeMap<Hash32, Instant>,
}

impl Sweeper {
    /// A sweeper that waits so long before it removes something.
    pub fn new(holding: Holding, grace: Duration) -> Self {
        Self { holding, grace, unnamed: BTreeMap::new() }
    }

    /// Removes what has been unnamed for the time of grace; what a generation reads stays in any case.
    pub fn sweep(
        &mut self,
        store: &SegmentStore,
        board: &Board,
        now: Instant,
    ) -> Result<u64, SweepError> {
        let named = self.named(store, board)?;
        let names: BTreeSet<Hash32> = store.names()?.into_iter().collect();
        self.unnamed.retain(|name, _| !named.contains(name) && names.contains(name));
        let mut removed = 0;
        for name in names.difference(&named) {
            let since = *self.unnamed.entry(*name).or_insert(now);
            if now.saturating_duration_since(since) >= self.grace && store.remove(*name)? {
                self.unnamed.remove(name);
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Every object that may be asked for by a head on offer.
    fn named(&self, store: &SegmentStore, board: &Board) -> Result<BTreeSet<Hash32>, SweepError> {
        let mut named = BTreeSet::new();
        for posted in board.offered() {
            let pages = posted.head.runs.iter().flat_map(|run| &run.pages);
            named.extend(pages.map(|page| page.name));
            for name in posted.head.models.iter().map(|model| model.manifest) {
                named.insert(name);
                let manifest = store.read(name).ok().and_then(|bytes| Manifest::parse(&bytes).ok());
                match (manifest, self.holding) {
                    (Some(manifest), _) => {
                        named.extend(manifest.segments.iter().map(|entry| entry.name));
                    }
                    (None, Holding::Everything) => return Err(SweepError::Manifest { name }),
                    (None, Holding::Parts) => {}
                }
            }
        }
        Ok(named)
    }
}
