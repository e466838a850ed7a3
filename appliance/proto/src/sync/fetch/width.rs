//! How many objects are asked for at once: fewer on a line that is too slow for all of them together.
//!
//! Transfers share the line, so those that are too many run late together, and what had come of them was for nothing.
//! Half as many after each time-out soon finds a number that the line can carry; from there it grows one by one.

use std::time::Instant;

/// Objects in a row that have to come in time before one more is asked for at once.
///
/// One too many costs the time of whole objects, one too few only that of their requests.
const IN_TIME_MIN: u32 = 8;

/// The objects that may be under way at the same time.
#[derive(Debug, Clone)]
pub(super) struct Width {
    max: usize,
    now: usize,
    in_time: u32,
    narrowed: Option<Instant>,
}

impl Width {
    /// As many as allowed.
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { max, now: max, in_time: 0, narrowed: None }
    }

    pub(super) fn get(&self) -> usize {
        self.now
    }

    /// An object that was asked for then did not come in time.
    pub(super) fn late(&mut self, asked: Instant, now: Instant) {
        self.in_time = 0;
        // Those that were under way together say the same thing.
        if self.narrowed.is_some_and(|at| asked <= at) {
            return;
        }
        self.now = (self.now / 2).max(1);
        self.narrowed = Some(now);
    }

    /// An object came in time.
    pub(super) fn in_time(&mut self) {
        self.in_time += 1;
        if self.in_time >= IN_TIME_MIN {
            self.in_time = 0;
            self.now = (self.now + 1).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn it_halves_once_for_all_that_run_late_together_and_grows_one_by_one() {
        let zero = start();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let mut width = Width::new(8);
        for (asked, late, left) in [(0, 30, 4), (0, 30, 4), (1, 31, 4), (32, 60, 2), (61, 90, 1)] {
            width.late(at(asked), at(late));
            assert_eq!(width.get(), left, "{asked}");
        }
        width.late(at(91), at(120));
        assert_eq!(width.get(), 1, "never nothing");
        let mut grown = Vec::new();
        for _ in 0..9 {
            (0..IN_TIME_MIN).for_each(|_| width.in_time());
            grown.push(width.get());
        }
        assert_eq!(grown, [2, 3, 4, 5, 6, 7, 8, 8, 8]);
        (0..IN_TIME_MIN - 1).for_each(|_| width.in_time());
        width.late(at(200), at(230));
        width.in_time();
        assert_eq!(width.get(), 4, "in a row");
    }
}
