//! How long to wait after failures, and how often a replica may be repaired or rebuilt.

use std::time::{Duration, Instant};

/// The first wait after a failed request.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failed request.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// The longest wait after a step that failed here: a full disk may have room at any moment, and to look costs a head.
const SETBACK_MAX: Duration = Duration::from_secs(15);
/// The longest wait of a follower whose source is silent: the line may return at any moment.
const SILENT_MAX: Duration = Duration::from_secs(2);
/// At most one complete rebuild of a feed in this time.
pub const REBUILD_EVERY: Duration = Duration::from_secs(3600);
/// The wait before the second repair in a row; it doubles up to [`REBUILD_EVERY`].
const REPAIR_MIN: Duration = Duration::from_secs(60);

/// What is remembered of failures.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    /// Spreads the waits of many boxes; any number that differs between them.
    seed: u64,
    failures: u32,
    /// Attempts in a row that came to nothing although the source answered.
    setbacks: u32,
    repairs: u32,
    rebuilt: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, failures: 0, setbacks: 0, repairs: 0, rebuilt: None }
    }

    /// A request failed: when to try again, between half and the whole of a doubling wait.
    pub(super) fn failed(&mut self, now: Instant) -> Instant {
        self.failures = self.failures.saturating_add(1);
        now + self.wait(self.failures, RETRY_MAX)
    }

    /// A step failed that no answer of the source makes good: when to try again.
    pub(super) fn set_back(&mut self, now: Instant) -> Instant {
        self.setbacks = self.setbacks.saturating_add(1);
        now + self.wait(self.setbacks, SETBACK_MAX)
    }

    /// The source of a follower did not answer: when to try again, soon each time.
    pub(super) fn silent(&mut self, now: Instant) -> Instant {
        self.failures = self.failures.saturating_add(1);
        now + self.wait(self.failures, SILENT_MAX)
    }

    fn wait(&self, times: u32, max: Duration) -> Duration {
        let whole = doubled(RETRY_MIN, times.saturating_sub(1), max);
        whole / 2 + (whole / 2).mul_f64(self.spread(times))
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Something arrived: the source works.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
    }

    /// A refresh is complete, or there is none to make.
    pub(super) fn settled(&mut self) {
        (self.failures, self.setbacks) = (0, 0);
    }

    /// A change set fitted, so the replica is sound.
    pub(super) fn sound(&mut self) {
        self.repairs = 0;
    }

    /// A change set did not fit: when the differing ranges may be fetched; the first time at once.
    pub(super) fn repair(&mut self, now: Instant) -> Instant {
        self.repairs = self.repairs.saturating_add(1);
        if self.repairs == 1 {
            now
        } else {
            now + doubled(REPAIR_MIN, self.repairs - 2, REBUILD_EVERY)
        }
    }

    /// Even that did not fit: when everything may be fetched anew.
    pub(super) fn rebuild(&self, now: Instant) -> Instant {
        self.rebuilt.map_or(now, |at| now.max(at + REBUILD_EVERY))
    }

    /// A complete rebuild begins.
    pub(super) fn rebuilding(&mut self, now: Instant) {
        self.rebuilt = Some(now);
    }

    /// A number in 0..1 that depends on the box and the attempt.
    fn spread(&self, times: u32) -> f64 {
        let mut input = self.seed.to_le_bytes().to_vec();
        input.extend_from_slice(&times.to_le_bytes());
        f64::from(blake3::hash(&input).as_bytes()[0]) / 256.0
    }
}

fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn waits_double_to_a_minute_and_differ_between_boxes() {
        let zero = start();
        let mut boxes = [Backoff::new(1), Backoff::new(2)];
        let mut differ = false;
        for n in 0..100 {
            let whole = doubled(RETRY_MIN, n, RETRY_MAX);
            let waits = boxes.each_mut().map(|one| one.failed(zero) - zero);
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{waits:?}");
            differ |= waits[0] != waits[1];
        }
        assert!(differ);
        assert!(boxes[0].silent(zero) - zero <= SILENT_MAX, "a returning line is soon noticed");
        boxes[0].worked();
        assert!(boxes[0].failed(zero) - zero <= RETRY_MIN);
        for _ in 0..10 {
            boxes[1].set_back(zero);
            boxes[1].worked();
        }
        assert!(
            boxes[1].set_back(zero) - zero >= SETBACK_MAX / 2,
            "an answer makes nothing good here"
        );
        boxes[1].settled();
        assert!(boxes[1].set_back(zero) - zero <= RETRY_MIN);
    }

    #[test]
    fn a_replica_is_rebuilt_once_an_hour_at_most() {
        let zero = start();
        let mut backoff = Backoff::new(1);
        assert_eq!(backoff.rebuild(zero), zero);
        backoff.rebuilding(zero);
        let later = zero + Duration::from_secs(1200);
        assert_eq!(backoff.rebuild(later), zero + REBUILD_EVERY);
        assert_eq!(backoff.rebuild(zero + REBUILD_EVERY * 2), zero + REBUILD_EVERY * 2);
    }

    #[test]
    fn repairs_in_a_row_slow_down_until_a_change_set_fits() {
        let zero = start();
        let mut backoff = Backoff::new(1);
        assert_eq!(backoff.repair(zero), zero);
        assert_eq!(backoff.repair(zero), zero + REPAIR_MIN);
        assert_eq!(backoff.repair(zero), zero + REPAIR_MIN * 2);
        backoff.sound();
        assert_eq!(backoff.repair(zero), zero);
    }
}
