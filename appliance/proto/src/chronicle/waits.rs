//! How long clients waited, counted in buckets that grow by a quarter of their octave.

/// Buckets of four to an octave, from a microsecond to more than two minutes.
pub const BUCKETS: usize = 4 * 28;

/// How often clients waited how long, since some beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits([u64; BUCKETS]);

impl Default for Waits {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

/// The bucket of a wait.
pub fn bucket_of(us: u64) -> usize {
    let us = us.max(1);
    let octave = us.ilog2() as usize;
    let quarter = ((us - (1 << octave)) * 4) >> octave;
    (octave * 4 + usize::try_from(quarter).unwrap_or(0)).min(BUCKETS - 1)
}

/// The longest wait of a bucket, in microseconds.
fn longest_of(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
    let start = 1u64 << octave;
    start + (start * (quarter + 1)).div_ceil(4) - 1
}

impl Waits {
    /// Counts by bucket.
    pub fn of(counts: [u64; BUCKETS]) -> Self {
        Self(counts)
    }

    /// Counts one wait.
    pub fn count(&mut self, us: u64) {
        self.0[bucket_of(us)] += 1;
    }

    /// Adds what was counted between two looks at the same counters; counters that went back began anew.
    pub fn add_between(&mut self, before: &Self, after: &Self) {
        for (own, (before, after)) in self.0.iter_mut().zip(before.0.iter().zip(&after.0)) {
            *own += after.saturating_sub(*before);
        }
    }

    /// How many waits there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// So many in a hundred waited no longer than this, in microseconds; nothing without a wait.
    pub fn within(&self, percent: u64) -> Option<u64> {
        let total = self.total();
        let wanted = (total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.filter(|_| total > 0).map(longest_of)
    }
}
