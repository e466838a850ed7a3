//! Checkout-Dialog 06 (and 02, 04): the price-computing dialogue of verified checkout scales.
//!
//! Source: Mettler-Toledo DIVA Service Manual p. 54–55, Ohaus Aviator 7000 p. 38–40 and 45, Cely
//! PI100 p. 18, Dibal DPOS-400.
//!
//! ```text
//! Idle --price record--> Priced --ACK--> Polling --record 02--> Idle (weighed and priced)
//!                        Priced/Polling --NAK--> Asking --record 09--> Polling (20, 22: wait)
//!                                                                   \-> Idle (any other code)
//!                        Priced --record 11 '2'--> Proving --ACK--> Verdict
//!                        Verdict --record 11 '1'--> Priced (the price again)
//!                                --record 11 '0'--> Idle (needs approval)
//! ```
//! The till always speaks first; each step waits 500 ms and is tried three times, then the line is
//! reset with EOT.
//!
//! The scale may demand a proof that the till's software is the approved one.
//! The proof's numbers are agreed between the makers and are provisioned per approval; there is no
//! default, and without them the answer to a demand is [`Outcome::NeedsApproval`].
//! Fixed numbers published elsewhere are not used: they defeat what the dialogue is for.

mod record;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use record::Approval;
use record::{Record, Reply};

use super::{Ask, Event, Kind, Measured, Outcome, PricedAsk, Reading, Refusal, Weigher};
use crate::line::{Line, Transmit};

const EOT: u8 = 0x04;
/// One step's patience; a scale answers in 2–5 ms.
const STEP: Duration = Duration::from_millis(500);
/// Pause before a moving plate is asked again.
const MOVING_PAUSE: Duration = Duration::from_millis(350);
/// How long a plate may keep moving before the weighing ends as "in motion".
const MOVING_MAX: Duration = Duration::from_secs(5);
const TRIES: u8 = 3;
/// A scale that demands proof again and again is not to be satisfied.
const PROOFS_MAX: u8 = 2;
const EVENTS_MAX: usize = 64;

/// The dialogue's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dialog06 {
    /// The provisioned numbers of this store's approval.
    pub approval: Option<Approval>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Priced,
    Polling,
    Asking,
    /// Waiting for a moving plate before polling again.
    Pausing,
    Proving,
    Verdict,
}

#[derive(Debug)]
struct Talk {
    ask: PricedAsk,
    step: Step,
    tries_left: u8,
    proofs_left: u8,
    until: Instant,
    give_up: Instant,
    challenge: u8,
}

