pub(crate) mod durable;
mod segments;
pub use segments::{Health, Lease, SegmentStore, StoreError};
