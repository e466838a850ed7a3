//! The wait after a failure: doubled each time up to a limit, and spread so that many do not come back at once.

use std::time::Duration;

use crate::env;

/// The next wait.
#[derive(Debug, Clone)]
pub struct Pause {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pause {
    /// Waits from this long to that long.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// It worked: the next failure is the first one.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait after this failure: between half and all of what it has come to.
    pub fn after_failure(&mut self) -> Duration {
        let spread = f64::from(env::random::<1>()[0]) / 512.0;
        let wait = self.next.mul_f64(0.5 + spread);
        self.next = (self.next * 2).min(self.longest);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut pause = Pause::new(Duration::from_secs(1), Duration::from_secs(5));
        for most in [1, 2, 4, 5, 5] {
            let wait = pause.after_failure();
            let (least, most) = (Duration::from_millis(most * 500), Duration::from_secs(most));
            assert!(least <= wait && wait <= most, "{wait:?} is not within {least:?} and {most:?}");
        }
        pause.reset();
        assert!(pause.after_failure() <= Duration::from_secs(1));
    }
}
