//! What changed since a cursor, for tills that keep a copy of their own.
//!
//! The answer comes from the runs that this box has fetched anyway; where they do not reach back far enough,
//! or where it would be too much, the till is told to take the listing again.
//! Only what is in service is told: the head on this board has been switched to.

use std::sync::Arc;

use storebox_proto::feed::{Change, Head, Position};
use storebox_proto::ids::{FeedId, ModelName};
use tokio::sync::watch;

use super::board::{Board, Posted};
use super::refresher::{PageError, page};
use crate::db::SegmentStore;

/// Changes in one answer; a revision with more of them is taken as a listing.
pub const CHANGES_MAX: usize = 4096;

/// A change, as tills are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TillChange {
    /// The model.
    pub model: ModelName,
    /// The record and its new body, or none.
    pub change: Change,
}

/// What a till is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// Nothing changed.
    Nothing,
    /// These changes, in order, lead to the position; ask again from there.
    Changes {
        /// The till's next cursor.
        to: Position,
        /// Whole revisions, oldest first.
        changes: Vec<TillChange>,
    },
    /// The cursor is too old, or of another life of the author: list the models again, then go on from here.
    Relist {
        /// The till's next cursor, valid for a listing that is begun after this answer.
        to: Position,
    },
}

/// Where somebody stands who was told of every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// At what is in service.
    All {
        /// The next cursor.
        to: Position,
    },
    /// Changes cannot say it: what is in service is to be looked through.
    Relist {
        /// The next cursor, valid for a look that is begun after this.
        to: Position,
    },
}

/// Answers tills; a cheap handle.
#[derive(Debug, Clone)]
pub struct TillChanges {
    board: Board,
    segments: SegmentStore,
}

impl TillChanges {
    /// Tells of what this board has in service.
    pub fn new(board: Board, segments: SegmentStore) -> Self {
        Self { board, segments }
    }

    /// Follows a feed; nothing if this box has no such feed.
    pub fn watch(&self, feed: &FeedId) -> Option<watch::Receiver<Option<Posted>>> {
        self.board.watch(feed)
    }

    /// What is in service.
    pub fn position(&self, feed: &FeedId) -> Option<Position> {
        self.board.current(feed).map(|posted| posted.position())
    }

    /// What changed since the cursor; nothing also while the feed is still empty. Reads files: blocking.
    pub fn since(&self, feed: &FeedId, cursor: Position) -> Since {
        let Some(posted) = self.board.current(feed) else { return Since::Nothing };
        let to = posted.position();
        if cursor == to {
            return Since::Nothing;
        }
        self.runs(&posted.head, cursor).unwrap_or(Since::Relist { to })
    }

    /// Tells of every change since the cursor, however many answers that takes. Reads files: blocking.
    pub fn tell_all(
        &self,
        feed: &FeedId,
        cursor: Position,
        mut tell: impl FnMut(&TillChange),
    ) -> Told {
        let mut to = cursor;
        loop {
            match self.since(feed, to) {
                Since::Nothing => return Told::All { to },
                Since::Relist { to } => return Told::Relist { to },
                Since::Changes { to: next, changes } => {
                    changes.iter().for_each(&mut tell);
                    to = next;
                }
            }
        }
    }

    fn runs(&self, head: &Arc<Head>, cursor: Position) -> Option<Since> {
        if cursor.epoch != head.epoch {
            return None;
        }
        let mut changes = Vec::new();
        let mut to = cursor;
        for run in head.runs_after(cursor.revision)? {
            let count: usize = run.pages.iter().map(|page| page.count as usize).sum();
            if changes.len() + count > CHANGES_MAX {
                break;
            }
            for entry in &run.pages {
                let read = page(&self.segments, run.revision, entry);
                let told = |change| TillChange { model: entry.model.clone(), change };
                match read {
                    Ok(page) => changes.extend(page.into_iter().map(told)),
                    Err(PageError::Damaged | PageError::Lie(_)) => return None,
                }
            }
            to = Position { revision: run.revision, ..cursor };
        }
        (to != cursor).then_some(Since::Changes { to, changes })
    }
}
