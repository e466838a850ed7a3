//! A replica that turns to another extent of its feed: to an excerpt, to another one, or to all of it.

use super::{Fetch, Mode, State};
use crate::ids::FeedId;

impl Fetch {
    /// From now on the replica is to be that of this feed: an excerpt, another one, or the whole.
    ///
    /// What is in service stays until all of the other is here; revisions of the two cannot be compared.
    pub fn handle_feed(&mut self, feed: FeedId) {
        if matches!(self.state, State::Loading { handed: true, .. }) {
            self.next = Some(feed);
            return;
        }
        self.next = None;
        if feed == self.feed {
            return;
        }
        self.feed = feed;
        self.at_least = Mode::Incremental;
        self.state = State::Asking { until: None };
    }

    /// What is in service is of that feed; nothing: that is not known.
    pub fn handle_origin(&mut self, of: Option<FeedId>) {
        self.of = of;
    }

    /// Whether the position says nothing about this feed: its next head decides, whatever its revision.
    pub(super) fn is_foreign(&self) -> bool {
        self.position.is_some() && self.of.as_ref() != Some(&self.feed)
    }
}
