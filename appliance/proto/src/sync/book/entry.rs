//! One endpoint: what is said about it, how well it is, and when it is asked again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{
    Claim, FORGET_AFTER, Outcome, PROBE_DOWN_EVERY_MAX, PROBE_EVERY, PROBE_SPARE_EVERY,
    RETRY_AFTER, STRIKES, Source,
};
use crate::ids::NodeId;

/// Whether an endpoint is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It has not been asked yet, or has not answered yet.
    Unknown,
    /// It answers.
    Up {
        /// Since when without a failure that counted.
        since: Instant,
    },
    /// It failed once, or another address of its box did, and it is asked again; it is still used.
    Doubted {
        /// Since when it was up.
        since: Instant,
    },
    /// It does not answer.
    Down {
        /// Since when.
        since: Instant,
    },
}

impl Health {
    /// Whether it may be used.
    pub fn is_usable(&self) -> bool {
        self.up_since().is_some()
    }

    /// Since when it has been up, if it is.
    pub fn up_since(&self) -> Option<Instant> {
        match self {
            Self::Up { since } | Self::Doubted { since } => Some(*since),
            Self::Unknown | Self::Down { .. } => None,
        }
    }
}

/// An endpoint in the book.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) health: Health,
    /// A probe is under way.
    pub(super) asked: bool,
    pub(super) next_probe: Instant,
    /// It was asked to hurry, which no pace slows down.
    hurried: bool,
    /// Failures in a row, for the back-off; strikes are the first two of them.
    pub(super) failures: u32,
    asked_last: Option<Instant>,
    answered_last: Option<Instant>,
    /// What its answers take: the longest of late, fading.
    usual: Duration,
    /// The last probe that was given up, which may be answered yet.
    pub(super) late: Option<(u64, Instant)>,
    /// Its own word or proof, which beats every claim.
    node: Option<NodeId>,
    claims: BTreeMap<Source, Option<Claim>>,
}

impl Entry {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            health: Health::Unknown,
            asked: false,
            next_probe: now,
            hurried: false,
            failures: 0,
            asked_last: None,
            answered_last: None,
            usual: Duration::ZERO,
            late: None,
            node: None,
            claims: BTreeMap::new(),
        }
    }

    pub(super) fn hear(&mut self, source: Source, claim: Option<Claim>) {
        let known = self.claims.entry(source).or_default();
        if claim.is_some() {
            *known = claim;
        }
    }

    /// Asks soon, unless it was asked just now or is about to be asked anyway.
    pub(super) fn hurry(&mut self, now: Instant) {
        let soonest = self.asked_last.map_or(now, |asked| (asked + RETRY_AFTER).max(now));
        self.next_probe = self.next_probe.min(soonest);
        self.hurried = true;
    }

    /// An answer took so long.
    pub(super) fn took(&mut self, time: Duration) {
        self.usual = time.max(self.usual / 8 * 7);
    }

    pub(super) fn usual(&self) -> Duration {
        self.usual
    }

    pub(super) fn ask(&mut self, now: Instant) {
        self.asked = true;
        self.hurried = false;
        self.asked_last = Some(now);
    }

    pub(super) fn take(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Answered(node) => self.answered(node, now),
            Outcome::Failed => self.failed(now),
            Outcome::Stranger => {
                self.failures = u32::MAX;
                self.down(now);
            }
        }
    }

    fn answered(&mut self, node: Option<NodeId>, now: Instant) {
        self.failures = 0;
        self.answered_last = Some(now);
        self.node = node.or_else(|| self.node.take());
        let since = self.health.up_since().unwrap_or(now);
        self.health = Health::Up { since };
        self.next_probe = self.not_too_soon(now + PROBE_EVERY);
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= u32::from(STRIKES) {
            return self.down(now);
        }
        if let Health::Up { since } = self.health {
            self.health = Health::Doubted { since };
        }
        // It was asked at least so long ago, unless the answer was a refusal.
        self.next_probe = self.not_too_soon(now);
    }

    fn down(&mut self, now: Instant) {
        if !matches!(self.health, Health::Down { .. }) {
            self.health = Health::Down { since: now };
        }
        let doublings = self.failures.saturating_sub(u32::from(STRIKES)).min(8);
        let pause = PROBE_EVERY.saturating_mul(1 << doublings).min(PROBE_DOWN_EVERY_MAX);
        self.next_probe = self.not_too_soon(now + pause);
    }

    /// Another address of the same box has failed: asks soon, and counts on it less until it answers.
    pub(super) fn suspect(&mut self, now: Instant) {
        if let Health::Up { since } = self.health {
            self.health = Health::Doubted { since };
        }
        self.hurry(now);
    }

    fn not_too_soon(&self, at: Instant) -> Instant {
        self.asked_last.map_or(at, |asked| at.max(asked + RETRY_AFTER))
    }

    /// Sets how soon an endpoint that is up is asked again; the lead of its box more often.
    pub(super) fn pace(&mut self, lead: bool) {
        let (Health::Up { .. }, Some(answered), false) =
            (&self.health, self.answered_last, self.hurried)
        else {
            return;
        };
        let every = if lead { PROBE_EVERY } else { PROBE_SPARE_EVERY };
        self.next_probe = self.not_too_soon(answered + every);
    }

    pub(super) fn answered_last(&self) -> Option<Instant> {
        self.answered_last
    }

    /// Whether it has answered since the start, or did before it.
    pub(super) fn proven(&self) -> bool {
        self.answered_last.is_some() || self.claims.contains_key(&Source::LastKnown)
    }

    /// Whether nothing but announcements speaks for it.
    pub(super) fn is_rumour(&self) -> bool {
        !self.proven() && self.claims.keys().all(|source| *source == Source::Mdns)
    }

    /// Whether something new may take its place: it does not answer, nobody typed it in, and it never
    /// answered or has been silent for long.
    pub(super) fn may_be_given_up(&self, now: Instant) -> bool {
        let vouched = self.claims.contains_key(&Source::Typed);
        let spared = match self.health {
            Health::Down { since } => self.proven() && now < since + FORGET_AFTER,
            Health::Unknown => self.proven(),
            Health::Up { .. } | Health::Doubted { .. } => true,
        };
        self.failures > 0 && !vouched && !spared
    }

    /// Which box it is: by its own word, else by the best claim.
    pub(super) fn node(&self) -> Option<&NodeId> {
        self.node.as_ref().or_else(|| self.claims.values().flatten().next().map(|c| &c.node))
    }

    /// What is said about it, newest source first; a claim about another box than it is does not count.
    pub(super) fn claim(&self) -> Option<Claim> {
        let node = self.node()?;
        let newest = self.claims.values().rev().flatten().find(|claim| claim.node == *node);
        let unsaid = || Claim { node: node.clone(), priority: u16::MAX };
        Some(newest.cloned().unwrap_or_else(unsaid))
    }

    pub(super) fn priority(&self) -> u16 {
        self.claim().map_or(u16::MAX, |claim| claim.priority)
    }
}
