//! A drill: the line to head office is cut on purpose for a while, to see that the shop goes on selling.
//!
//! ```text
//!           begin                    its time, a person, the box stops
//! Resting ─────────▶ Cut ──────────────────────────────────────────────▶ Draining ───▶ Resting
//!                                                                          until all that was taken
//!                                                                          by then has arrived
//! ```
//!
//! It decides when the line is cut and what is reported; who cuts, and what is counted, is others' business.
//! A drill ends by itself: there is no state in which the line stays cut without an end.
//! It lives in memory, so that a box that starts anew has its line.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::chronicle::Waits;
use crate::order::{Order, Unfit, person};
use crate::time::Timestamp;

/// What is still on its way after so long is no longer waited for.
pub const DRAIN_MAX: Duration = Duration::from_secs(15 * 60);

/// Why no drill begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has no end, or nobody says who wants it.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// One is under way.
    #[error("a drill cuts the line already")]
    Running,
}

/// What a box has counted so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Transactions taken.
    pub accepted: u64,
    /// Transactions that wait no longer: settled, given up, or in a person's hands.
    pub done: u64,
    /// Transactions that wait for head office.
    pub waiting: u64,
    /// Of those, how many wait for a person.
    pub quarantined: u64,
    /// Requests that the box itself failed.
    pub failed: u64,
    /// How long tills waited.
    pub waits: Waits,
}

/// How a drill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Its time was over.
    Time,
    /// A person ended it.
    Person,
    /// The box stopped, or lost its power.
    Restart,
}

/// What worked while the line was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Who wanted it.
    pub by: String,
    /// When the line was cut.
    pub began: Timestamp,
    /// Until when it was to be cut.
    pub until: Timestamp,
    /// When the line was back; absent while it is cut, and if the box lost its power meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Who ended it, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Transactions that tills handed over while the line was cut.
    pub accepted: u64,
    /// Requests of all callers that the box itself failed meanwhile.
    pub failed: u64,
    /// No till waited longer than this for an answer, in microseconds; absent if none asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_us: Option<u64>,
    /// The most transactions that waited for head office.
    pub waiting: u64,
    /// Milliseconds from the line's return until all that was taken by then had arrived; absent if it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_ms: Option<u64>,
    /// Whether nothing is added to it any more.
    pub finished: bool,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The line is to be cut.
    Cut(Report),
    /// The line is to be whole again.
    Whole(Report),
    /// Nothing is added to the report any more.
    Finished(Report),
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Resting,
    Cut {
        report: Report,
        until: Instant,
        before: Box<Sample>,
    },
    Draining {
        report: Report,
        since: Instant,
        /// As many have to be done.
        goal: u64,
    },
}

/// The machine.
#[derive(Debug, Clone, Default)]
pub struct Drill {
    state: State,
    events: VecDeque<Event>,
}

impl Drill {
    /// Cuts the line, if that may be.
    pub fn begin(
        &mut self,
        order: Order,
        sample: Sample,
        at: Timestamp,
        now: Instant,
    ) -> Result<(), Refused> {
        let by = order.check()?;
        if self.is_cut() {
            return Err(Refused::Running);
        }
        self.finish();
        let ms = at.unix_ms().saturating_add(i64::from(order.seconds) * 1000);
        let report = Report {
            by,
            began: at,
            until: Timestamp::from_unix_ms(ms),
            ended: None,
            end: None,
            ended_by: None,
            accepted: 0,
            failed: 0,
            longest_us: None,
            waiting: sample.waiting,
            drained_ms: None,
            finished: false,
        };
        self.events.push_back(Event::Cut(report.clone()));
        let until = now + Duration::from_secs(order.seconds.into());
        self.state = State::Cut { report, until, before: Box::new(sample) };
        Ok(())
    }

    /// Makes the line whole again before its time; false if it is. Without a sample, the last one counts.
    pub fn end(
        &mut self,
        end: End,
        by: Option<String>,
        sample: Option<&Sample>,
        at: Timestamp,
        now: Instant,
    ) -> bool {
        if !self.is_cut() {
            return false;
        }
        sample.into_iter().for_each(|sample| self.count(sample));
        let State::Cut { mut report, before, .. } = std::mem::take(&mut self.state) else {
            return false;
        };
        (report.ended, report.end) = (Some(at), Some(end));
        report.ended_by = by.map(|by| person(&by));
        self.events.push_back(Event::Whole(report.clone()));
        let goal = before.accepted + report.accepted;
        self.state = State::Draining { report, since: now, goal };
        if end == End::Restart {
            self.finish();
        }
        true
    }

    /// Takes in what the box has counted by now.
    pub fn handle_sample(&mut self, sample: &Sample, at: Timestamp, now: Instant) {
        self.count(sample);
        match &mut self.state {
            State::Cut { until, .. } if now >= *until => {
                self.end(End::Time, None, Some(sample), at, now);
            }
            State::Draining { report, since, goal } => {
                let after = now.saturating_duration_since(*since);
                if sample.done >= *goal || sample.waiting <= sample.quarantined {
                    report.drained_ms = Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                }
                if report.drained_ms.is_some() || after > DRAIN_MAX {
                    self.finish();
                }
            }
            State::Resting | State::Cut { .. } => {}
        }
    }

    /// Whether the line is cut.
    pub fn is_cut(&self) -> bool {
        matches!(self.state, State::Cut { .. })
    }

    /// What is known of the one that is under way.
    pub fn report(&self) -> Option<&Report> {
        match &self.state {
            State::Resting => None,
            State::Cut { report, .. } | State::Draining { report, .. } => Some(report),
        }
    }

    /// The next thing to do or to write down.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn count(&mut self, sample: &Sample) {
        let State::Cut { report, before, .. } = &mut self.state else { return };
        report.accepted = sample.accepted.saturating_sub(before.accepted);
        report.failed = sample.failed.saturating_sub(before.failed);
        let mut waits = Waits::default();
        waits.add_between(&before.waits, &sample.waits);
        report.longest_us = waits.within(100);
        report.waiting = report.waiting.max(sample.waiting);
    }

    fn finish(&mut self) {
        if let State::Draining { mut report, .. } = std::mem::take(&mut self.state) {
            report.finished = true;
            self.events.push_back(Event::Finished(report));
        }
    }
}

#[cfg(test)]
mod tests;
