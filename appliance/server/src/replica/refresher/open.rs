//! Opening the replicas of a node.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::stream::FuturesUnordered;
use storebox_proto::feed::Position;
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::ids::FeedId;
use storebox_proto::limits::LINE_FLOOR_BYTES_PER_S;
use storebox_proto::sync::fetch::{self, Fetch, Wish};
use tokio::sync::{mpsc, watch};

use super::lane::{Lane, head_path, remembered};
use super::{COMMANDS_MAX, Handle, Options, Refresher, Schedule};
use crate::db::{FeedStore, OpenError, SegmentStore};
use crate::replica::board::Board;
use crate::replica::history::History;
use crate::replica::readers::Readers;
use crate::replica::sources::Sources;
use crate::replica::sweep::{Holding, Sweeper};

/// Why the replicas of a node cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum RefresherError {
    /// A replica cannot be opened, and it is not its own fault.
    #[error("open the replica of feed {feed}")]
    Store {
        /// The feed.
        feed: FeedId,
        /// Why.
        #[source]
        source: OpenError,
    },
}

impl Refresher {
    /// Opens the replicas in a directory; one that is damaged is set aside and fetched again.
    ///
    /// `board` is where heads are offered once they are in service; it is not the board of an author on this node,
    /// who is ahead.
    /// Blocking; call before tasks are started.
    pub fn open(
        dir: &Path,
        segments: SegmentStore,
        sources: Sources,
        board: Board,
        history: History,
        options: Options,
    ) -> Result<(Self, Handle, Readers), RefresherError> {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (statuses, watched) = watch::channel(BTreeMap::new());
        let readers = Readers::new();
        let sweeper = options.grace.map(|grace| Sweeper::new(Holding::Parts, grace));
        let mut refresher = Self {
            sources,
            segments,
            board,
            readers: readers.clone(),
            history,
            options,
            dir: dir.to_owned(),
            lanes: Vec::new(),
            is_unassigned: false,
            commands,
            statuses,
            work: FuturesUnordered::new(),
            sweeper,
        };
        // The estate first: it may define models of the others.
        let estate: FeedId = ESTATE.parse().expect("the name of a built-in feed");
        let mut lane = refresher.open_lane(&estate)?;
        if lane.machine.position().is_none() && refresher.options.member.is_some() {
            refresher.is_unassigned = true;
            // Without waiting: all other feeds wait for this answer.
            lane.machine.handle_wish(Wish::Incremental);
        }
        refresher.lanes.push(lane);
        if readers.look_for_models() {
            let registry = readers.registry();
            refresher.lanes[0].defs = Some(registry.of_feed(&estate).cloned().collect());
        }
        for feed in readers.registry().feeds().into_iter().filter(|feed| *feed != estate) {
            let lane = refresher.open_lane(&feed)?;
            refresher.lanes.push(lane);
        }
        Ok((refresher, Handle { commands: sender, statuses: watched }, readers))
    }

    pub(super) fn open_lane(&self, feed: &FeedId) -> Result<Lane, RefresherError> {
        let registry = self.readers.registry();
        let defs: Vec<_> = registry.of_feed(feed).cloned().collect();
        let order = defs.iter().map(|def| def.name.clone()).collect();
        let (segments, options) = (self.segments.clone(), self.options.store.clone());
        let opened = FeedStore::open(&self.dir, feed.clone(), defs, segments.clone(), options)
            .map_err(|source| RefresherError::Store { feed: feed.clone(), source })?;
        if let Some(incident) = opened.incident {
            let found = incident.found;
            tracing::error!(%feed, error = found, "the replica was damaged and is fetched again");
        }
        let current = opened.store.current();
        let position = current.map(|generation| Position {
            epoch: generation.epoch(),
            revision: generation.revision(),
        });
        let options = fetch::Options {
            in_flight_max: self.options.in_flight_max,
            page_timeout: self.options.page_timeout,
            line_floor: LINE_FLOOR_BYTES_PER_S,
            follow: self.options.schedule == Schedule::Follow,
            snapshot_bytes_max: self.options.snapshot_bytes_max,
            seed: self.options.seed,
            order,
        };
        let keys = self.options.keys.clone();
        let extent = match &self.options.member {
            Some((node, site)) => self.readers.extent(feed, node, site).or_else(|| {
                let here = remembered(&head_path(&self.dir, feed), &self.options.keys)?;
                Some(here.head.feed.clone()).filter(|extent| extent.whole() == *feed)
            }),
            None => None,
        };
        let extent = extent.unwrap_or_else(|| feed.clone());
        let machine = Fetch::new(extent.clone(), keys, options, position);
        self.readers.add(feed.clone(), opened.store.reader());
        let mut lane = Lane::new(opened.store, extent, machine, segments, &self.dir);
        lane.post_remembered(&self.board, &self.options.keys);
        Ok(lane)
    }
}
