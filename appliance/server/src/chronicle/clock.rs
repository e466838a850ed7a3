//! Counts how long tills waited for answers, without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storebox_proto::chronicle::{BUCKETS, Waits, bucket_of};

/// Counters of waits; cheap to clone.
#[derive(Debug, Clone)]
pub struct WaitClock(Arc<[AtomicU64; BUCKETS]>);

impl Default for WaitClock {
    fn default() -> Self {
        Self(Arc::new(std::array::from_fn(|_| AtomicU64::new(0))))
    }
}

impl WaitClock {
    /// Counts one wait.
    pub fn count(&self, wait: Duration) {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.0[bucket_of(us)].fetch_add(1, Ordering::Relaxed);
    }

    /// All that was counted since the box started.
    pub fn waits(&self) -> Waits {
        Waits::of(std::array::from_fn(|bucket| self.0[bucket].load(Ordering::Relaxed)))
    }
}
