//! The heads that this box offers, and who waits for the next one.
//!
//! Author and refresher post here; the routes between boxes and the tills' change feed wait here.
//! A box that has an excerpt of a feed posts it in the place of the feed: its readers need not know.
//! To other boxes it is what its head says, so that a part is never taken for the whole.
//! A head is posted only after it is on disk and everything that it needs is in service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use storebox_proto::feed::{Head, Position};
use storebox_proto::ids::FeedId;
use tokio::sync::watch;

/// A head on offer.
#[derive(Debug, Clone)]
pub struct Posted {
    /// The head, opened and checked.
    pub head: Arc<Head>,
    /// Its signed bytes.
    pub bytes: Bytes,
}

impl Posted {
    /// Epoch and revision.
    pub fn position(&self) -> Position {
        self.head.position()
    }

    /// Whether it is the head of this very feed, and not of another excerpt of it.
    pub fn is_of(&self, feed: &FeedId) -> bool {
        self.head.feed == *feed
    }
}

type Slot = watch::Sender<Option<Posted>>;

/// All heads; a cheap handle.
#[derive(Debug, Clone, Default)]
pub struct Board {
    slots: Arc<Mutex<BTreeMap<FeedId, Slot>>>,
    /// The newest heads all of whose snapshots are on this node, where that is not every head.
    whole: Arc<Mutex<BTreeMap<FeedId, Posted>>>,
    /// Counts feeds that became known, for those who wait for one.
    made: Arc<watch::Sender<u64>>,
}

impl Board {
    /// A board for these feeds; others are added when something is posted for them.
    pub fn new(feeds: impl IntoIterator<Item = FeedId>) -> Self {
        let slots = feeds.into_iter().map(|feed| (feed, watch::channel(None).0)).collect();
        Self { slots: Arc::new(Mutex::new(slots)), ..Self::default() }
    }

    /// Offers a head and wakes those who wait.
    pub fn post(&self, feed: &FeedId, posted: Posted) {
        self.slot(feed, true).expect("the slot is made").send_replace(Some(posted));
    }

    /// Offers a head all of whose snapshot is on this node: what a new neighbour begins with.
    pub fn post_whole(&self, feed: &FeedId, posted: Posted) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.insert(feed.clone(), posted);
    }

    /// The newest head all of whose snapshot is on this node, as far as is known.
    pub fn whole(&self, feed: &FeedId) -> Option<Posted> {
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.get(&feed.whole()).filter(|posted| posted.is_of(feed)).cloned()
    }

    /// Every head on offer, in whatever extent.
    pub fn offered(&self) -> Vec<Posted> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let current = slots.values().filter_map(|slot| slot.borrow().clone());
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        current.chain(whole.values().cloned()).collect()
    }

    /// The feeds that are known, by name.
    pub fn feeds(&self) -> Vec<FeedId> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Whether there is such a feed, with a head or still without; not if another excerpt of it is in its place.
    pub fn knows(&self, feed: &FeedId) -> bool {
        let is_another = |slot: &Slot| slot.borrow().as_ref().is_some_and(|it| !it.is_of(feed));
        self.slot(feed, false).is_some_and(|slot| !is_another(&slot))
    }

    /// Whether there is this feed in another extent: an excerpt where all was asked for, or the reverse.
    pub fn has_another(&self, feed: &FeedId) -> bool {
        self.slot(feed, false).is_some() && !self.knows(feed)
    }

    /// The head on offer.
    pub fn current(&self, feed: &FeedId) -> Option<Posted> {
        self.slot(feed, false).and_then(|slot| slot.borrow().clone())
    }

    /// Watches a feed; nothing if it is not known.
    pub fn watch(&self, feed: &FeedId) -> Option<watch::Receiver<Option<Posted>>> {
        self.slot(feed, false).map(|slot| slot.subscribe())
    }

    /// A head other than this one, at once or within the time; dropping the future loses nothing.
    ///
    /// A feed that nobody knows yet is waited for as well: its first head may come within the time.
    pub async fn newer(
        &self,
        feed: &FeedId,
        after: Option<Position>,
        within: Duration,
    ) -> Option<Posted> {
        let differs = |posted: &Option<Posted>| {
            let is_it = |posted: &Posted| posted.is_of(feed) && Some(posted.position()) != after;
            posted.as_ref().is_some_and(is_it)
        };
        let found = async {
            let mut watch = self.appears(feed).await?;
            watch.wait_for(differs).await.ok().and_then(|posted| posted.clone())
        };
        tokio::time::timeout(within, found).await.ok().flatten()
    }

    async fn appears(&self, feed: &FeedId) -> Option<watch::Receiver<Option<Posted>>> {
        let mut made = self.made.subscribe();
        loop {
            if let Some(watch) = self.watch(feed) {
                return Some(watch);
            }
            made.changed().await.ok()?;
        }
    }

    fn slot(&self, feed: &FeedId, make: bool) -> Option<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if make && !slots.contains_key(feed) {
            slots.insert(feed.clone(), watch::channel(None).0);
            self.made.send_modify(|count| *count += 1);
        }
        slots.get(feed).or_else(|| slots.get(&feed.whole())).cloned()
    }
}

#[cfg(test)]
mod tests {
    use storebox_proto::time::Timestamp;

    use super::*;

    fn posted(feed: &str, revision: u64) -> Posted {
        let (feed, published) = (feed.parse().unwrap(), Timestamp::default());
        let (version, models, runs) = (1, Vec::new(), Vec::new());
        let head =
            Head { version, feed, epoch: 1, revision, horizon: revision, published, models, runs };
        Posted { head: Arc::new(head), bytes: Bytes::new() }
    }

    #[tokio::test]
    async fn an_excerpt_stands_in_the_place_of_its_feed_and_is_never_given_out_as_that() {
        let feed = |name: &str| name.parse::<FeedId>().unwrap();
        let (whole, small) = (feed("catalogue"), feed("catalogue--small"));
        let board = Board::new([whole.clone()]);
        assert!(board.knows(&whole) && !board.has_another(&small));
        board.post(&whole, posted("catalogue--small", 7));
        board.post_whole(&whole, posted("catalogue--small", 5));
        assert_eq!(board.current(&whole).unwrap().position().revision, 7, "readers need not know");
        assert!(board.knows(&small) && !board.has_another(&small));
        assert!(board.has_another(&whole) && board.has_another(&feed("catalogue--other")));
        assert_eq!(board.whole(&small).unwrap().position().revision, 5);
        assert!(board.whole(&whole).is_none());
        let at_once = Duration::ZERO;
        assert!(board.newer(&whole, None, at_once).await.is_none());
        assert!(board.newer(&small, None, at_once).await.is_some());
        assert_eq!(board.offered().len(), 2, "all that is needed for either is kept");
    }
}
