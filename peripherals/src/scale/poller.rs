//! One question, one answer: the behaviour every simple scale protocol shares.
//!
//! ```text
//! Idle --ask--> Asked --answer--> Idle        (event)
//!               Asked --next step--> Asked    (protocols that shake hands first)
//!               Asked --deadline, bad answer--> Asked   (a weighing, while tries are left)
//!                                           \-> Idle    (NoReply or Garbled)
//! ```
//! Only a weighing is tried again: a second tare on a tared plate is another command.
//! Input is examined byte by byte, so that pieces never change what is understood.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Ask, Event, Outcome, Reading, Refusal, Weigher};
use crate::line::{Line, Transmit};

/// What the bytes received so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Not yet an answer, but the beginning of one.
    More,
    /// The first so many bytes can be no part of an answer.
    Noise(usize),
    /// The first so many bytes are one answer.
    Whole(usize),
}

impl Framing {
    /// Of answers that end with CR and LF and are never longer.
    pub(super) fn of_line(input: &[u8], bytes_max: usize) -> Self {
        match input.iter().position(|&byte| byte == b'\n') {
            Some(at) if at > 0 && input[at - 1] == b'\r' => Self::Whole(at + 1),
            Some(at) => Self::Noise(at + 1),
            None if input.len() > bytes_max => Self::Noise(input.len()),
            None => Self::More,
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A weighing came to this.
    Weighed(Outcome),
    /// The command was carried out.
    Done,
    /// The command was refused.
    Refused(Refusal),
    /// The exchange goes on: send this and wait for the next answer.
    Next(Vec<u8>),
}

/// A scale protocol of one question and one answer.
pub trait Protocol: Send {
    /// The bytes that ask; the reason if they cannot be made.
    fn request(&self, ask: &Ask) -> Result<Vec<u8>, Refusal>;

    /// How long an answer may take.
    fn patience(&self, _ask: &Ask) -> Duration {
        Duration::from_millis(300)
    }

    /// Finds the first answer in what was received; never called with nothing.
    fn frame(&self, input: &[u8]) -> Framing;

    /// Understands one answer.
    fn answer(&self, ask: &Ask, frame: &[u8]) -> Answer;

    /// Whether the scale speaks without being asked.
    fn unsolicited(&self) -> bool {
        false
    }
}

/// Whether the answer is a reading; such a question may be asked again.
fn weighs(ask: &Ask) -> bool {
    match ask {
        Ask::Weigh | Ask::Price(_) => true,
        Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare => false,
    }
}

/// How often a scale is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Weigh again and again at this distance; `None` weighs on request only.
    pub every: Option<Duration>,
    /// How many times a weighing is asked before it counts as failed.
    pub tries: u8,
}

impl Default for Pace {
    /// Every 200 ms, three tries.
    fn default() -> Self {
        Self { every: Some(Duration::from_millis(200)), tries: 3 }
    }
}

/// No answer of any protocol here is longer.
const ANSWER_BYTES_MAX: usize = 96;
/// Questions that may wait; a till asks one at a time.
const ASKS_MAX: usize = 8;
/// Events kept for an owner that does not collect them.
const EVENTS_MAX: usize = 64;

#[derive(Debug)]
struct Asked {
    ask: Ask,
    tries_left: u8,
    until: Instant,
    noisy: bool,
    /// Whether an answer was awaited in vain before.
    again: bool,
}

/// A scale that answers questions.
#[derive(Debug)]
pub struct Scale<P> {
    protocol: P,
    pace: Pace,
    asked: Option<Asked>,
    waiting: VecDeque<Ask>,
    next_poll: Option<Instant>,
    input: Vec<u8>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl<P: Protocol> Scale<P> {
    /// A scale that speaks `protocol`.
    pub fn new(protocol: P, pace: Pace) -> Self {
        Self {
            protocol,
            pace,
            asked: None,
            waiting: VecDeque::new(),
            next_poll: None,
            input: Vec::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn start_next(&mut self, now: Instant) {
        if self.asked.is_some() {
            return;
        }
        let due = self.next_poll.is_some_and(|at| at <= now);
        let Some(ask) = self.waiting.pop_front().or_else(|| due.then_some(Ask::Weigh)) else {
            return;
        };
        if let (Ask::Weigh, Some(every)) = (&ask, self.pace.every) {
            self.next_poll = Some(now + every);
        }
        let tries = if weighs(&ask) { self.pace.tries.max(1) } else { 1 };
        self.send_request(ask, tries, false, now);
    }

    fn send_request(&mut self, ask: Ask, tries: u8, again: bool, now: Instant) {
        match self.protocol.request(&ask) {
            Ok(bytes) => {
                self.input.clear();
                self.out.push_back(Transmit::request(bytes));
                let until = now + self.protocol.patience(&ask);
                let tries_left = tries.saturating_sub(1);
                self.asked = Some(Asked { ask, tries_left, until, noisy: false, again });
            }
            Err(why) => self.tell(Event::Refused { ask, why }),
        }
    }

    fn take_frame(&mut self, frame: Vec<u8>, now: Instant) {
        let Some(asked) = self.asked.take() else {
            if self.protocol.unsolicited()
                && let Answer::Weighed(outcome) = self.protocol.answer(&Ask::Weigh, &frame)
            {
                self.tell(Event::Reading(Reading { outcome, at: now, raw: frame, is_first: true }));
            }
            return;
        };
        match self.protocol.answer(&asked.ask, &frame) {
            Answer::Weighed(Outcome::Garbled) if asked.tries_left > 0 => {
                self.send_request(asked.ask, asked.tries_left, true, now);
            }
            Answer::Weighed(outcome) if weighs(&asked.ask) => {
                let is_first = !asked.again && !asked.noisy;
                self.tell(Event::Reading(Reading { outcome, at: now, raw: frame, is_first }));
            }
            Answer::Weighed(_) => {
                self.tell(Event::Refused { ask: asked.ask, why: Refusal::Garbled });
            }
            Answer::Done => self.tell(Event::Done(asked.ask)),
            Answer::Refused(why) => self.tell(Event::Refused { ask: asked.ask, why }),
            Answer::Next(bytes) => {
                self.out.push_back(Transmit::plain(bytes));
                self.asked =
                    Some(Asked { until: now + self.protocol.patience(&asked.ask), ..asked });
            }
        }
    }

    fn fail(&mut self, asked: Asked, now: Instant) {
        let (outcome, why) = if asked.noisy {
            (Outcome::Garbled, Refusal::Garbled)
        } else {
            (Outcome::NoReply, Refusal::NoReply)
        };
        if weighs(&asked.ask) {
            let raw = std::mem::take(&mut self.input);
            self.tell(Event::Reading(Reading { outcome, at: now, raw, is_first: false }));
        } else {
            self.tell(Event::Refused { ask: asked.ask, why });
        }
    }

    fn take_byte(&mut self, byte: u8, now: Instant) {
        self.input.push(byte);
        while !self.input.is_empty() {
            let noise = match self.protocol.frame(&self.input) {
                Framing::More if self.input.len() < ANSWER_BYTES_MAX => return,
                Framing::More => self.input.len(),
                Framing::Noise(count) => count.clamp(1, self.input.len()),
                Framing::Whole(count) => {
                    let rest = self.input.split_off(count.clamp(1, self.input.len()));
                    let frame = std::mem::replace(&mut self.input, rest);
                    self.take_frame(frame, now);
                    continue;
                }
            };
            self.input.drain(..noise);
            if let Some(asked) = &mut self.asked {
                asked.noisy = true;
            }
        }
    }
}

impl<P: Protocol> Line for Scale<P> {
    type Event = Event;

    fn handle_opened(&mut self, now: Instant) {
        self.input.clear();
        self.out.clear();
        self.asked = None;
        self.next_poll = self.pace.every.map(|_| now);
        self.start_next(now);
    }

    fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        for &byte in bytes {
            self.take_byte(byte, now);
        }
        self.start_next(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(asked) = self.asked.take_if(|asked| asked.until <= now) {
            if asked.tries_left > 0 {
                self.send_request(asked.ask, asked.tries_left, true, now);
            } else {
                self.fail(asked, now);
            }
        }
        self.start_next(now);
    }

    fn handle_hangup(&mut self, now: Instant) {
        self.next_poll = None;
        self.out.clear();
        self.input.clear();
        for ask in
            self.asked.take().map(|asked| asked.ask).into_iter().chain(self.waiting.split_off(0))
        {
            if !weighs(&ask) {
                self.tell(Event::Refused { ask, why: Refusal::NoReply });
            }
        }
        let outcome = Outcome::Disconnected;
        let raw = Vec::new();
        self.tell(Event::Reading(Reading { outcome, at: now, raw, is_first: false }));
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.asked {
            Some(asked) => Some(asked.until),
            None => self.next_poll,
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

impl<P: Protocol> Weigher for Scale<P> {
    fn ask(&mut self, ask: Ask, now: Instant) {
        // What it sends next by itself is the answer; a question would throw half of it away.
        if self.protocol.unsolicited() && ask == Ask::Weigh {
            return;
        }
        if self.waiting.len() >= ASKS_MAX {
            self.tell(Event::Refused { ask, why: Refusal::Busy });
            return;
        }
        self.waiting.push_back(ask);
        self.start_next(now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::toledo::Toledo8217;
    use super::*;
    use crate::line::start;

    fn scale(every: Option<Duration>) -> (Scale<Toledo8217>, Instant) {
        let now = start();
        let mut scale = Scale::new(Toledo8217::default(), Pace { every, tries: 3 });
        scale.handle_opened(now);
        (scale, now)
    }

    fn outcome(scale: &mut Scale<Toledo8217>) -> Option<Outcome> {
        match scale.poll_event()? {
            Event::Reading(reading) => Some(reading.outcome),
            Event::Done(_) | Event::Refused { .. } => None,
        }
    }

    #[test]
    fn a_silent_scale_is_asked_three_times_and_then_reported() {
        let (mut scale, now) = scale(None);
        scale.ask(Ask::Weigh, now);
        let mut asked = 0;
        while let Some(at) = scale.poll_timeout() {
            asked += usize::from(scale.poll_transmit().is_some());
            assert_eq!(scale.poll_event(), None);
            scale.handle_timeout(at);
        }
        assert_eq!((asked, outcome(&mut scale)), (3, Some(Outcome::NoReply)));
    }

    #[test]
    fn a_wrong_line_setting_shows_as_garbage_and_not_as_silence() {
        let (mut scale, now) = scale(None);
        scale.ask(Ask::Weigh, now);
        while let Some(at) = scale.poll_timeout() {
            scale.poll_transmit();
            // "STX 01.250 CR" sent with even parity and read as eight bits.
            scale.handle_input(b"\x82\x30\xb1\x2e\xb2\x35\x30\x8d", now);
            scale.handle_timeout(at);
        }
        assert_eq!(outcome(&mut scale), Some(Outcome::Garbled));
    }

    #[test]
    fn an_answer_that_came_only_when_asked_again_is_told_as_such() {
        let firsts = |lost: &[u8]| {
            let (mut scale, now) = scale(None);
            scale.ask(Ask::Weigh, now);
            scale.handle_input(lost, now);
            scale.handle_timeout(now + Duration::from_secs(1));
            scale.handle_input(b"\x02?\x00\r", now + Duration::from_secs(1));
            let Some(Event::Reading(reading)) = scale.poll_event() else { panic!("no reading") };
            assert_eq!(reading.outcome, Outcome::Unchanged { kind: super::super::Kind::Gross });
            reading.is_first
        };
        assert!(!firsts(b""), "a lost answer");
        assert!(!firsts(b"\x0201.2x0\r"), "a garbled answer");
    }

    #[test]
    fn a_tare_is_never_sent_twice() {
        let (mut scale, now) = scale(None);
        scale.ask(Ask::Tare, now);
        assert!(scale.poll_transmit().is_some());
        scale.handle_timeout(now + Duration::from_secs(1));
        assert_eq!(scale.poll_transmit(), None);
        assert_eq!(
            scale.poll_event(),
            Some(Event::Refused { ask: Ask::Tare, why: Refusal::NoReply })
        );
    }

    #[test]
    fn a_poll_follows_the_last_one_at_its_distance() {
        let (mut scale, now) = scale(Some(Duration::from_millis(200)));
        assert_eq!(scale.poll_transmit().unwrap().bytes, b"W");
        scale.handle_input(b"\x0201.250\r", now + Duration::from_millis(20));
        assert_eq!(scale.poll_timeout(), Some(now + Duration::from_millis(200)));
        scale.handle_timeout(now + Duration::from_millis(200));
        assert_eq!(scale.poll_transmit().unwrap().bytes, b"W");
    }

    #[test]
    fn an_answer_nobody_asked_for_is_no_reading() {
        let (mut scale, now) = scale(None);
        scale.handle_input(b"\x0201.250\r", now);
        assert_eq!(scale.poll_event(), None);
    }

    #[test]
    fn a_hang_up_is_a_reading_without_a_number() {
        let (mut scale, now) = scale(Some(Duration::from_millis(200)));
        scale.handle_hangup(now);
        assert_eq!(outcome(&mut scale), Some(Outcome::Disconnected));
        assert_eq!(scale.poll_timeout(), None);
    }

    #[test]
    fn a_flood_of_questions_is_refused_and_not_stored() {
        let (mut scale, now) = scale(None);
        for _ in 0..100 {
            scale.ask(Ask::Zero, now);
        }
        assert!(scale.waiting.len() <= ASKS_MAX && scale.events.len() <= EVENTS_MAX);
    }
}
