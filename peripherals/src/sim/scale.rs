//! A scale with an imagined plate.
//!
//! It answers in the words of its protocol, written from the same documents as the drivers but
//! from the other side: the driver reads fields, this builds them.

mod answers;

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::script::Script;
use crate::line::{Line, Transmit};
use crate::scale::Model;

/// Grams the imagined scale can carry.
pub const CAPACITY_GRAMS: i32 = 15_000;
/// The longest command of any protocol here.
const COMMAND_BYTES_MAX: usize = 64;

/// What happens at the plate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// So many grams lie on it, settled.
    Put(i32),
    /// What lies on it moves.
    Move,
    /// It settles.
    Settle,
    /// The scale answers nothing any more.
    Mute,
    /// The scale answers again.
    Speak,
    /// The next answer is garbled.
    Garble,
    /// A Dialog 06 scale demands its proof before the next price; [`ScaleSim::PROOF`] is right.
    Challenge,
}

/// A text that names no act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("act on the scale: it must be a weight in kilograms such as 1.250, or a word")]
pub struct UnknownAct;

impl FromStr for Act {
    type Err = UnknownAct;

    fn from_str(text: &str) -> Result<Self, UnknownAct> {
        Ok(match text {
            "moving" => Self::Move,
            "settled" => Self::Settle,
            "mute" => Self::Mute,
            "speak" => Self::Speak,
            "garble" => Self::Garble,
            "challenge" => Self::Challenge,
            kilograms => {
                let unit = crate::scale::Unit::Kilogram;
                let weight = crate::scale::Weight::parse(kilograms.as_bytes(), unit);
                let grams = weight.and_then(|weight| weight.mantissa_at(3)).ok_or(UnknownAct)?;
                Self::Put(i32::try_from(grams).map_err(|_| UnknownAct)?)
            }
        })
    }
}

/// The plate and what the scale thinks of it.
#[derive(Debug, Clone, Default)]
struct Plate {
    grams: i32,
    moving: bool,
    tare: i32,
    /// Whether the present weight was reported; a 8217 then says "nothing new".
    reported: bool,
}

impl Plate {
    fn over(&self) -> bool {
        self.grams > CAPACITY_GRAMS
    }

    fn under(&self) -> bool {
        self.grams < 0
    }

    fn net(&self) -> i32 {
        self.grams - self.tare
    }
}

/// How far a Dialog 06 scale is with its demand for a proof.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Proof {
    #[default]
    NotWanted,
    /// The next price is answered by the demand.
    Wanted,
    /// A proof came, right or not; the next poll tells.
    Given { valid: bool },
}

/// A simulated scale.
#[derive(Debug)]
pub struct ScaleSim {
    model: Model,
    plate: Plate,
    mute: bool,
    garble: bool,
    input: Vec<u8>,
    /// The unit price of a price-computing dialogue.
    unit_price: Option<u32>,
    refused: Option<u8>,
    proof: Proof,
    received: u64,
    script: Script<Act>,
    started: Option<Instant>,
    next_stream: Option<Instant>,
    out: VecDeque<Transmit>,
}

/// A scale has nothing to tell but on its wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {}

const STREAM_EVERY: Duration = Duration::from_millis(100);

impl ScaleSim {
    /// The pair of numbers that a simulated Dialog 06 scale accepts as its approval.
    pub const PROOF: (u16, u16) = (0x1A2B, 0x3C4D);
    /// The price per kilogram that is keyed in at a simulated CAS scale, in minor units.
    pub const KEYED_PRICE: u32 = 1234;

    /// An empty scale of a model.
    #[must_use]
    pub fn new(model: Model, script: Script<Act>) -> Self {
        Self {
            model,
            plate: Plate::default(),
            mute: false,
            garble: false,
            input: Vec::new(),
            unit_price: None,
            refused: None,
            proof: Proof::default(),
            received: 0,
            script,
            started: None,
            next_stream: None,
            out: VecDeque::new(),
        }
    }

    /// Does something to it.
    pub fn act(&mut self, act: Act) {
        match act {
            Act::Put(grams) => {
                self.plate.grams = grams;
                self.plate.moving = false;
                self.plate.reported = false;
            }
            Act::Move => {
                self.plate.moving = true;
                self.plate.reported = false;
            }
            Act::Settle => self.plate.moving = false,
            Act::Mute => self.mute = true,
            Act::Speak => self.mute = false,
            Act::Garble => self.garble = true,
            Act::Challenge => self.proof = Proof::Wanted,
        }
    }

    fn answer(&mut self, mut bytes: Vec<u8>) {
        if self.mute || bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.garble) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x51;
        }
        self.out.push_back(Transmit::plain(bytes));
    }

    fn streams(&self) -> bool {
        matches!(self.model, Model::CasStream | Model::AndStream)
    }

    fn run_script(&mut self, now: Instant) {
        let elapsed = self.started.map_or(Duration::ZERO, |from| now.duration_since(from));
        for act in self.script.take_due(self.received, elapsed) {
            self.act(act);
        }
    }
}

impl Line for ScaleSim {
    type Event = Event;

    fn handle_opened(&mut self, now: Instant) {
        self.started.get_or_insert(now);
        self.next_stream = self.streams().then_some(now);
        self.run_script(now);
    }

    fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        for byte in bytes {
            self.received += 1;
            self.run_script(now);
            if self.input.len() >= COMMAND_BYTES_MAX {
                self.input.clear();
            }
            self.input.push(*byte);
            if let Some(answer) = self.take_command() {
                self.input.clear();
                self.answer(answer);
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.run_script(now);
        if self.next_stream.is_some_and(|at| at <= now) {
            self.next_stream = Some(now + STREAM_EVERY);
            let frame = self.stream_frame();
            self.answer(frame);
        }
    }

    fn handle_hangup(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let script = self.started.zip(self.script.next_time()).map(|(from, after)| from + after);
        [script, self.next_stream].into_iter().flatten().min()
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }
}

#[cfg(test)]
mod tests;
