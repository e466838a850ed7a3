//! What the machine does when something does not work: it waits, longer each time, and keeps what is on the shelf.
//!
//! A source that does not answer is asked again, and any answer of it ends the waits.
//! What goes wrong here is another matter: the next head says nothing about it.
//! Those waits grow until a refresh is complete, however often heads arrive in between.

use std::time::Instant;

use super::{Event, Fetch, Refused, State, Wish};
use crate::ids::Hash32;

/// Failures in a row after which a new head is asked for.
const PLAN_RETRIES_MAX: u32 = 3;

impl Fetch {
    /// An object did not arrive.
    pub fn handle_object_failed(&mut self, name: &Hash32, now: Instant) {
        if self.plan().is_some_and(|plan| plan.failed(name)) {
            self.pause(now, Self::unheard);
        }
    }

    /// An object did not arrive in time: the line may be too slow for all that is under way.
    pub fn handle_object_late(&mut self, name: &Hash32, now: Instant) {
        if let Some(asked) = self.plan().and_then(|plan| plan.asked(name)) {
            self.width.late(asked, now);
        }
        self.handle_object_failed(name, now);
    }

    /// An object arrived and could not be put on the shelf.
    ///
    /// Nothing more is asked for before a new head, whose plan looks at the room that there is.
    pub fn handle_object_unstored(&mut self, name: &Hash32, now: Instant) {
        if self.plan().is_some_and(|plan| plan.failed(name)) {
            self.look_again(now);
        }
    }

    /// No source has the object any more: there is a newer head.
    ///
    /// If there is none, what else is missing comes first, and this one is asked for ever less often.
    pub fn handle_object_gone(&mut self, name: &Hash32, now: Instant) {
        if self.plan().is_some_and(|plan| plan.failed(name)) {
            self.absent.note(*name, now);
            self.look_again(now);
        }
    }

    /// Nothing can be asked for before a new head.
    pub(super) fn look_again(&mut self, now: Instant) {
        self.wish = self.wish.max(Some(Wish::Incremental));
        self.set_back(now);
    }

    pub(super) fn refuse(&mut self, refused: Refused, now: Instant) {
        let is_ours = matches!(refused, Refused::NoRoom { .. });
        self.events.push_back(Event::Refused(refused));
        if is_ours { self.set_back(now) } else { self.fail(now) }
    }

    /// Waits, then goes on with the same plan; after some failures in a row the source may have another head.
    pub(super) fn pause(&mut self, now: Instant, wait: fn(&mut Self, Instant)) {
        match std::mem::replace(&mut self.state, State::Resting) {
            State::Fetching(plan) if self.backoff.failures() < PLAN_RETRIES_MAX => {
                wait(self, now);
                if let State::Waiting { plan: waiting, .. } = &mut self.state {
                    *waiting = Some(plan);
                }
            }
            State::Fetching(_) => wait(self, now),
            other @ (State::Waiting { .. }
            | State::Resting
            | State::Asking { .. }
            | State::Loading { .. }) => self.state = other,
        }
    }

    /// Waits; what is on the shelf stays there, so the next attempt goes on from it.
    pub(super) fn fail(&mut self, now: Instant) {
        let until = self.backoff.failed(now);
        self.wait(until);
    }

    /// The same where heads do not help.
    pub(super) fn set_back(&mut self, now: Instant) {
        let until = self.backoff.set_back(now);
        self.wait(until);
    }

    /// The source is silent; a follower listens for its return.
    pub(super) fn unheard(&mut self, now: Instant) {
        let (backoff, follow) = (&mut self.backoff, self.options.follow);
        let until = if follow { backoff.silent(now) } else { backoff.failed(now) };
        self.wait(until);
    }

    fn wait(&mut self, until: Instant) {
        self.events.push_back(Event::Failed);
        self.state = State::Waiting { until, plan: None };
    }
}
