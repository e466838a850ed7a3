//! How a replica gets from where it stands to what a source offers: one machine per feed, without effects.
//!
//! ```text
//!          wish / follow             head              all on the shelf
//! Resting ─────────────▶ Asking ───────────▶ Fetching ────────────────▶ Loading
//!    ▲  ▲                  │ nothing new      ▲  │ gone: ask again        │  │
//!    │  └──────────────────┘                  │  ▼                        │  │ damaged piece: fetch it
//!    │            failed, refused ─▶ Waiting ─┴─▶ Asking ◀── mismatch ────┘  └──▶ Fetching
//!    │            (goes on with what it was fetching)                      │
//!    └────────────────────────────────────── switched ─────────────────────┘
//! ```
//!
//! The driver carries out what [`Fetch::poll_request`] and [`Fetch::poll_load`] ask for and reports what came of it;
//! the simulation is a driver too.
//!
//! Invariants:
//! - only a head that a trusted key has signed is acted on, and never one older than what is in service;
//! - an object is put on the shelf only if its bytes have the hash that it was asked for by;
//! - what is on the shelf is not asked for again, so a refresh that was cut off goes on at the page where it stopped;
//! - the old generation is the driver's until a load has succeeded: the machine never asks to take anything away;
//! - after a mismatch only what differs is fetched, and everything at most once an hour.

mod backoff;
mod extent;
mod failure;
mod plan;
mod view;
mod width;
mod words;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;

use crate::feed::head::{Head, SignedHead};
use crate::feed::position::Position;
use crate::ids::{FeedId, Hash32};
use crate::limits;
use crate::sync::absence::Absences;

use backoff::Backoff;
use plan::Plan;
use width::Width;

pub use backoff::REBUILD_EVERY;
pub use plan::Load;
pub use words::{
    Event, Mode, Options, Outcome, Phase, Progress, Refused, Request, Shelf, Verdict, Wish,
};

#[derive(Debug, Clone)]
enum State {
    Resting,
    /// `sent`: the request is under way until then.
    Asking {
        until: Option<Instant>,
    },
    Fetching(Box<Plan>),
    /// `handed`: the driver has the load.
    Loading {
        plan: Box<Plan>,
        handed: bool,
    },
    /// `plan`: goes on with it afterwards; what arrives meanwhile still counts.
    Waiting {
        until: Instant,
        plan: Option<Box<Plan>>,
    },
}

/// The machine of one feed.
#[derive(Debug, Clone)]
pub struct Fetch {
    feed: FeedId,
    keys: Vec<VerifyingKey>,
    options: Options,
    position: Option<Position>,
    /// The feed that the position is of: this one, the whole of it or an excerpt; nothing: that is not known.
    of: Option<FeedId>,
    /// The feed to turn to when the load under way has ended.
    next: Option<FeedId>,
    wish: Option<Wish>,
    /// Wishes that came after the head that is being loaded: they want the next one.
    later: Option<Wish>,
    /// The mode that the next head is loaded with, at least.
    at_least: Mode,
    state: State,
    backoff: Backoff,
    width: Width,
    /// Objects that no source had.
    absent: Absences<Hash32>,
    events: VecDeque<Event>,
}

impl Fetch {
    /// A machine for a replica that stands there, or nowhere.
    pub fn new(
        feed: FeedId,
        keys: Vec<VerifyingKey>,
        options: Options,
        position: Option<Position>,
    ) -> Self {
        let (backoff, width) = (Backoff::new(options.seed), Width::new(options.in_flight_max));
        let of = Some(feed.clone());
        Self {
            feed,
            keys,
            options,
            position,
            of,
            next: None,
            wish: None,
            later: None,
            at_least: Mode::Incremental,
            state: State::Resting,
            backoff,
            width,
            absent: Absences::default(),
            events: VecDeque::new(),
        }
    }

