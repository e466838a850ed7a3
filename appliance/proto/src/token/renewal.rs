//! A till's side of a login: when to ask for the next token, and what to make of the answer.
//!
//! ```text
//!            ┌── renewed ──┐
//!            ▼             │            refused
//!   login ─▶ Fresh ─due─▶ Asking ───────────────────▶ Over (a person has to log in)
//!                          │  ▲
//!                     lost │  │ due (1 s … 60 s, with jitter, for ever)
//!                          ▼  │
//!                        Waiting
//! ```
//!
//! A line that is down never ends a login: the till goes on asking, also after the token has ended, because the box
//! may be away for longer than a token lasts. Only a refusal ends it.
//! Half of a token's life passes before it is renewed, and a quarter is drawn by lot, so that the tills of a shop
//! that opened together do not come back together.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

/// The first wait after an answer was lost.
const WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest one.
const WAIT_LONGEST: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask for the next token.
    Ask,
    /// A person has to log in again.
    LogIn,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Fresh { due: Instant },
    Asking { failed: u32 },
    Waiting { due: Instant, failed: u32 },
    Over { told: bool },
}

/// One login of one till.
#[derive(Debug, Clone)]
pub struct Renewal {
    state: State,
}

impl Renewal {
    /// A token came that lasts this long.
    pub fn begin(life: Duration, now: Instant, rng: &mut impl Rng) -> Self {
        let part = rng.random_range(0.5..0.75);
        Self { state: State::Fresh { due: now + life.mul_f64(part) } }
    }

    /// The next token came.
    pub fn handle_renewed(&mut self, life: Duration, now: Instant, rng: &mut impl Rng) {
        *self = Self::begin(life, now, rng);
    }

    /// No answer, or one that says nothing about the login (5xx, 429).
    pub fn handle_lost(&mut self, now: Instant, rng: &mut impl Rng) {
        let State::Asking { failed } = self.state else { return };
        let wait = WAIT_LONGEST.min(WAIT_FIRST * 2u32.pow(failed.min(6)));
        let due = now + wait.mul_f64(rng.random_range(0.5..1.0));
        self.state = State::Waiting { due, failed: failed.saturating_add(1) };
    }

    /// The box does not renew this login any more.
    pub fn handle_refused(&mut self) {
        self.state = State::Over { told: false };
    }

    /// The line is back: ask now.
    pub fn handle_line_back(&mut self, now: Instant) {
        if let State::Waiting { due, failed } = self.state {
            self.state = State::Waiting { due: due.min(now), failed };
        }
    }

    /// When something is to be done.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Fresh { due } | State::Waiting { due, .. } => Some(due),
            State::Asking { .. } | State::Over { .. } => None,
        }
    }

    /// What is to be done now, once.
    pub fn poll_step(&mut self, now: Instant) -> Option<Step> {
        match self.state {
            State::Fresh { due } if now >= due => {
                self.state = State::Asking { failed: 0 };
                Some(Step::Ask)
            }
            State::Waiting { due, failed } if now >= due => {
                self.state = State::Asking { failed };
                Some(Step::Ask)
            }
            State::Over { told: false } => {
                self.state = State::Over { told: true };
                Some(Step::LogIn)
            }
            State::Fresh { .. }
            | State::Waiting { .. }
            | State::Asking { .. }
            | State::Over { told: true } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    const LIFE: Duration = Duration::from_secs(900);

    #[expect(clippy::disallowed_methods, reason = "the zero of a test's time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_token_is_renewed_after_half_of_its_life_and_not_by_all_at_once() {
        let now = start();
        let mut dues = Vec::new();
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut renewal = Renewal::begin(LIFE, now, &mut rng);
            assert_eq!(renewal.poll_step(now), None);
            let due = renewal.poll_timeout().unwrap();
            let after = due.duration_since(now);
            assert!(after >= LIFE / 2 && after <= LIFE * 3 / 4, "{after:?}");
            assert_eq!(renewal.poll_step(due), Some(Step::Ask));
            assert_eq!(renewal.poll_step(due), None, "asked once");
            dues.push(after.as_secs());
        }
        dues.sort_unstable();
        assert!(dues[45] - dues[5] > 100, "spread out: {dues:?}");
    }

    #[test]
    fn a_dead_line_is_asked_for_ever_and_never_ends_a_login() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut now = start();
        let mut renewal = Renewal::begin(LIFE, now, &mut rng);
        for round in 0..2000 {
            let due = renewal.poll_timeout().unwrap();
            assert!(round == 0 || due.saturating_duration_since(now) <= WAIT_LONGEST);
            now = now.max(due);
            assert_eq!(renewal.poll_step(now), Some(Step::Ask));
            renewal.handle_lost(now, &mut rng);
        }
        renewal.handle_line_back(now);
        assert_eq!(renewal.poll_step(now), Some(Step::Ask), "at once when the line is back");
        renewal.handle_renewed(LIFE, now, &mut rng);
        assert_eq!(renewal.poll_step(now), None);
    }

    #[test]
    fn a_refusal_asks_for_a_person_once() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let now = start();
        let mut renewal = Renewal::begin(LIFE, now, &mut rng);
        assert_eq!(renewal.poll_step(now + LIFE), Some(Step::Ask));
        renewal.handle_refused();
        assert_eq!(renewal.poll_step(now + LIFE), Some(Step::LogIn));
        assert_eq!(renewal.poll_step(now + LIFE * 9), None);
        assert_eq!(renewal.poll_timeout(), None);
    }
}
