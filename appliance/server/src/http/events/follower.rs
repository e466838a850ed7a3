//! One till's place in all feeds.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use futures_util::future::select_all;
use serde::Serialize;
use serde_json::json;
use storebox_proto::feed::Position;
use storebox_proto::ids::{FeedId, ModelName, RecordId};
use storebox_proto::limits::FEEDS_MAX;
use tokio::sync::watch;

use super::Feeds;
use crate::blocking::beside;
use crate::replica::board::Posted;
use crate::replica::till_changes::{Since, TillChange};

/// How far a till has heard each feed, written `catalogue:1.42,estate:1.3`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursors(BTreeMap<FeedId, Position>);

/// The text is not a list of positions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not the id of an event, such as catalogue:1.42,estate:1.3")]
pub(super) struct InvalidCursors;

impl fmt::Display for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (feed, position)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{feed}:{position}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursors {
    type Err = InvalidCursors;
    fn from_str(text: &str) -> Result<Self, InvalidCursors> {
        let mut cursors = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (feed, position) = part.split_once(':').ok_or(InvalidCursors)?;
            let feed = feed.parse().map_err(|_| InvalidCursors)?;
            cursors.insert(feed, position.parse().map_err(|_| InvalidCursors)?);
        }
        if cursors.len() > FEEDS_MAX { Err(InvalidCursors) } else { Ok(Self(cursors)) }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) data: String,
    /// Where a till that heard this goes on.
    pub(super) id: String,
}

/// Tells one till what it has not heard.
pub(super) struct Follower {
    feeds: Feeds,
    cursors: Cursors,
    watches: BTreeMap<FeedId, watch::Receiver<Option<Posted>>>,
}

/// The ids of one model that changed.
#[derive(Debug, Default, Serialize)]
struct Ids {
    changed: Vec<RecordId>,
    removed: Vec<RecordId>,
}

impl Follower {
    /// A till at this place; feeds that it does not name are followed from now on.
    pub(super) fn new(feeds: Feeds, mut cursors: Cursors) -> Self {
        let watches: BTreeMap<_, _> = feeds
            .names
            .iter()
            .filter_map(|feed| Some((feed.clone(), feeds.changes.watch(feed)?)))
            .collect();
        for feed in watches.keys() {
            if let Some(position) = feeds.changes.position(feed) {
                cursors.0.entry(feed.clone()).or_insert(position);
            }
        }
        Self { feeds, cursors, watches }
    }

    /// The next event; nothing once the box stops.
    ///
    /// Dropping this in the middle repeats at most one event of a till that comes back.
    pub(super) async fn next(&mut self) -> Option<Told> {
        loop {
            let behind = self.watches.iter_mut().find_map(|(feed, watch)| {
                let position = watch.borrow_and_update().as_ref()?.position();
                (self.cursors.0.get(feed) != Some(&position)).then(|| (feed.clone(), position))
            });
            match behind {
                Some((feed, position)) => {
                    if let Some(told) = self.tell(feed, position).await {
                        return Some(told);
                    }
                }
                None => {
                    let stop = self.feeds.stop.clone();
                    stop.run_until_cancelled(self.moved()).await?;
                }
            }
        }
    }

    async fn tell(&mut self, feed: FeedId, position: Position) -> Option<Told> {
        let since = match self.cursors.0.get(&feed).copied() {
            None => Since::Relist { to: position },
            Some(cursor) => {
                let (changes, feed) = (self.feeds.changes.clone(), feed.clone());
                let read = move || changes.since(&feed, cursor);
                beside(read).await
            }
        };
        let (name, to, data) = match since {
            Since::Nothing => {
                self.cursors.0.insert(feed, position);
                return None;
            }
            Since::Changes { to, changes } => {
                let models = by_model(changes);
                ("changes", to, json!({ "feed": feed, "position": to, "models": models }))
            }
            Since::Relist { to } => ("reset", to, json!({ "feed": feed, "position": to })),
        };
        self.cursors.0.insert(feed, to);
        Some(Told { name, data: data.to_string(), id: self.cursors.to_string() })
    }

    /// Waits until any feed has moved.
    async fn moved(&mut self) {
        let moves = self.watches.values_mut().map(|watch| Box::pin(watch.changed()));
        let moves: Vec<_> = moves.collect();
        if moves.is_empty() {
            return std::future::pending().await;
        }
        let _ = select_all(moves).await;
    }
}

/// Several revisions in one event: what holds is the last that happened to a record.
fn by_model(changes: Vec<TillChange>) -> BTreeMap<ModelName, Ids> {
    let mut last: BTreeMap<(ModelName, RecordId), bool> = BTreeMap::new();
    for TillChange { model, change } in changes {
        last.insert((model, change.id), change.body.is_some());
    }
    let mut models: BTreeMap<ModelName, Ids> = BTreeMap::new();
    for ((model, id), is_there) in last {
        let ids = models.entry(model).or_default();
        if is_there { ids.changed.push(id) } else { ids.removed.push(id) }
    }
    models
}

#[cfg(test)]
mod tests;