    /// Somebody wants a refresh; a wait for the next attempt is cut short.
    pub fn handle_wish(&mut self, wish: Wish) {
        self.absent.release();
        match &self.state {
            State::Resting | State::Asking { .. } | State::Waiting { plan: None, .. } => {
                self.wish = self.wish.max(Some(wish));
            }
            State::Fetching(_) | State::Loading { .. } | State::Waiting { .. } => {
                self.later = self.later.max(Some(wish));
            }
        }
        match &self.state {
            State::Waiting { plan, .. } if plan.is_some() => self.go_on(),
            State::Resting | State::Waiting { .. } => self.state = State::Asking { until: None },
            // A long poll could last: ask anew, without waiting.
            State::Asking { until: Some(_) } if self.options.follow => {
                self.state = State::Asking { until: None };
            }
            State::Asking { .. } | State::Fetching(_) | State::Loading { .. } => {}
        }
    }

    /// The source answered with a head.
    pub fn handle_head(&mut self, bytes: &Bytes, shelf: &impl Shelf, now: Instant) {
        if !matches!(self.state, State::Asking { .. } | State::Resting) {
            return;
        }
        match self.open(bytes) {
            Ok(head) => {
                self.backoff.worked();
                self.begin(head, bytes.clone(), shelf, now);
            }
            Err(refused) => self.refuse(refused, now),
        }
    }

    /// The source has no other head than the one in service.
    pub fn handle_unchanged(&mut self, now: Instant) {
        if !matches!(self.state, State::Asking { .. }) {
            return;
        }
        // It was to say its head whatever is in service, so it has none: not to be asked again at once.
        if self.is_owed() {
            return self.unheard(now);
        }
        self.up_to_date();
    }

    /// The source did not answer with a head.
    pub fn handle_head_failed(&mut self, now: Instant) {
        if matches!(self.state, State::Asking { until: Some(_) }) {
            self.unheard(now);
        }
    }

    /// An object arrived.
    pub fn handle_object(&mut self, name: &Hash32, bytes: &[u8], now: Instant) -> Verdict {
        let Some(plan) = self.plan() else { return Verdict::Unwanted };
        let Some(max) = plan.wanted(name) else { return Verdict::Unwanted };
        let is_in_time = plan.asked(name).is_some();
        if bytes.len() > max as usize || Hash32::of(bytes) != *name {
            plan.failed(name);
            self.events.push_back(Event::Lied { name: *name });
            self.pause(now, Self::fail);
            return Verdict::Lied;
        }
        if is_in_time {
            self.width.in_time();
        }
        self.absent.found(name);
        Verdict::Keep
    }

    /// An object is on the shelf, durably.
    pub fn handle_stored(&mut self, name: &Hash32, shelf: &impl Shelf, now: Instant) {
        let options = self.options.clone();
        let Some(plan) = self.plan() else { return };
        if let Err(refused) = plan.stored(name, shelf, &options) {
            return self.refuse(refused, now);
        }
        if plan.is_complete() || matches!(self.state, State::Fetching(_)) {
            self.backoff.worked();
            self.go_on();
        }
    }

    /// The driver has carried out a load.
    pub fn handle_outcome(&mut self, outcome: Outcome, now: Instant) {
        let resting = State::Resting;
        let State::Loading { plan, handed: true } = std::mem::replace(&mut self.state, resting)
        else {
            return;
        };
        let mode = plan.mode;
        self.judge(plan, mode, outcome, now);
        if let Some(feed) = self.next.take() {
            self.handle_feed(feed);
        }
    }

