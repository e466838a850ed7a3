//! What channels are told without asking.
//!
//! ```text
//! change log ─▶ gather ─▶ store: one record per definition and id ─▶ courier ─▶ webhook
//!                                                                └─▶ listener ─▶ connected client
//! ```
//!
//! The logs are the runs of masterdata and the order of the outbox; nothing is scanned.
//! What changed again before it was told is one record, so a target that is away for a week costs no more than what
//! changed in it; where a log does not reach back, or too much waits, the record is `reset`: load anew.
//!
//! Invariants:
//! - a record goes only when its target has taken it, and only if it has not changed meanwhile;
//! - what waits and what was refused is bounded by definition: beyond, one `reset` says the same;
//! - the place in the logs is kept after the records are, so a crash repeats and never leaves out;
//! - the database behind it may be lost (decision 0002): every definition then begins with `reset`.

pub mod clock;
mod courier;
mod event;
mod figures;
mod gather;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{join, select_all};
use serde::Serialize;
use serde_json::Value;
use storebox_proto::estate::channel::{Delivery, PushDefinition};
use storebox_proto::ids::FeedId;
use storebox_proto::time::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::desk::Channels;
use crate::blocking::beside;
use crate::db::{DiskError, Generation};
use crate::replica::till_changes::TillChanges;
use crate::uplink::{LocalDocuments, Outbox};
use crate::webhook::Webhooks;

pub use clock::{Clock, Now};
pub use event::Told;
pub use figures::Figure;
pub use store::{Course, Happened, Last, Record};

use store::Store;

/// Between two looks at the logs, however much happens.
const LOOK_MIN: Duration = Duration::from_millis(50);
/// Between two looks at the logs, if nothing happens.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Events of one answer or call.
const BATCH: usize = 100;

/// What pushes work with.
pub struct Parts {
    /// The definitions and the rows.
    pub channels: Channels,
    /// The log of masterdata.
    pub changes: TillChanges,
    /// The log of the shop.
    pub documents: LocalDocuments,
    /// The way to other programs.
    pub webhooks: Webhooks,
    /// The time.
    pub clock: Clock,
}

/// The pushes of a box; cheap to clone.
#[derive(Clone)]
pub struct Pushes {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    store: Store,
    /// Targets that are away, and when they are asked again.
    rests: Mutex<BTreeMap<String, Rest>>,
    /// What each feed was when its log was followed last: there stands whose something was that is no more.
    seen: Mutex<BTreeMap<FeedId, Arc<Generation>>>,
    /// How every definition did when that was looked at last.
    figures: Mutex<Vec<Figure>>,
    /// Moves with every new record.
    moved: watch::Sender<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    attempts: u32,
    until: Instant,
}

/// A definition and how it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushStatus {
    /// The definition.
    pub id: String,
    /// Its channel.
    pub channel_id: String,
    /// What it is about.
    pub entity: &'static str,
    /// `webhook` or `sse`.
    pub delivery: Delivery,
    /// Records that wait for the target.
    pub waiting: u64,
    /// The first of the records that the target refused, and why; they wait for a person.
    pub dead: Vec<(Record, String)>,
    /// The last delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
    /// Why the target did not take the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Since when it takes nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
}

