//! The life of one print job, the same for every printer language.
//!
//! ```text
//! print() ─> Sending ──last byte out──> Sent ──proof──> Printed(level)
//!               │                        │
//!               │ hang-up                ├─ hang-up, silence, no proof in time ─> Unknown
//!               └─> NotStarted, Unknown  └─ paper, cover, cutter: waits, without a time-out
//! ```
//! Invariants:
//! - one job at a time; the queue lives in [`crate::spool`];
//! - once the first byte is out, a job ends as printed, unknown or discarded, never as "try again";
//! - a job is never called printed on less than its dialect's [`Level`];
//! - a proof that comes late still turns an unknown job into a printed one, and no other job;
//! - what a printer said last stands while it is silent: out of paper it works through nothing, and
//!   over a network not even a question reaches it then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::job::{Doubt, Event, JOB_BYTES_MAX, Job, NotReady, Verdict};
use super::{Dialect, Heard, Level, Recovery, Status, Trouble};
use crate::line::{INPUT_BYTES_MAX, Line, Transmit};
use crate::receipt::Drawer;

/// Bytes handed out at once: small, so that a broken line leaves little in doubt.
const PIECE: usize = 1024;
/// A real-time status question is answered in milliseconds; at 9600 baud behind a full wire, more.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// Pause between two rounds of status questions.
const ROUND_EVERY: Duration = Duration::from_secs(2);
/// While a job waits for its proof, questions come faster.
const ROUND_BUSY: Duration = Duration::from_millis(250);
/// No answer for so long, and the printer counts as gone.
const SILENT_AFTER: Duration = Duration::from_secs(6);
/// No byte taken for so long, and the printer counts as stalled.
const STALLED_AFTER: Duration = Duration::from_secs(15);
/// Time for a proof beyond the time the bytes take; paused while the printer is in trouble.
const PROOF_MAX: Duration = Duration::from_secs(60);
/// A drawer that got its pulse is looked at so often for this long.
const DRAWER_WATCHED: Duration = Duration::from_secs(2);
/// A byte changes the status at most once; a job's own events are few.
const EVENTS_MAX: usize = INPUT_BYTES_MAX;

#[derive(Debug)]
struct Current {
    number: u64,
    mark: u16,
    bytes: Vec<u8>,
    handed: usize,
    /// Whether bytes were taken since `moved_at`.
    moved: bool,
    moved_at: Instant,
    stall_noted: bool,
    /// Whether the printer was silent meanwhile; it may have lost its power then.
    was_silent: bool,
    sent: Option<Sent>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    /// When the printer can have printed the bytes it was given.
    earliest: Instant,
    /// When waiting for the proof ends; moves on while there is trouble.
    latest: Instant,
    /// Whether a whole round of questions was answered since `earliest`.
    rounds: u8,
}

/// A job in doubt, whose proof may still come.
#[derive(Debug, Clone, Copy)]
struct Doubted {
    number: u64,
    mark: u16,
    was_silent: bool,
}