    fn judge(&mut self, mut plan: Box<Plan>, mode: Mode, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Switched => self.switched(&plan),
            Outcome::Failed => self.set_back(now),
            Outcome::Mismatch => {
                self.events.push_back(Event::Mismatch { mode });
                let (next, at) = match mode {
                    Mode::Incremental => (Mode::Full, self.backoff.repair(now)),
                    Mode::Full | Mode::Rebuild => (Mode::Rebuild, self.backoff.rebuild(now)),
                };
                self.at_least = next;
                self.state = State::Waiting { until: at, plan: None };
            }
            Outcome::Damaged(names) => {
                if names.iter().all(|name| plan.lost(name)) && !names.is_empty() {
                    self.state = State::Fetching(plan);
                } else {
                    self.at_least = self.at_least.max(Mode::Full);
                    self.fail(now);
                }
            }
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late = self.plan().map(|plan| plan.expire(now)).unwrap_or_default();
        late.iter().for_each(|asked| self.width.late(*asked, now));
        match &self.state {
            State::Waiting { until, .. } if *until <= now => self.go_on(),
            State::Asking { until: Some(until) } if *until <= now => self.unheard(now),
            State::Fetching(_) if !late.is_empty() => self.pause(now, Self::unheard),
            State::Resting
            | State::Asking { .. }
            | State::Fetching(_)
            | State::Loading { .. }
            | State::Waiting { .. } => {}
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting { until, .. } => Some(*until),
            State::Asking { until } => *until,
            State::Fetching(plan) => plan.deadline(),
            State::Resting | State::Loading { .. } => None,
        }
    }

    /// The next request to send; call until it is nothing.
    pub fn poll_request(&mut self, now: Instant) -> Option<Request> {
        if matches!(self.state, State::Resting) && self.options.follow {
            self.state = State::Asking { until: None };
        }
        if matches!(self.state, State::Asking { until: None }) {
            self.wish = self.wish.max(self.later.take());
        }
        let (owed, foreign) = (self.is_owed(), self.is_foreign());
        match &mut self.state {
            State::Asking { until: until @ None } => {
                let wait = self.options.follow
                    && !foreign
                    && self.wish.is_none()
                    && self.at_least == Mode::Incremental;
                let held = if wait { limits::LONG_POLL_MAX } else { Duration::ZERO };
                *until = Some(now + held + self.options.page_timeout);
                let after = if owed { None } else { self.position };
                Some(Request::Head { after, wait })
            }
            State::Fetching(plan) => {
                let (width, absent) = (self.width.get(), &self.absent);
                let next = plan.next_request(width, absent, now, &self.options);
                if next.is_none() && plan.is_stuck(absent, now) {
                    self.look_again(now);
                }
                let (name, bytes) = next?;
                Some(Request::Object { name, bytes })
            }
            State::Resting
            | State::Asking { .. }
            | State::Loading { .. }
            | State::Waiting { .. } => None,
        }
    }

    /// Whether [`Self::poll_load`] has something.
    pub fn has_load(&self) -> bool {
        matches!(self.state, State::Loading { handed: false, .. })
    }

