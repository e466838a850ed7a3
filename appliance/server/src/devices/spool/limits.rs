//! How much the spool keeps.

use std::time::Duration;

/// What all jobs print together; beyond that the oldest finished ones are dropped, then the answer is 507.
pub(super) const CONTENT_BYTES_MAX: usize = 64 << 20;
/// What the jobs that wait for one printer print together.
pub(super) const CONTENT_EACH_MAX: usize = 16 << 20;
const _: () =
    assert!(CONTENT_EACH_MAX <= CONTENT_BYTES_MAX / 4, "one printer leaves room for others");
/// A finished job can be printed again this long.
pub(super) const CONTENT_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Openings of drawers that are remembered.
pub(super) const ENTRIES_MAX: usize = 2000;
/// Jobs on a page.
pub(super) const JOBS_PAGE_MAX: usize = 500;
/// A place in the journal that is dropped for another one costs at most this many records in one group.
pub(super) const DROPPED_AT_ONCE_MAX: usize = 64;
