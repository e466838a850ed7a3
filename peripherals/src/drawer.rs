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

/// A pulse whose effect was not seen yet.
#[derive(Debug, Clone, Copy)]
struct Kicked {
    number: u64,
    /// When it is too late; not known while the job that holds the pulse is printed.
    until: Option<Instant>,
}

/// Watches one drawer.
#[derive(Debug, Default)]
pub struct Watch {
    sense: Option<Sense>,
    level: Option<bool>,
    opened_at: Option<Instant>,
    kicked: Option<Kicked>,
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
                let kick = self.kicked.take().map(|kicked| kicked.number);
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
        self.expect(kick, Some(now + OPENS_WITHIN));
    }

    /// A job begins that holds a pulse: it may come at any moment until the job has ended.
    pub fn handle_job_begun(&mut self, kick: u64) {
        self.expect(kick, None);
    }

    /// That job has ended; `false`: no byte of it went out.
    pub fn handle_job_ended(&mut self, has_begun: bool, now: Instant) {
        match self.kicked.as_mut().filter(|kicked| kicked.until.is_none()) {
            Some(kicked) if has_begun => kicked.until = Some(now + OPENS_WITHIN),
            Some(_) => self.kicked = None,
            None => {}
        }
    }

    fn expect(&mut self, kick: u64, until: Option<Instant>) {
        match self.is_open() {
            None => self.tell(Event::Unseen { kick }),
            // It stands open already; the kick changes nothing that could be seen.
            Some(true) => self.tell(Event::Opened { kick: Some(kick) }),
            Some(false) => self.kicked = Some(Kicked { number: kick, until }),
        }
    }

    /// The time [`Watch::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_late = |kicked: &mut Kicked| kicked.until.is_some_and(|until| until <= now);
        if let Some(kicked) = self.kicked.take_if(is_late) {
            self.tell(Event::DidNotOpen { kick: kicked.number });
        }
    }

    /// When to call [`Watch::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.kicked?.until
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
    fn a_job_opens_the_drawer_at_any_moment_until_shortly_after_its_end() {
        let (mut watch, now) = closed();
        watch.handle_job_begun(7);
        assert_eq!(watch.poll_timeout(), None);
        watch.handle_timeout(now + Duration::from_secs(60));
        watch.handle_level(Some(true), now + Duration::from_secs(61));
        watch.handle_job_ended(true, now + Duration::from_secs(62));
        assert_eq!(watch.poll_event(), Some(Event::Opened { kick: Some(7) }));
        assert_eq!((watch.poll_timeout(), watch.poll_event()), (None, None));
        watch.handle_level(Some(false), now);
        watch.poll_event();
        watch.handle_job_begun(8);
        watch.handle_job_ended(true, now);
        watch.handle_timeout(watch.poll_timeout().unwrap());
        assert_eq!(watch.poll_event(), Some(Event::DidNotOpen { kick: 8 }));
    }

    #[test]
    fn a_job_that_never_began_has_not_failed_to_open_anything() {
        let (mut watch, now) = closed();
        watch.handle_job_begun(7);
        watch.handle_job_ended(false, now);
        assert_eq!((watch.poll_timeout(), watch.poll_event()), (None, None));
    }

    #[test]
    fn nothing_is_claimed_about_a_sensor_nobody_learnt() {
        let mut watch = Watch::new(None);
        watch.handle_level(Some(true), start());
        watch.handle_kick(1, start());
        assert_eq!((watch.is_open(), watch.poll_event()), (None, Some(Event::Unseen { kick: 1 })));
    }
}
