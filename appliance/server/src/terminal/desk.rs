//! Where terminals log in and report: which refresh they owe, and when it may disturb them.
//!
//! The rules themselves are pure (`sync::decide`, `sync::deferral`); here they meet the terminals' pasts.
//! A terminal drives its own machine: each event that it sends is answered with orders and with the time at
//! which the next event `timer` is wanted, so a terminal that is switched off costs nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use storebox_proto::ids::TerminalId;
use storebox_proto::sync::decide::{Decision, Occasion, decide};
use storebox_proto::sync::deferral::{ASK, BANNER, Deferral, IdleReason, Order};
use storebox_proto::time::Timestamp;

use super::past::{Extent, Pasts, Refresh, Report};
use super::profile::Profile;

/// Logged-in terminals; one that is pushed out is logged in again by its next event.
const SESSIONS_MAX: usize = 1000;
/// A terminal without a period looks again after this, in case head office gave it one.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// What happened at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Happening {
    /// A ticket was closed.
    TicketClosed,
    /// The user came back from cash management.
    CashManagement,
    /// The user came back from cash up.
    CashUp,
    /// The user came back from the self-checkout window.
    SelfCheckout,
    /// The user came back to the sales window from anywhere else.
    Returned,
    /// The time that the last answer named is over.
    Timer,
    /// The user does not want the announced refresh.
    Cancel,
}

/// What a terminal is to do after an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orders {
    /// `showBanner`, `showPopup`, `hide` and `run`, in this order.
    #[schema(value_type = Vec<String>)]
    pub orders: Vec<Order>,
    /// Whether a refresh is announced, asked for or running.
    pub pending: bool,
    /// Milliseconds until the event `timer` is wanted.
    pub timer_ms: u64,
}

/// What a terminal is told when a user logs in.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// The refresh to run before work begins: `full`, `incremental` or `nothing`.
    #[schema(value_type = Object)]
    pub plan: Decision,
    /// Milliseconds until the event `timer` is wanted.
    pub timer_ms: u64,
    /// What the banner says.
    pub banner: &'static str,
    /// Seconds that an announced refresh waits for a ticket to end before the popup comes.
    pub popup_window_s: u64,
    /// Seconds that the popup waits for the user.
    pub popup_ask_s: u64,
    /// Records on one page.
    pub batch_size: u32,
    /// Whether a failed full refresh ends the login.
    pub failed_full_ends_login: bool,
}

/// Whether work may begin after a reported refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Work on.
    Work,
    /// The compatible mode refuses the login.
    LogOut,
}

struct Session {
    deferral: Deferral,
    /// The user's wish that the next refresh is due only after another period.
    cancelled: Option<Timestamp>,
    last_event: Instant,
}

/// All terminals of a box; cheap to clone.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    pasts: Pasts,
    sessions: BTreeMap<TerminalId, Session>,
}

