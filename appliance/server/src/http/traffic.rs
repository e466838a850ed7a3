//! What the listeners count, without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use storebox_proto::problem::Code;

use super::refused::Refused;
use crate::chronicle::WaitClock;

/// Counters of all listeners; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    by_class: [AtomicU64; 6],
    turned_away: AtomicU64,
    not_understood: AtomicU64,
    disbelieved: [AtomicU64; DISBELIEVED.len()],
    waits: WaitClock,
    refused: Refused,
}

/// So many of a kind are all logged.
const TOLD_MAX: u64 = 32;

/// Why callers are not believed: codes of refusals, and handshakes that failed.
const DISBELIEVED: [&str; 12] = [
    "revoked",
    "certificate_expired",
    "certificate_invalid",
    "foreign_site",
    "host_unknown",
    "origin_foreign",
    "tls_required",
    "downgraded",
    "turned_away",
    "handshake",
    "handshake_io",
    "handshake_slow",
];

impl Traffic {
    pub(super) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).min(5);
        self.0.by_class[class].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turned_away(&self) {
        self.0.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn not_understood(&self) {
        self.0.not_understood.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refusal; tells whether it is to be logged, which a flood of them is not.
    pub fn refused(&self, code: Code, now_s: u64) -> bool {
        self.0.refused.count(code, now_s)
    }

    /// Refusals by code, those that have happened.
    pub fn refusals(&self) -> Vec<(Code, u64)> {
        self.0.refused.counts()
    }

    /// Whether this is a reason not to believe a caller.
    pub(super) fn is_disbelief(&self, why: &str) -> bool {
        DISBELIEVED.contains(&why)
    }

    /// A caller was not believed; says how often that was so, if it is worth a line in the log.
    ///
    /// A flood would fill the log: after the first few only every doubling is told.
    pub(super) fn disbelieved(&self, why: &str) -> Option<u64> {
        let at = DISBELIEVED.iter().position(|known| *known == why)?;
        let count = self.0.disbelieved[at].fetch_add(1, Ordering::Relaxed) + 1;
        (count <= TOLD_MAX || count.is_power_of_two()).then_some(count)
    }

    /// Callers that were not believed, by reason.
    pub fn disbeliefs(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.0.disbelieved.iter().map(|count| count.load(Ordering::Relaxed));
        DISBELIEVED.into_iter().zip(counts)
    }

    /// How long tills waited.
    pub fn waits(&self) -> &WaitClock {
        &self.0.waits
    }

    /// Requests that the box itself failed: answers of class `5xx`, but not to who only wants to wait longer.
    pub fn failures(&self) -> u64 {
        let counts = self.0.refused.counts();
        let waited = counts.iter().find(|(code, _)| *code == Code::NotSettledYet);
        let all = self.0.by_class[5].load(Ordering::Relaxed);
        all.saturating_sub(waited.map_or(0, |(_, count)| *count))
    }

    /// Answers by class of status, `2xx` to `5xx`.
    pub fn answers(&self) -> [(&'static str, u64); 4] {
        let count = |class: usize| self.0.by_class[class].load(Ordering::Relaxed);
        [("2xx", count(2)), ("3xx", count(3)), ("4xx", count(4)), ("5xx", count(5))]
    }

    /// Connections that were closed because something else than HTTP came.
    pub fn odd_connections(&self) -> u64 {
        self.0.not_understood.load(Ordering::Relaxed)
    }

    /// Connections that were closed because too many were open.
    pub fn refused_connections(&self) -> u64 {
        self.0.turned_away.load(Ordering::Relaxed)
    }
}
