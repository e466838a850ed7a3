//! When a store refreshes that does not follow its author all the time: logins, timers, and a till's moments.
//!
//! Checks while it goes: a timer never wants everything, a self-checkout is never disturbed, and nobody's
//! ticket is interrupted without having been asked long enough.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use storebox_proto::sync::decide::{Decision, Occasion, Past, Policy, decide, is_due};
use storebox_proto::sync::deferral::{ASK, Attendance, Deferral, IdleReason, Order};
use storebox_proto::sync::fetch::{Event, Mode, Wish};
use storebox_proto::time::Timestamp;

/// What is remembered of refreshes; on disk.
#[derive(Debug, Clone, Default)]
struct History {
    last_full: Option<Timestamp>,
    last_incremental: Option<Timestamp>,
    full_failed: bool,
    incremental_failed: bool,
}

/// The decisions of one store.
pub(crate) struct Desk {
    /// Follows its author all the time, so that nothing has to be decided.
    pub(crate) follows: bool,
    policy: Policy,
    attendance: Attendance,
    window: Option<Duration>,
    deferral: Deferral,
    history: History,
    asked: Option<Instant>,
    idle_now: bool,
}

impl Desk {
    pub(crate) fn new(rng: &mut ChaCha8Rng) -> Self {
        let attendance = match rng.random_ratio(1, 3) {
            true => Attendance::SelfCheckout,
            false => Attendance::Cashier,
        };
        let window = rng.random_ratio(2, 3).then(|| Duration::from_secs(rng.random_range(5..60)));
        let policy = Policy {
            full_minutes: NonZeroU32::new(rng.random_range(0..3)),
            incremental_minutes: NonZeroU32::new(1),
            no_auto_incremental_at_login: rng.random_ratio(1, 2),
        };
        Self {
            follows: rng.random_ratio(1, 2),
            policy,
            attendance,
            window,
            deferral: Deferral::new(attendance, window),
            history: History::default(),
            asked: None,
            idle_now: false,
        }
    }

    /// The box has started and its tills log in.
    pub(crate) fn login(&mut self, empty: bool, clock: Timestamp) -> Option<Wish> {
        self.deferral = Deferral::new(self.attendance, self.window);
        self.asked = None;
        match decide(&self.policy, &self.past(empty, clock), Occasion::Login) {
            Decision::Full { .. } => Some(Wish::Full),
            Decision::Incremental { .. } => Some(Wish::Incremental),
            Decision::Nothing => None,
        }
    }

    /// The timer of a till that is logged in.
    pub(crate) fn tick(
        &mut self,
        empty: bool,
        now: Instant,
        clock: Timestamp,
    ) -> Result<Option<Wish>, String> {
        self.deferral.handle_timeout(now);
        match decide(&self.policy, &self.past(empty, clock), Occasion::Timer) {
            Decision::Full { .. } => return Err("a timer wants a full refresh".to_owned()),
            Decision::Incremental { announced: true } => self.deferral.handle_due(now),
            Decision::Incremental { announced: false } => {
                return Err("a timer wants a refresh without a word".to_owned());
            }
            Decision::Nothing => {}
        }
        self.orders(now)
    }

    /// A ticket was closed, or the user came back from elsewhere.
    pub(crate) fn idle(
        &mut self,
        reason: IdleReason,
        now: Instant,
    ) -> Result<Option<Wish>, String> {
        self.deferral.handle_idle(reason);
        self.idle_now = true;
        let wish = self.orders(now);
        self.idle_now = false;
        wish
    }

    /// What the refresh came to.
    pub(crate) fn observe(&mut self, events: &[Event], clock: Timestamp) {
        for event in events {
            match event {
                Event::Switched { mode: Mode::Full | Mode::Rebuild, .. } => {
                    self.history.full_failed = false;
                    self.history.last_full = Some(clock);
                    self.succeeded(clock);
                }
                Event::Switched { mode: Mode::Incremental, .. } | Event::UpToDate => {
                    self.succeeded(clock);
                }
                Event::Failed => {
                    self.history.incremental_failed = true;
                    self.deferral.handle_finished();
                }
                Event::Mismatch { .. } => self.history.full_failed = true,
                Event::Started { .. }
                | Event::ModelStarted { .. }
                | Event::ModelFinished { .. }
                | Event::Refused(_)
                | Event::Lied { .. } => {}
            }
        }
    }

    fn succeeded(&mut self, clock: Timestamp) {
        self.history.incremental_failed = false;
        self.history.last_incremental = Some(clock);
        self.deferral.handle_finished();
    }

    fn past(&self, empty: bool, clock: Timestamp) -> Past {
        let History { last_full, last_incremental, full_failed, incremental_failed } =
            self.history.clone();
        Past {
            first_use_or_cache_lost: empty,
            last_full_failed: full_failed,
            last_incremental_failed: incremental_failed,
            full_due: is_due(self.policy.full_minutes, last_full, clock),
            incremental_due: is_due(self.policy.incremental_minutes, last_incremental, clock),
        }
    }

    fn orders(&mut self, now: Instant) -> Result<Option<Wish>, String> {
        let mut wish = None;
        while let Some(order) = self.deferral.poll_order() {
            let silent = self.attendance == Attendance::SelfCheckout;
            match order {
                Order::ShowBanner | Order::ShowPopup if silent => {
                    return Err(format!("a self-checkout is told to {order:?}"));
                }
                Order::ShowBanner => {}
                Order::ShowPopup => self.asked = Some(now),
                Order::Hide => {}
                Order::Run => {
                    let asked = self.asked.take().is_some_and(|at| now - at >= ASK);
                    if !self.idle_now && !asked {
                        return Err("a ticket is interrupted unasked".to_owned());
                    }
                    wish = Some(Wish::Incremental);
                }
            }
        }
        Ok(wish)
    }
}