    /// The load to carry out; handed out once, answered by [`Self::handle_outcome`].
    pub fn poll_load(&mut self) -> Option<(Load, Bytes)> {
        let State::Loading { plan, handed } = &mut self.state else { return None };
        if std::mem::replace(handed, true) {
            return None;
        }
        Some((plan.load(), plan.signed.clone()))
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn open(&self, bytes: &[u8]) -> Result<Head, Refused> {
        let refuse = |reason: String| Refused::Head { reason };
        let signed = SignedHead::parse(bytes).map_err(|error| refuse(error.to_string()))?;
        let head = signed.open(&self.keys).map_err(|error| refuse(error.to_string()))?;
        if head.feed != self.feed {
            return Err(Refused::Feed { feed: head.feed });
        }
        let offered = head.position();
        match self.position.filter(|_| !self.is_foreign()) {
            Some(in_service) if offered < in_service => {
                Err(Refused::Rollback { offered, in_service })
            }
            Some(_) | None => Ok(head),
        }
    }

    fn begin(&mut self, head: Head, signed: Bytes, shelf: &impl Shelf, now: Instant) {
        let to = head.position();
        let mode = self.mode(&head);
        if mode == Mode::Incremental && self.position == Some(to) {
            return self.up_to_date();
        }
        if mode == Mode::Rebuild {
            let allowed = self.backoff.rebuild(now);
            if allowed > now {
                self.state = State::Waiting { until: allowed, plan: None };
                return;
            }
            self.backoff.rebuilding(now);
        }
        self.events.push_back(Event::Started { mode, to });
        match Plan::new(head, signed, mode, self.position, shelf, &self.options) {
            Ok(plan) => {
                self.state = State::Fetching(Box::new(plan));
                self.go_on();
            }
            Err(refused) => self.refuse(refused, now),
        }
    }

    /// Changes where they lead here and are fewer than the records; else everything.
    fn mode(&self, head: &Head) -> Mode {
        if self.at_least > Mode::Incremental {
            return self.at_least;
        }
        let Some(base) = self.position else { return Mode::Full };
        let whole = self.wish == Some(Wish::Full)
            || self.is_foreign()
            || base.epoch != head.epoch
            || base.revision < head.horizon;
        if whole {
            return Mode::Full;
        }
        let records: u64 = head.models.iter().map(|model| model.count).sum();
        let runs = head.runs.iter().filter(|run| run.revision > base.revision);
        let (mut changes, mut bytes) = (0, 0);
        for page in runs.flat_map(|run| &run.pages) {
            changes += u64::from(page.count);
            bytes += u64::from(page.bytes);
        }
        let few = changes <= records.max(limits::CHANGES_ALWAYS_TAKEN)
            && changes <= limits::INCREMENTAL_RECORDS_MAX
            && bytes <= limits::INCREMENTAL_BYTES_MAX;
        if few { Mode::Incremental } else { Mode::Full }
    }

    /// What is being fetched, also while waiting to go on with it.
    fn plan(&mut self) -> Option<&mut Plan> {
        match &mut self.state {
            State::Fetching(plan) | State::Waiting { plan: Some(plan), .. } => Some(plan),
            State::Resting
            | State::Asking { .. }
            | State::Loading { .. }
            | State::Waiting { plan: None, .. } => None,
        }
    }

    /// Goes on with the plan, to loading when nothing is missing; without a plan asks for a head.
    fn go_on(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Resting) {
            State::Fetching(mut plan) | State::Waiting { plan: Some(mut plan), .. } => {
                plan.tell(&mut self.events);
                if plan.is_complete() {
                    State::Loading { plan, handed: false }
                } else {
                    State::Fetching(plan)
                }
            }
            State::Waiting { plan: None, .. } => State::Asking { until: None },
            other @ (State::Resting | State::Asking { .. } | State::Loading { .. }) => other,
        };
    }

    fn switched(&mut self, plan: &Plan) {
        let to = plan.head.position();
        self.position = Some(to);
        self.of = Some(plan.head.feed.clone());
        self.at_least = Mode::Incremental;
        if plan.mode == Mode::Incremental {
            self.backoff.sound();
        }
        self.backoff.settled();
        self.absent.clear();
        let unserved = self.wish == Some(Wish::Full) && plan.mode == Mode::Incremental;
        if !unserved {
            self.wish = None;
        }
        self.state = match (unserved, self.later) {
            (false, None) => State::Resting,
            (true, _) | (false, Some(_)) => State::Asking { until: None },
        };
        self.events.push_back(Event::Switched { mode: plan.mode, to });
    }

    /// Whether the next head is wanted whatever its revision, also that of what is in service.
    fn is_owed(&self) -> bool {
        let anew = self.is_foreign() || self.wish == Some(Wish::Full);
        self.at_least > Mode::Incremental || anew && self.position.is_some()
    }

    fn up_to_date(&mut self) {
        self.backoff.settled();
        self.wish = None;
        self.state = State::Resting;
        self.events.push_back(Event::UpToDate);
    }
}

#[cfg(test)]
mod tests;
