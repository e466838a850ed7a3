//! What an onlooker sees of a refresh.

use super::{Fetch, Phase, Progress, State};
use crate::feed::position::Position;

impl Fetch {
    /// How far the refresh is that is under way.
    pub fn progress(&self) -> Option<Progress> {
        match &self.state {
            State::Fetching(plan)
            | State::Loading { plan, .. }
            | State::Waiting { plan: Some(plan), .. } => Some(plan.progress()),
            State::Resting | State::Asking { .. } | State::Waiting { plan: None, .. } => None,
        }
    }

    /// What the machine is at.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Resting => Phase::Resting,
            State::Asking { .. } if self.is_resting() => Phase::Resting,
            State::Asking { .. } => Phase::Asking,
            State::Fetching(_) => Phase::Fetching,
            State::Loading { .. } => Phase::Loading,
            State::Waiting { .. } => Phase::Waiting,
        }
    }

    /// What is in service.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Whether nothing is wanted and nothing under way.
    pub fn is_resting(&self) -> bool {
        let idle_poll = matches!(self.state, State::Asking { .. }) && self.options.follow;
        matches!(self.state, State::Resting) || (idle_poll && self.wish.is_none())
    }
}
