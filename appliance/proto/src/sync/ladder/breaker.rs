//! How well one source serves one thing, and when it is looked at again.

use std::time::{Duration, Instant};

use super::Kind;

/// The first look at a source that failed.
pub const PROBE_FIRST: Duration = Duration::from_secs(1);
/// The longest time between two looks; they double up to it.
pub const PROBE_MAX: Duration = Duration::from_secs(30);
/// A source that gave something forged or damaged is left alone for so long.
pub const DISTRUST: Duration = Duration::from_secs(600);
/// A probe that has not been answered by then has failed.
pub const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// So often in a row may others be faster before a source counts as not answering.
pub const SLOW_MAX: u32 = 3;
/// The shortest time after which another source is asked as well.
const HEDGE_MIN: Duration = Duration::from_millis(250);
/// The longest, and that of a source which has not answered yet.
pub(super) const HEDGE_MAX: Duration = Duration::from_secs(3);

/// What is wrong with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No answer, or not in time.
    Silent,
    /// Others answer while this one is still waited for.
    Slow,
    /// It answers that it cannot.
    Unable {
        /// The HTTP status, or what stands for it.
        status: u16,
    },
    /// It does not let this box in.
    Forbidden,
    /// It speaks a version of the interface that does not work with this box's.
    Skewed,
    /// It sends elsewhere, which is never followed.
    Redirects,
    /// It offers a head older than what is in service here.
    Stale,
    /// Its head names what it does not have.
    Incomplete,
    /// What it gave was forged or damaged.
    Lied,
}

impl Fault {
    /// In words.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Silent => "does not answer",
            Self::Slow => "is slower than the next one",
            Self::Unable { .. } => "answers that it cannot",
            Self::Forbidden => "does not let this box in",
            Self::Skewed => "speaks another version of the interface; update the older of the two",
            Self::Redirects => "sends elsewhere, which is not followed",
            Self::Stale => "offers older masterdata than is here",
            Self::Incomplete => "does not have what its head names",
            Self::Lied => "gave something forged or damaged",
        }
    }

    /// The least time before it is looked at again.
    ///
    /// What a neighbour forges it will forge again; from a server of the company it is rather the line that is bad.
    pub(super) fn rest(&self, kind: Kind) -> Duration {
        match (self, kind) {
            (Self::Lied, Kind::Peer) => DISTRUST,
            (Self::Stale, Kind::Peer | Kind::Storage)
            | (Self::Forbidden | Self::Redirects | Self::Skewed, _) => PROBE_MAX,
            (
                Self::Silent
                | Self::Slow
                | Self::Unable { .. }
                | Self::Incomplete
                | Self::Stale
                | Self::Lied,
                _,
            ) => Duration::ZERO,
        }
    }
}

/// Whether a source is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breaker {
    /// It is.
    Closed,
    /// It is not, until it has answered a probe.
    Open {
        /// Since when.
        since: Instant,
        /// Why.
        fault: Fault,
        /// When it is looked at again.
        until: Instant,
    },
    /// It is being looked at.
    Probing {
        /// Since when it is not used.
        since: Instant,
        /// Why.
        fault: Fault,
        /// When the look counts as failed.
        until: Instant,
    },
}

/// A breaker with what it remembers.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) breaker: Breaker,
    /// Failures in a row.
    failures: u32,
    beaten: u32,
    /// A running mean of how long answers take.
    usual: Option<Duration>,
    pub(super) opened: u64,
    pub(super) last_fault: Option<Fault>,
}

impl Default for Health {
    fn default() -> Self {
        let (breaker, usual, last_fault) = (Breaker::Closed, None, None);
        Self { breaker, failures: 0, beaten: 0, usual, opened: 0, last_fault }
    }
}

impl Health {
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.breaker, Breaker::Closed)
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        match &self.breaker {
            Breaker::Closed => None,
            Breaker::Open { until, .. } | Breaker::Probing { until, .. } => Some(*until),
        }
    }

    /// Whether it is open and may be tried.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(&self.breaker, Breaker::Open { until, .. } if *until <= now)
    }

    /// How long the answers of this source may be waited for alone: four times the usual.
    pub(super) fn hedge_after(&self) -> Duration {
        self.usual.map_or(HEDGE_MAX, |usual| (usual * 4).clamp(HEDGE_MIN, HEDGE_MAX))
    }

    /// It works; how long it did not, if so.
    pub(super) fn worked(&mut self, took: Option<Duration>, now: Instant) -> Option<Duration> {
        self.failures = 0;
        self.beaten = 0;
        if let Some(took) = took.map(|took| took.min(HEDGE_MAX)) {
            self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        }
        match std::mem::replace(&mut self.breaker, Breaker::Closed) {
            Breaker::Closed => None,
            Breaker::Open { since, .. } | Breaker::Probing { since, .. } => {
                Some(now.saturating_duration_since(since))
            }
        }
    }

    /// It failed; true if it was in use until now.
    pub(super) fn failed(&mut self, fault: Fault, rung: (Kind, u8), now: Instant) -> bool {
        let (kind, spread) = rung;
        let rest = fault.rest(kind);
        let was_closed = self.is_closed();
        let since = match &self.breaker {
            Breaker::Closed => now,
            // Several requests were under way when it failed: that is one failure.
            Breaker::Open { until, fault: known, .. }
                if *until > now && known.rest(kind) >= rest =>
            {
                return false;
            }
            Breaker::Open { since, .. } | Breaker::Probing { since, .. } => *since,
        };
        let whole = PROBE_FIRST.saturating_mul(1 << self.failures.min(8)).min(PROBE_MAX);
        let whole = whole.max(rest);
        // Up to an eighth sooner, so that a returning server is not asked by all boxes in one moment.
        let until = now + whole - whole / 8 * u32::from(spread) / 256;
        self.failures = self.failures.saturating_add(1);
        self.beaten = 0;
        self.opened += u64::from(was_closed);
        self.last_fault = Some(fault.clone());
        self.breaker = Breaker::Open { since, fault, until };
        was_closed
    }

    /// Another one was faster; true if that is too often.
    pub(super) fn beaten(&mut self) -> bool {
        self.beaten += 1;
        self.is_closed() && self.beaten >= SLOW_MAX
    }

    pub(super) fn hurry(&mut self, now: Instant) {
        if let Breaker::Open { until, .. } = &mut self.breaker
            && *until <= now + PROBE_MAX
        {
            *until = now.min(*until);
        }
    }

    pub(super) fn probe(&mut self, now: Instant) {
        if let Breaker::Open { since, fault, .. } = &self.breaker {
            let (since, fault, until) = (*since, fault.clone(), now + PROBE_LIMIT);
            self.breaker = Breaker::Probing { since, fault, until };
        }
    }

    pub(super) fn expire(&mut self, rung: (Kind, u8), now: Instant) {
        if matches!(&self.breaker, Breaker::Probing { until, .. } if *until <= now) {
            self.failed(Fault::Silent, rung, now);
        }
    }
}