impl Pushes {
    /// The pushes whose records are in this directory.
    pub fn open(dir: &Path, parts: Parts) -> Result<Self, DiskError> {
        let (store, lost) = Store::open(dir)?;
        if let Some(error) = lost {
            tracing::warn!(%error, "records of pushes are lost; channels are told to load anew");
        }
        let inner = Inner {
            parts,
            store,
            rests: Mutex::default(),
            seen: Mutex::default(),
            figures: Mutex::default(),
            moved: watch::Sender::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Follows the logs and delivers until the box stops.
    pub async fn run(self, outbox: Outbox, stop: CancellationToken) {
        // Who follows the logs does not wait for who is told.
        let both = join(self.follow(outbox), courier::deliver(&self.inner));
        let _ = stop.run_until_cancelled(both).await;
    }

    async fn follow(&self, outbox: Outbox) {
        let registry = self.inner.parts.channels.registry();
        let mut watches: Vec<_> = registry
            .feeds()
            .iter()
            .filter_map(|feed| self.inner.parts.changes.watch(feed))
            .collect();
        let mut wake = outbox.wake();
        loop {
            let looking = Arc::clone(&self.inner);
            let looked = beside(move || {
                let looked = gather::look(&looking);
                figures::take(&looking);
                looked
            });
            if let Err(error) = looked.await {
                tracing::warn!(%error, "pushes cannot be written down, they are looked for again");
            }
            let moved = async {
                sleep(LOOK_MIN).await;
                let each = watches.iter_mut().map(|watch| watch.changed().boxed());
                select_all(each.chain([wake.changed().boxed()])).await
            };
            let _ = tokio::time::timeout(LOOK_MAX, moved).await;
        }
    }

    /// How every definition did when that was looked at last; never waits for a disk.
    pub fn figures(&self) -> Vec<Figure> {
        self.inner.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How every definition does: blocking.
    pub fn status(&self) -> Result<Vec<PushStatus>, DiskError> {
        let definitions = self.inner.parts.channels.definitions();
        let status = |push: &Arc<PushDefinition>| {
            let course = self.inner.store.course(&push.id).unwrap_or_default();
            Ok(PushStatus {
                id: push.id.clone(),
                channel_id: push.channel_id.clone(),
                entity: push.entity.entity().as_str(),
                delivery: push.delivery,
                waiting: self.inner.store.count(&push.id),
                dead: self.inner.store.dead(&push.id, BATCH)?,
                last: course.last,
                error: course.error,
                failing_since: course.failing_since,
            })
        };
        definitions.pushes().map(status).collect()
    }

    /// A person wants the dead records of a definition to be told again: blocking. How many there were.
    pub fn retry(&self, id: &str) -> Result<usize, DiskError> {
        self.inner.rests().remove(id);
        let count = self.inner.store.revive(id)?;
        self.inner.moved.send_modify(|count| *count += 1);
        Ok(count)
    }

    /// A person gives the dead records of a definition up: blocking. How many there were.
    pub fn give_up(&self, id: &str) -> Result<usize, DiskError> {
        let count = self.inner.store.give_up(id)?;
        self.inner.moved.send_modify(|count| *count += 1);
        Ok(count)
    }

    /// A client of a channel has taken everything that it was told up to a number: blocking.
    ///
    /// A number that the channel was never told is of a time before these records began, and says nothing about them:
    /// what waits gets numbers behind it, or the client would take it unheard when it comes with that number again.
    pub fn taken(&self, channel: &str, number: u64) -> Result<(), DiskError> {
        let store = &self.inner.store;
        let heard = self.heard(channel);
        let told = |push: &Arc<PushDefinition>| store.course(&push.id).unwrap_or_default().told;
        if number > heard.iter().map(told).max().unwrap_or(0) {
            tracing::info!(channel, number, "a client goes on where it was never told");
            if store.begin_behind(number)? {
                for push in &heard {
                    store.put_behind(&push.id, 0, number)?;
                }
                store.commit()?;
            }
            return Ok(());
        }
        for push in heard {
            let taken = store.up_to(&push.id, number.min(told(&push)))?;
            if let Some(last) = taken.last() {
                let at = self.inner.now().at;
                let last = Last { at, number: last.number, count: taken.len() };
                store.delivered(&push.id, &taken, last)?;
            }
        }
        figures::take(&self.inner);
        Ok(())
    }

    /// What a client of a channel has not taken and not heard: behind these numbers of each definition, in the order of
    /// numbers: blocking.
    pub fn tell(
        &self,
        channel: &str,
        places: &BTreeMap<String, u64>,
    ) -> Result<Vec<Told>, DiskError> {
        let Inner { store, parts, .. } = &*self.inner;
        let (now, heard) = (self.inner.now().at, self.heard(channel));
        let told = |push: &Arc<PushDefinition>| store.course(&push.id).unwrap_or_default().told;
        let last = heard.iter().map(told).max().unwrap_or(0);
        let mut found = Vec::new();
        for push in heard.iter().filter(|push| store.count(&push.id) > 0) {
            if !courier::is_time(&self.inner, push, now)? {
                continue;
            }
            store.put_behind(&push.id, told(push), last)?;
            let place = places.get(&push.id).copied().unwrap_or(0);
            let waiting = store.waiting(&push.id, place, BATCH)?;
            found.extend(waiting.into_iter().map(|record| (push, record)));
        }
        found.sort_by_key(|(_, record)| record.number);
        found.truncate(BATCH);
        let mut reached = BTreeMap::new();
        for (push, record) in &found {
            reached.insert(&push.id, record.number);
        }
        for (push, number) in reached {
            store.amend(push, |course| course.told = course.told.max(number))?;
        }
        let tell =
            |(push, record): (&Arc<PushDefinition>, _)| event::told(&parts.channels, push, record);
        Ok(found.into_iter().map(tell).collect())
    }

    /// Moves with every new record.
    pub fn moved(&self) -> watch::Receiver<u64> {
        self.inner.moved.subscribe()
    }

    /// The definitions that clients of a channel listen to.
    fn heard(&self, channel: &str) -> Vec<Arc<PushDefinition>> {
        let definitions = self.inner.parts.channels.definitions();
        let of_channel = definitions
            .pushes()
            .filter(|push| push.channel_id == channel && push.delivery == Delivery::Sse);
        of_channel.cloned().collect()
    }
}

impl Inner {
    fn now(&self) -> Now {
        (self.parts.clock)()
    }

    fn rests(&self) -> MutexGuard<'_, BTreeMap<String, Rest>> {
        self.rests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a call: what it is about and its events.
fn body(push: &PushDefinition, events: &[Told]) -> Value {
    serde_json::json!({
        "push": push.id,
        "channel": push.channel_id,
        "parameters": push.parameters,
        "events": events,
    })
}

#[cfg(test)]
mod tests;
