//! Cash drawers: what the sensor wire means, and what an opening was due to.
//!
//! A drawer hangs on a printer, which kicks it and reports its sensor's level.
//! Whether a high level means open depends on the drawer, so it is learnt once with the drawer
//! open, and until then nothing is said about it.
//! Every opening is told with the kick it followed, or as one nobody asked for: with a key, or by
//! hand.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A drawer springs open within this time of its kick.
const OPENS_WITHIN: Duration = Duration::from_secs(2);
const EVENTS_MAX: usize = 64;

/// What a high level of the sensor wire means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sense {
    /// The drawer is open.
    HighIsOpen,
    /// The drawer is closed.
    HighIsClosed,
}

/// What happened at a drawer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It opened; by a kick, or without one.
    Opened {
        /// The number its owner gave to the kick.
        kick: Option<u64>,
    },
    /// It was closed.
    Closed {
        /// How long it stood open.
        after: Duration,
    },
    /// It was kicked and did not open: blocked, locked, or its cable is off.
    DidNotOpen {
        /// The number its owner gave to the kick.
        kick: u64,
    },
    /// It was kicked; whether it opened cannot be known.
    Unseen {
        /// The number its owner gave to the kick.
        kick: u64,
    },
}

/// Watches one drawer.
#[derive(Debug, Default)]
pub struct Watch {
    sense: Option<Sense>,
    level: Option<bool>,
    opened_at: Option<Instant>,
    kicked: Option<(u64, Instant)>,
    events: VecDeque<Event>,
}

impl Watch {
    /// A drawer whose sensor was learnt before, or was not.
    #[must_use]
    pub fn new(sense: Option<Sense>) -> Self {
        Self { sense, ..Self::default() }
    }

    /// Whether it stands open, where that is known.
    #[must_use]
    pub fn is_open(&self) -> Option<bool> {
        match (self.sense?, self.level?) {
            (Sense::HighIsOpen, high) => Some(high),
            (Sense::HighIsClosed, high) => Some(!high),
        }
    }

    /// The printer reported the sensor's level.
    pub fn handle_level(&mut self, level: Option<bool>, now: Instant) {
        let before = self.is_open();
        self.level = level;
        match (before, self.is_open()) {
            (Some(false), Some(true)) => {
                self.opened_at = Some(now);
                let kick = self.kicked.take().map(|(kick, _)| kick);
                self.tell(Event::Opened { kick });
            }
            (Some(true), Some(false)) => {
                let since = self.opened_at.take().unwrap_or(now);
                self.tell(Event::Closed { after: now.saturating_duration_since(since) });
            }
            _ => {}
        }
    }

    /// The drawer was kicked.
    pub fn handle_kick(&mut self, kick: u64, now: Instant) {
        match self.is_open() {
            None => self.tell(Event::Unseen { kick }),
            // It stands open already; the kick changes nothing that could be seen.
            Some(true) => self.tell(Event::Opened { kick: Some(kick) }),
            Some(false) => self.kicked = Some((kick, now + OPENS_WITHIN)),
        }
    }

    /// The time [`Watch::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((kick, _)) = self.kicked.take_if(|(_, until)| *until <= now) {
            self.tell(Event::DidNotOpen { kick });
        }
    }

    /// When to call [`Watch::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.kicked.map(|(_, until)| until)
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::start;

    fn closed() -> (Watch, Instant) {
        let now = start();
        let mut watch = Watch::new(Some(Sense::HighIsOpen));
        watch.handle_level(Some(false), now);
        (watch, now)
    }

    #[test]
    fn an_opening_is_told_with_its_kick_and_a_closing_with_its_time() {
        let (mut watch, now) = closed();
        watch.handle_kick(7, now);
        watch.handle_level(Some(true), now + Duration::from_millis(80));
        watch.handle_level(Some(false), now + Duration::from_secs(5));
        assert_eq!(watch.poll_event(), Some(Event::Opened { kick: Some(7) }));
        assert_eq!(watch.poll_event(), Some(Event::Closed { after: Duration::from_millis(4920) }));
    }

    #[test]
    fn an_opening_nobody_asked_for_has_no_kick() {
        let (mut watch, now) = closed();
        watch.handle_level(Some(true), now);
        assert_eq!(watch.poll_event(), Some(Event::Opened { kick: None }));
    }

    #[test]
    fn a_blocked_drawer_is_told() {
        let (mut watch, now) = closed();
        watch.handle_kick(7, now);
        watch.handle_timeout(now + Duration::from_secs(1));
        assert_eq!(watch.poll_event(), None);
        watch.handle_timeout(watch.poll_timeout().unwrap());
        assert_eq!(watch.poll_event(), Some(Event::DidNotOpen { kick: 7 }));
    }

    #[test]
    fn nothing_is_claimed_about_a_sensor_nobody_learnt() {
        let mut watch = Watch::new(None);
        watch.handle_level(Some(true), start());
        watch.handle_kick(1, start());
        assert_eq!((watch.is_open(), watch.poll_event()), (None, Some(Event::Unseen { kick: 1 })));
    }
}