/// A scale that speaks Checkout-Dialog 06.
#[derive(Debug)]
pub struct DialogScale {
    settings: Dialog06,
    talk: Option<Talk>,
    input: Vec<u8>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl DialogScale {
    /// A scale with the given settings.
    #[must_use]
    pub fn new(settings: Dialog06) -> Self {
        Self {
            settings,
            talk: None,
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

    fn finish(&mut self, outcome: Outcome, raw: Vec<u8>, now: Instant) {
        self.talk = None;
        self.out.push_back(Transmit::plain([EOT]));
        self.tell(Event::Reading(Reading { outcome, at: now, raw, is_first: true }));
    }

    /// Enters a step with fresh tries and sends its record.
    fn enter(&mut self, mut talk: Talk, step: Step, now: Instant) {
        talk.step = step;
        talk.tries_left = TRIES;
        self.send_step(talk, now);
    }

    fn send_step(&mut self, mut talk: Talk, now: Instant) {
        let bytes = match talk.step {
            Step::Priced => record::price(&talk.ask),
            Step::Polling | Step::Verdict => Some(record::poll()),
            Step::Asking => Some(record::why()),
            Step::Pausing => None,
            Step::Proving => self
                .settings
                .approval
                .as_ref()
                .map(|approval| record::proof(approval, talk.challenge)),
        };
        talk.tries_left = talk.tries_left.saturating_sub(1);
        talk.until = now + if talk.step == Step::Pausing { MOVING_PAUSE } else { STEP };
        if let Some(bytes) = bytes {
            self.input.clear();
            self.out.push_back(Transmit::request(bytes));
        }
        self.talk = Some(talk);
    }

    fn take_reply(&mut self, reply: Reply, raw: Vec<u8>, now: Instant) {
        let Some(mut talk) = self.talk.take() else { return };
        match (talk.step, reply) {
            (Step::Priced, Reply::Ack) => self.enter(talk, Step::Polling, now),
            (Step::Proving, Reply::Ack) => self.enter(talk, Step::Verdict, now),
            (Step::Priced | Step::Polling, Reply::Nak) => self.enter(talk, Step::Asking, now),
            (Step::Priced | Step::Polling, Reply::Record(Record::Challenge(challenge))) => {
                if self.settings.approval.is_none() || talk.proofs_left == 0 {
                    return self.finish(Outcome::NeedsApproval, raw, now);
                }
                talk.proofs_left -= 1;
                talk.challenge = challenge;
                self.enter(talk, Step::Proving, now);
            }
            (Step::Verdict, Reply::Record(Record::Verdict { valid: true })) => {
                self.enter(talk, Step::Priced, now);
            }
            (Step::Verdict, Reply::Record(Record::Verdict { valid: false })) => {
                self.finish(Outcome::NeedsApproval, raw, now);
            }
            (Step::Polling, Reply::Record(Record::Result(measured))) => {
                let outcome = checked(&talk.ask, measured);
                self.finish(outcome, raw, now);
            }
            (Step::Polling | Step::Asking | Step::Verdict, Reply::Record(Record::Status(code))) => {
                self.take_status(talk, code, raw, now);
            }
            // An answer to another question, or one of a record nobody defined.
            _ => self.talk = Some(talk),
        }
    }

    fn take_status(&mut self, talk: Talk, code: u16, raw: Vec<u8>, now: Instant) {
        let waits = matches!(code, 20 | 22) && now < talk.give_up;
        if waits {
            return self.enter(talk, Step::Pausing, now);
        }
        let outcome = match code {
            20 => Outcome::InMotion { shown: None },
            21 => Outcome::Unchanged { kind: Kind::Unstated },
            22 => Outcome::NotReady,
            30 => Outcome::BelowMinimum,
            31 => Outcome::UnderZero,
            32 => Outcome::OverCapacity,
            code => Outcome::DeviceError { code },
        };
        self.finish(outcome, raw, now);
    }

    fn take_byte(&mut self, byte: u8, now: Instant) {
        self.input.push(byte);
        // A broken record is waited out: the step's own time-out asks again.
        if let Some((Some(reply), raw)) = record::take(&mut self.input) {
            self.take_reply(reply, raw, now);
        }
    }
}

/// A result is believed only if it answers this question and its arithmetic is right.
fn checked(ask: &PricedAsk, measured: Measured) -> Outcome {
    let Some(priced) = measured.priced else { return Outcome::Garbled };
    if priced.unit_price == ask.unit_price && priced.is_plausible(measured.weight) {
        Outcome::Stable(measured)
    } else {
        Outcome::Garbled
    }
}

impl Line for DialogScale {
    type Event = Event;

    fn handle_opened(&mut self, _now: Instant) {
        self.input.clear();
        self.talk = None;
        self.out.clear();
        self.out.push_back(Transmit::request([EOT]));
    }

    fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        for &byte in bytes {
            self.take_byte(byte, now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let Some(talk) = self.talk.take_if(|talk| talk.until <= now) else { return };
        match talk.step {
            Step::Pausing => self.enter(talk, Step::Polling, now),
            Step::Priced | Step::Polling | Step::Asking | Step::Proving | Step::Verdict
                if talk.tries_left > 0 =>
            {
                self.send_step(talk, now);
            }
            Step::Priced | Step::Polling | Step::Asking | Step::Proving | Step::Verdict => {
                let raw = std::mem::take(&mut self.input);
                let outcome = if raw.is_empty() { Outcome::NoReply } else { Outcome::Garbled };
                self.finish(outcome, raw, now);
            }
        }
    }

    fn handle_hangup(&mut self, now: Instant) {
        self.talk = None;
        self.out.clear();
        self.input.clear();
        let outcome = Outcome::Disconnected;
        self.tell(Event::Reading(Reading { outcome, at: now, raw: Vec::new(), is_first: true }));
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.talk.as_ref().map(|talk| talk.until)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

impl Weigher for DialogScale {
    fn ask(&mut self, ask: Ask, now: Instant) {
        let why = match &ask {
            Ask::Price(_) if self.talk.is_some() => Refusal::Busy,
            Ask::Price(priced) if record::price(priced).is_none() => Refusal::OutOfRange,
            Ask::Price(priced) => {
                let talk = Talk {
                    ask: priced.clone(),
                    step: Step::Priced,
                    tries_left: TRIES,
                    proofs_left: PROOFS_MAX,
                    until: now,
                    give_up: now + MOVING_MAX,
                    challenge: 0,
                };
                return self.enter(talk, Step::Priced, now);
            }
            Ask::Weigh | Ask::Zero | Ask::Tare | Ask::TareBy(_) | Ask::ClearTare => {
                Refusal::Unsupported
            }
        };
        self.tell(Event::Refused { ask, why });
    }
}

#[cfg(test)]
mod tests;
