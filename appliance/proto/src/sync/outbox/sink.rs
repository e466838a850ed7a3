//! Where entries go, and what to do when they cannot.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::ids::SinkId;
use crate::problem::Problem;

/// The first wait after a failure.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A sink as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkDef {
    /// Its name.
    pub id: SinkId,
    /// Whether its word settles a transaction; of exactly one sink it does.
    pub authoritative: bool,
}

/// How the way to a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// As far as known, it works.
    Up,
    /// It failed and is tried again.
    Waiting {
        /// When.
        until: Instant,
        /// Whether the network failed, so that it is worth looking for its return.
        network: bool,
    },
    /// It does not let this box in: a person has to look; tried again slowly.
    Paused {
        /// When.
        until: Instant,
        /// What it said.
        problem: Problem,
    },
}

/// What went wrong with a whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It was not sent.
    Unreachable,
    /// It was sent and not answered, or not understandably: it may have been taken.
    Lost,
    /// The sink has trouble of its own (5xx).
    Unavailable,
    /// The sink does not let this box in (401, 403).
    Forbidden(Problem),
    /// The sink does not take the batch as it is (other 4xx).
    BatchRefused(Problem),
}

/// How a sink stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name.
    pub id: SinkId,
    /// Whether its word settles.
    pub authoritative: bool,
    /// The way to it.
    pub link: Link,
    /// Entries that it has not got.
    pub behind: usize,
    /// Entries that a best-effort sink refused.
    pub refused: u64,
    /// Entries that a best-effort sink will never get.
    pub left: u64,
}

/// The lasting part of a best-effort sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) sink: SinkId,
    cursor: u64,
    again: BTreeSet<u64>,
    left: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Sink {
    pub(super) id: SinkId,
    pub(super) authoritative: bool,
    pub(super) link: Link,
    /// Failures in a row.
    pub(super) failures: u32,
    /// What was given out and not answered.
    pub(super) in_flight: Vec<u64>,
    /// What may have been taken; asked before it is sent again.
    pub(super) unsure: Vec<u64>,
    /// Envelopes in the next batch; small after a refused batch, so that the bad one is found.
    pub(super) batch_max: usize,
    /// A best-effort sink has everything up to here, except for what is in `again`.
    pub(super) cursor: u64,
    pub(super) again: BTreeSet<u64>,
    pub(super) refused: u64,
    pub(super) left: u64,
}

impl Sink {
    pub(super) fn new(def: SinkDef) -> Self {
        Self {
            id: def.id,
            authoritative: def.authoritative,
            link: Link::Up,
            failures: 0,
            in_flight: Vec::new(),
            unsure: Vec::new(),
            batch_max: usize::MAX,
            cursor: 0,
            again: BTreeSet::new(),
            refused: 0,
            left: 0,
        }
    }

    /// Whether a settled entry has to stay for this sink.
    pub(super) fn needs(&self, position: u64) -> bool {
        !self.authoritative && (self.cursor < position || self.again.contains(&position))
    }

    pub(super) fn deliver_again(&mut self, position: u64) {
        if !self.authoritative && position <= self.cursor {
            self.again.insert(position);
        }
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        let (sink, cursor) = (self.id.clone(), self.cursor);
        let (again, left) = (self.again.clone(), self.left);
        (!self.authoritative).then_some(Progress { sink, cursor, again, left })
    }

    pub(super) fn restore(&mut self, progress: &Progress) {
        self.cursor = progress.cursor;
        self.again.clone_from(&progress.again);
        self.left = progress.left;
    }

    pub(super) fn answered(&mut self) {
        self.link = Link::Up;
        self.failures = 0;
        self.in_flight.clear();
    }

    pub(super) fn wait(&mut self, network: bool, now: Instant, rng: &mut impl Rng) {
        let until = now + delay(self.failures, rng);
        self.failures = self.failures.saturating_add(1);
        self.link = Link::Waiting { until, network };
        self.in_flight.clear();
    }

    pub(super) fn pause(&mut self, problem: Problem, now: Instant) {
        self.link = Link::Paused { until: now + WAIT_MAX, problem };
        self.in_flight.clear();
    }

    /// When it may be tried, if not now.
    pub(super) fn closed_until(&self, now: Instant) -> Option<Instant> {
        match self.link {
            Link::Up => None,
            Link::Waiting { until, .. } | Link::Paused { until, .. } => {
                (until > now).then_some(until)
            }
        }
    }
}

/// The wait after so many failures in a row: doubling, at most [`WAIT_MAX`], spread so that boxes do not come together.
pub(super) fn delay(failures: u32, rng: &mut impl Rng) -> Duration {
    let base = WAIT_MIN.saturating_mul(1 << failures.min(6));
    let longest = (base + base / 2).min(WAIT_MAX);
    let shortest = base.min(longest * 3 / 4).max(WAIT_MIN);
    let spread = u64::try_from((longest - shortest).as_millis()).unwrap_or(u64::MAX);
    shortest + Duration::from_millis(rng.random_range(0..=spread))
}