impl Desk {
    /// The desk with what its terminals loaded before.
    pub fn open(data_dir: &Path) -> Self {
        let inner = Inner { pasts: Pasts::open(data_dir), sessions: BTreeMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// A user logs in at a terminal.
    pub fn login(&self, profile: &Profile, lost: bool, at: Timestamp, now: Instant) -> Welcome {
        let mut inner = self.lock();
        let past = inner.pasts.past(&profile.terminal, &profile.policy, lost, at);
        inner.open_session(profile, now);
        Welcome {
            plan: decide(&profile.policy, &past, Occasion::Login),
            timer_ms: millis(inner.until_due(profile, at)),
            banner: BANNER,
            popup_window_s: u64::from(profile.popup_minutes) * 60,
            popup_ask_s: ASK.as_secs(),
            batch_size: profile.batch_size,
            failed_full_ends_login: profile.refuse_login_after_failed_full,
        }
    }

    /// Something happened at a terminal.
    pub fn event(
        &self,
        profile: &Profile,
        happening: Happening,
        at: Timestamp,
        now: Instant,
    ) -> Orders {
        let mut inner = self.lock();
        let due = inner.is_due(profile, at);
        let until_due = inner.until_due(profile, at);
        if !inner.sessions.contains_key(&profile.terminal) {
            inner.open_session(profile, now);
        }
        let session =
            inner.sessions.get_mut(&profile.terminal).expect("opened two lines above if missing");
        session.last_event = now;
        session.deferral.handle_timeout(now);
        if due {
            session.deferral.handle_due(now);
        }
        match idle(happening) {
            Some(reason) => session.deferral.handle_idle(reason),
            None if happening == Happening::Cancel => {
                session.cancelled =
                    session.deferral.is_pending().then_some(at).or(session.cancelled);
                session.deferral.handle_cancel();
            }
            None => {}
        }
        let orders = std::iter::from_fn(|| session.deferral.poll_order()).collect();
        let timeout = session.deferral.poll_timeout();
        let wait = timeout.map_or(until_due, |until| until.saturating_duration_since(now));
        let pending = session.deferral.is_pending();
        Orders { orders, pending, timer_ms: millis(wait) }
    }

    /// A terminal reports a refresh.
    pub fn refreshed(
        &self,
        profile: &Profile,
        report: Report,
        at: Timestamp,
    ) -> io::Result<Verdict> {
        let mut inner = self.lock();
        let refused = profile.refuse_login_after_failed_full
            && report.extent == Extent::Full
            && !report.succeeded;
        if let Some(session) = inner.sessions.get_mut(&profile.terminal) {
            session.deferral.handle_finished();
        }
        inner.pasts.remember(&profile.terminal, report, at)?;
        Ok(if refused { Verdict::LogOut } else { Verdict::Work })
    }

    /// The refreshes of a terminal, newest first.
    pub fn refreshes(&self, terminal: &TerminalId) -> Vec<Refresh> {
        self.lock().pasts.refreshes(terminal)
    }

    /// What is behind the lock is plain data: whole even if a thread died while holding it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn open_session(&mut self, profile: &Profile, now: Instant) {
        if self.sessions.len() >= SESSIONS_MAX {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_event);
            if let Some(oldest) = oldest.map(|(terminal, _)| terminal.clone()) {
                self.sessions.remove(&oldest);
            }
        }
        let minutes = u64::from(profile.popup_minutes);
        let window = (minutes > 0).then(|| Duration::from_secs(minutes * 60));
        let deferral = Deferral::new(profile.attendance, window);
        let session = Session { deferral, cancelled: None, last_event: now };
        self.sessions.insert(profile.terminal.clone(), session);
    }

    /// Whether the table wants an announced refresh; a cancelled one counts as just done.
    fn is_due(&self, profile: &Profile, at: Timestamp) -> bool {
        let past = self.pasts.past(&profile.terminal, &profile.policy, false, at);
        let announced = Decision::Incremental { announced: true };
        decide(&profile.policy, &past, Occasion::Timer) == announced
            && self.until_due(profile, at).is_zero()
    }

    fn until_due(&self, profile: &Profile, at: Timestamp) -> Duration {
        let Some(minutes) = profile.policy.incremental_minutes else { return LOOK_AGAIN };
        let cancelled = self.sessions.get(&profile.terminal).and_then(|session| session.cancelled);
        let last = self.pasts.newest(&profile.terminal).max(cancelled);
        let Some(last) = last.filter(|last| *last <= at) else { return Duration::ZERO };
        let period = Duration::from_secs(u64::from(minutes.get()) * 60);
        let age = u64::try_from(at.unix_ms() - last.unix_ms()).unwrap_or(0);
        period.saturating_sub(Duration::from_millis(age))
    }
}

fn idle(happening: Happening) -> Option<IdleReason> {
    match happening {
        Happening::TicketClosed => Some(IdleReason::TicketClosed),
        Happening::CashManagement => Some(IdleReason::CashManagement),
        Happening::CashUp => Some(IdleReason::CashUp),
        Happening::SelfCheckout => Some(IdleReason::SelfCheckout),
        Happening::Returned => Some(IdleReason::Returned),
        Happening::Timer | Happening::Cancel => None,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