/// A printer behind a port.
#[derive(Debug)]
pub struct Printer<D> {
    dialect: D,
    open: bool,
    broken: bool,
    job: Option<Current>,
    doubted: Option<Doubted>,
    step: Option<usize>,
    /// Questions answered in this round.
    answers: u8,
    next_ask: Option<Instant>,
    /// Until then questions come faster: a drawer may spring open.
    watched: Option<Instant>,
    heard_at: Option<Instant>,
    opened_at: Option<Instant>,
    told: Option<(Status, Option<Trouble>)>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl<D: Dialect> Printer<D> {
    /// A printer of a language.
    pub fn new(dialect: D) -> Self {
        Self {
            dialect,
            open: false,
            broken: false,
            job: None,
            doubted: None,
            step: None,
            answers: 0,
            next_ask: None,
            watched: None,
            heard_at: None,
            opened_at: None,
            told: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The printer's language.
    pub fn dialect(&self) -> &D {
        &self.dialect
    }

    /// Why nothing can be printed now, if so.
    pub fn ready(&self, now: Instant) -> Result<(), NotReady> {
        if !self.open {
            return Err(NotReady::Away);
        }
        if self.job.is_some() {
            return Err(NotReady::Busy);
        }
        self.trouble(now).map_or(Ok(()), |trouble| Err(NotReady::Trouble(trouble)))
    }

    /// What was sent last may have ended in the middle: the next opening begins by clearing it away.
    ///
    /// For an owner that was restarted while a job was under way.
    pub fn distrust(&mut self) {
        self.broken = true;
    }

    /// Starts a job. The owner must have written down that it started before it calls this.
    pub fn print(&mut self, job: Job, now: Instant) -> Result<(), NotReady> {
        self.ready(now)?;
        if job.body.len() > JOB_BYTES_MAX {
            return Err(NotReady::TooLarge);
        }
        let mark = u16::try_from(job.number % 9999).unwrap_or(0) + 1;
        let bytes = self.dialect.frame(&job.body, mark);
        if std::mem::take(&mut self.broken) {
            self.out.push_back(Transmit::plain(self.dialect.resync()));
        }
        self.job = Some(Current {
            number: job.number,
            mark,
            bytes,
            handed: 0,
            moved: false,
            moved_at: now,
            stall_noted: false,
            was_silent: false,
            sent: None,
        });
        Ok(())
    }

    /// Opens a drawer, once; never between the bytes of a job, and now or never.
    pub fn kick(&mut self, drawer: Drawer, now: Instant) -> Result<(), NotReady> {
        let bytes = match self.ready(now) {
            Ok(()) => self.dialect.kick(drawer).ok_or(NotReady::Unsupported)?,
            // An ordinary pulse would wait for paper with everything else.
            Err(refused @ NotReady::Trouble(Trouble::PaperOut)) if !self.silent(now) => {
                self.dialect.kick_at_once(drawer).ok_or(refused)?
            }
            Err(refused) => return Err(refused),
        };
        self.out.push_back(Transmit::plain(bytes));
        self.watch_drawer(now);
        Ok(())
    }

    fn watch_drawer(&mut self, now: Instant) {
        self.watched = Some(now + DRAWER_WATCHED);
        // Between a question and its answer the next one would get that answer.
        if self.step.is_none() {
            self.next_ask = self.next_ask.map(|at| at.min(now + ROUND_BUSY));
        }
    }

    /// Clears an error whose cause is gone; discarding gives up the job under way.
    pub fn recover(&mut self, how: Recovery, now: Instant) -> Result<(), NotReady> {
        if !self.open {
            return Err(NotReady::Away);
        }
        let bytes = self.dialect.recover(how).ok_or(NotReady::Unsupported)?;
        if how == Recovery::Resume && self.is_sending() {
            // Between a job's bytes it might land inside a picture.
            return Err(NotReady::Busy);
        }
        if how == Recovery::Discard
            && let Some(job) = self.job.take()
        {
            if job.sent.is_none() {
                self.out.push_back(Transmit::plain(self.dialect.resync()));
            }
            self.tell(Event::Job { number: job.number, verdict: Verdict::Discarded });
        }
        self.out.push_back(Transmit::plain(bytes));
        self.next_ask = Some(now);
        Ok(())
    }

    /// What the printer reported last.
    #[must_use]
    pub fn status(&self) -> Status {
        self.dialect.status()
    }

    fn tell(&mut self, event: Event) {
        // Of states that nobody looked at only the newest counts; a job's end is never dropped.
        if self.events.len() >= EVENTS_MAX
            && matches!(
                (&event, self.events.back()),
                (Event::Status { .. }, Some(Event::Status { .. }))
            )
        {
            self.events.pop_back();
        }
        self.events.push_back(event);
    }

    fn trouble(&self, now: Instant) -> Option<Trouble> {
        if !self.dialect.answers() {
            return self.stalled(now).then_some(Trouble::Stalled);
        }
        self.dialect.status().trouble().or_else(|| match () {
            () if self.silent(now) => Some(Trouble::Silent),
            () if self.stalled(now) => Some(Trouble::Stalled),
            () => None,
        })
    }

    fn is_sending(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.sent.is_none())
    }

    /// Notes that bytes were taken since the last look.
    fn note_progress(&mut self, now: Instant) {
        if let Some(job) = self.job.as_mut()
            && std::mem::take(&mut job.moved)
        {
            job.moved_at = now;
            job.stall_noted = false;
        }
    }

    fn silent(&self, now: Instant) -> bool {
        match (self.heard_at, self.opened_at) {
            (Some(at), _) => now.saturating_duration_since(at) >= SILENT_AFTER,
            // Connected does not mean able to print: the first answer must have come.
            (None, Some(_)) => true,
            (None, None) => false,
        }
    }

    fn stalled(&self, now: Instant) -> bool {
        self.job.as_ref().is_some_and(|job| {
            job.sent.is_none() && now.saturating_duration_since(job.moved_at) >= STALLED_AFTER
        })
    }

    fn tell_status(&mut self, now: Instant) {
        let seen = (self.dialect.status(), self.trouble(now));
        if self.open && self.told != Some(seen) {
            self.told = Some(seen);
            self.tell(Event::Status { status: seen.0, trouble: seen.1 });
        }
    }

    fn ask_from(&mut self, step: usize, now: Instant) {
        if step == 0 {
            self.answers = 0;
        }
        if let Some(bytes) = self.dialect.ask(step) {
            self.step = Some(step);
            self.next_ask = Some(now + ANSWER_MAX);
            self.out.push_back(Transmit::plain(bytes));
            return;
        }
        self.step = None;
        let busy = self.job.as_ref().is_some_and(|job| job.sent.is_some())
            || self.watched.is_some_and(|until| now < until);
        self.next_ask = Some(now + if busy { ROUND_BUSY } else { ROUND_EVERY });
        self.end_round(now);
    }

    /// While a job's bytes go out no question is asked: it might land inside a picture.
    fn next_question(&mut self, now: Instant) {
        if self.is_sending() {
            self.step = None;
            self.next_ask = Some(now + ROUND_EVERY);
            // Silence of a printer that is not asked means nothing.
            self.heard_at = self.heard_at.map(|_| now);
        } else {
            self.ask_from(self.step.map_or(0, |step| step + 1), now);
        }
    }

    /// A whole round after the last byte, with no trouble, is the weakest proof by status.
    fn end_round(&mut self, now: Instant) {
        let fine = self.answers > 0 && self.trouble(now).is_none();
        let level = self.dialect.level();
        let Some(sent) = self.job.as_mut().and_then(|job| job.sent.as_mut()) else { return };
        if !fine || now < sent.earliest || level != Level::StatusGood {
            return;
        }
        sent.rounds += 1;
        // The first round may have begun before `earliest`.
        if sent.rounds >= 2 {
            self.finish(Verdict::Printed(Level::StatusGood), now);
        }
    }

    fn finish(&mut self, verdict: Verdict, now: Instant) {
        let Some(job) = self.job.take() else { return };
        let Current { number, mark, was_silent, .. } = job;
        if let Verdict::Unknown(doubt) = verdict {
            self.doubted = Some(Doubted { number, mark, was_silent });
            // Zeros do no harm; what would cancel whole labels is sent only where bytes are missing.
            self.broken |= job.sent.is_none() || !self.dialect.resync_cancels();
            if doubt == Doubt::NoProof {
                self.dialect.give_up();
            }
        }
        self.watch_drawer(now);
        self.tell(Event::Job { number, verdict });
    }

    fn reached(&mut self, mark: u16, now: Instant) {
        let level = self.dialect.level();
        let proven = |was_silent: bool| {
            Verdict::Printed(if was_silent { level.min(Level::StatusGood) } else { level })
        };
        // The proof may overtake the news that the last byte left.
        let whole = |job: &&Current| job.mark == mark && job.handed == job.bytes.len();
        if let Some(job) = self.job.as_ref().filter(whole) {
            self.finish(proven(job.was_silent), now);
        } else if let Some(job) = self.doubted.take_if(|job| job.mark == mark) {
            self.tell(Event::Job { number: job.number, verdict: proven(job.was_silent) });
        }
    }

    /// Ends a job whose proof cannot be hoped for any more.
    fn judge(&mut self, now: Instant) {
        let trouble = self.trouble(now);
        let gone = trouble == Some(Trouble::Silent) && !self.dialect.falls_silent_in_trouble();
        let is_silent = self.dialect.answers() && self.silent(now);
        if let Some(job) = self.job.as_mut() {
            job.was_silent |= is_silent;
        }
        let Some(sent) = self.job.as_mut().and_then(|job| job.sent.as_mut()) else {
            if gone && self.job.as_ref().is_some_and(|j| j.handed > 0) {
                self.finish(Verdict::Unknown(Doubt::Silent), now);
            }
            return;
        };
        match trouble {
            Some(_) if gone => self.finish(Verdict::Unknown(Doubt::Silent), now),
            // The printer keeps what it has and goes on when somebody helps it.
            Some(_) => {
                sent.latest = sent.latest.max(now + PROOF_MAX);
                sent.rounds = 0;
            }
            None if now >= sent.latest => self.finish(Verdict::Unknown(Doubt::NoProof), now),
            None => {}
        }
    }
}

impl<D: Dialect> Line for Printer<D> {
    type Event = Event;

    fn handle_opened(&mut self, now: Instant) {
        self.dialect.reset();
        self.open = true;
        self.told = None;
        self.heard_at = None;
        self.opened_at = Some(now);
        self.out.clear();
        let hello = if self.broken { self.dialect.resync() } else { self.dialect.greet() };
        self.broken = false;
        self.out.push_back(Transmit::request(hello));
        if self.dialect.answers() {
            self.ask_from(0, now);
        }
        self.tell_status(now);
    }

    fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        self.note_progress(now);
        for byte in bytes {
            match self.dialect.handle_byte(*byte) {
                Heard::Nothing => continue,
                Heard::Spoke => {}
                Heard::Answered => {
                    self.heard_at = Some(now);
                    self.answers = self.answers.saturating_add(1);
                    self.next_question(now);
                }
                Heard::Reached(mark) => self.reached(mark, now),
            }
            self.heard_at = Some(now);
            // After each word, so that what came together is told as what came apart.
            self.judge(now);
            self.tell_status(now);
        }
    }

    fn handle_drained(&mut self, now: Instant) {
        let level = self.dialect.level();
        let speed = u64::from(self.dialect.bytes_per_second().max(1));
        let Some(job) = self.job.as_mut() else { return };
        job.moved_at = now;
        if job.handed < job.bytes.len() || job.sent.is_some() {
            return;
        }
        let takes = Duration::from_millis(job.bytes.len() as u64 * 1000 / speed);
        let latest = now + takes + PROOF_MAX;
        job.sent = Some(Sent { earliest: now + takes, latest, rounds: 0 });
        let number = job.number;
        self.tell(Event::Job { number, verdict: Verdict::Sent });
        if level == Level::HandedOver {
            self.finish(Verdict::Printed(Level::HandedOver), now);
        } else if self.step.is_none() {
            self.next_ask = Some(now + ROUND_BUSY);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.note_progress(now);
        if self.open && self.next_ask.is_some_and(|at| at <= now) {
            if self.out.is_empty() || self.is_sending() {
                self.next_question(now);
            } else {
                // The port has not even taken the last one.
                self.next_ask = Some(now + ROUND_EVERY);
            }
        }
        if self.stalled(now)
            && let Some(job) = self.job.as_mut()
        {
            job.stall_noted = true;
        }
        self.judge(now);
        self.tell_status(now);
    }

    fn handle_hangup(&mut self, now: Instant) {
        self.open = false;
        self.next_ask = None;
        self.step = None;
        self.opened_at = None;
        self.out.clear();
        let started = self.job.as_ref().is_some_and(|job| job.handed > 0);
        let lost = if started { Verdict::Unknown(Doubt::LinkLost) } else { Verdict::NotStarted };
        self.finish(lost, now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.out.pop_front() {
            return Some(transmit);
        }
        let job = self.job.as_mut().filter(|job| self.open && job.handed < job.bytes.len())?;
        let to = job.bytes.len().min(job.handed + PIECE);
        let piece = job.bytes[job.handed..to].to_vec();
        job.handed = to;
        job.moved = true;
        Some(Transmit::plain(piece))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let proof = self.job.as_ref().and_then(|job| Some(job.sent?.latest));
        let stall = self.job.as_ref().filter(|job| job.sent.is_none() && !job.stall_noted);
        let stall = stall.filter(|_| self.open).map(|job| job.moved_at + STALLED_AFTER);
        [self.next_ask, proof, stall].into_iter().flatten().min()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests;
