//! What a box says about itself, as far as the demo needs it.

use serde::Deserialize;

use super::process::{Error, Process};

/// The part of `GET /v1/status` that the demo looks at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// The public key of the box.
    pub public_key: String,
    /// Its masterdata.
    pub feeds: Vec<Feed>,
    /// Its outbox, if it is a store.
    pub outbox: Outbox,
    /// Its ledger, if it is a main server.
    pub ledger: Ledger,
}

/// One feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Feed {
    /// Its name.
    pub feed: String,
    /// The life of its author.
    pub epoch: u64,
    /// What readers see.
    pub revision: u64,
    /// Records of all its models.
    pub records: u64,
    /// What the refresher is doing.
    pub state: String,
}

/// Transactions on their way.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Outbox {
    /// Not settled yet.
    pub waiting: u64,
    /// Waiting for a person.
    pub quarantined: u64,
    /// Accepted in all.
    pub accepted: u64,
    /// Settled in all.
    pub settled: u64,
}

/// Transactions that have arrived.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// How many.
    pub settled: u64,
}

impl State {
    /// Asks a box.
    pub async fn of(process: &Process) -> Result<Self, Error> {
        let answer = process.control("GET", "/v1/status", None).await?;
        let text = answer.to_string();
        serde_json::from_value(answer).map_err(|_| process.odd_answer("/v1/status", text))
    }

    /// Records of all feeds.
    pub fn records(&self) -> u64 {
        self.feeds.iter().map(|feed| feed.records).sum()
    }

    /// Whether every feed that the author has is here at the author's revision.
    pub fn is_level_with(&self, author: &Self) -> bool {
        let position = |feed: &Feed| (feed.epoch, feed.revision, feed.records);
        let mut wanted = author.feeds.iter().filter(|feed| feed.revision > 0);
        wanted.all(|feed| {
            let here = self.feeds.iter().find(|here| here.feed == feed.feed);
            here.is_some_and(|here| position(here) == position(feed))
        })
    }
}
