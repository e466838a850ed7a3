//! Looks for damage before a till does: reads every segment in service, slowly, and compares it with its name.
//!
//! What it finds is named in the log and handed to the refresher, which fetches the range again and puts it back.
//! It takes nothing away: even a damaged segment has blocks that can be read until the new one is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use storebox_proto::ids::{FeedId, Hash32, ModelName};
use tokio_util::sync::CancellationToken;

use super::readers::Readers;
use super::refresher::Handle;
use crate::blocking::beside;
use crate::db::{Health, SegmentStore};

/// How the scrub works.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// From the end of one round to the beginning of the next.
    pub every: Duration,
    /// Bytes read in a second, so that tills do not feel it.
    pub bytes_per_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { every: Duration::from_secs(24 * 3600), bytes_per_s: 4 << 20 }
    }
}

/// What one round found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Segments that were read.
    pub checked: u64,
    /// Damaged or missing segments.
    pub damaged: BTreeMap<FeedId, BTreeSet<(ModelName, Hash32)>>,
}

/// The task.
pub struct Scrub {
    readers: Readers,
    segments: SegmentStore,
    refresher: Handle,
    options: Options,
}

impl Scrub {
    /// A scrub over everything that these readers see.
    pub fn new(
        readers: Readers,
        segments: SegmentStore,
        refresher: Handle,
        options: Options,
    ) -> Self {
        Self { readers, segments, refresher, options }
    }

    /// Runs round after round until it is told to stop; dropped at an await, it forgets how far it was.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            let pause = tokio::time::sleep(self.options.every);
            if shutdown.run_until_cancelled(pause).await.is_none() {
                return;
            }
            if shutdown.run_until_cancelled(self.round()).await.is_none() {
                return;
            }
        }
    }

    /// Reads everything once and hands over what is damaged.
    pub async fn round(&self) -> Round {
        let mut round = Round::default();
        for feed in self.readers.feeds() {
            let Some(generation) = self.readers.generation(&feed) else { continue };
            for (model, name) in generation.segments() {
                let segments = self.segments.clone();
                let checked = beside(move || {
                    let bytes = segments.read(name).map_or(0, |bytes| bytes.len() as u64);
                    (segments.check(name), bytes)
                });
                let (health, bytes) = checked.await;
                round.checked += 1;
                if health != Health::Intact {
                    tracing::error!(%feed, %model, segment = %name, ?health, "a segment is damaged");
                    round.damaged.entry(feed.clone()).or_default().insert((model, name));
                }
                let micros = bytes.saturating_mul(1_000_000) / self.options.bytes_per_s.max(1);
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
        }
        for (feed, damaged) in &round.damaged {
            let names = damaged.iter().map(|(_, name)| *name).collect();
            if self.refresher.repair(feed.clone(), names).is_err() {
                tracing::warn!(%feed, "the repair waits for the next round");
            }
        }
        tracing::info!(segments = round.checked, damaged = round.damaged.len(), "scrubbed");
        round
    }
}
