//! The replica on disk: segment files, blocks, indexes, overlay, generations.
//!
//! A feed's replica is a *base* (segments of a snapshot, found through finite-state indexes), an *overlay*
//! (changes since) and the digests of its ranges; a reader holds one immutable [`Generation`] of it.
//! This is the only place that names sled or fst, and nothing here is the only copy of anything:
//! whatever cannot be read is set aside and fetched again (decision 0002).

mod cache;
mod segments;

mod base;
mod field;
mod index;
mod overlay;
mod text;

mod fuzzy;
mod generation;
mod model;
mod query;
mod typo;

mod assemble;
mod contain;
mod disk;
mod durable;
mod feed_store;
mod keyed;
mod plan;
mod snapshot;

pub use cache::BlockCache;
pub use contain::{contain, panic_is_contained};
pub use disk::DiskError;
pub use feed_store::{
    AdoptError, ApplyError, BadSegment, ChangeSet, FeedReader, FeedStore, FoldError, Incident,
    OpenError, Opened, Options, Prepared, Snapshot,
};
pub use generation::{Generation, ReadError};
pub use keyed::{Keyed, KeyedOpened};
pub use query::Probe;
pub use segments::{Health, Lease, SegmentStore, StoreError};
pub use snapshot::{SnapshotError, SnapshotWriter};
