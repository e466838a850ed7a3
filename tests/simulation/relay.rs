//! Transactions that go through a neighbour because the own line is cut, in the simulated world.
//!
//! The driver's part of `uplink/relay` in the box: guests lie in the neighbour's outbox with the receipt of the box
//! that sold them, and that box keeps its own until it has head office's word.

use storebox_proto::ids::TxKey;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::settle::KeyedAnswer;
use storebox_proto::ticket::{Answer, Envelope};

use crate::net::{Message, Place};
use crate::world::World;

/// A batch of a neighbour that is answered when it is on the disk.
pub(crate) struct Passed {
    to: Place,
    batch: u64,
    answers: Vec<(TxKey, Option<Answer>)>,
}

impl World {
    /// Where a box goes that does not reach head office: to the first neighbour that runs and that it reaches.
    pub(crate) fn way_around(&self, number: usize) -> Option<Place> {
        let here = Place::Store { number, life: self.stores[number].life };
        (0..self.stores.len()).filter(|other| *other != number).find_map(|other| {
            let there = Place::Store { number: other, life: self.stores[other].life };
            (self.stores[other].up && self.net.is_up(&here, &there)).then_some(there)
        })
    }

    /// A neighbour wants something passed on; tells whether it did.
    pub(crate) fn serve_neighbour(
        &mut self,
        number: usize,
        from: Place,
        message: &Message,
    ) -> bool {
        let Place::Store { number: caller, .. } = from else { return false };
        if self.hear_copies(number, caller, message) {
            return true;
        }
        let here = Place::Store { number, life: self.stores[number].life };
        match message {
            Message::Settle { batch, envelopes, origins } => {
                self.pass_on(number, from, *batch, envelopes, origins);
            }
            Message::AskKeys { batch, keys } => {
                let receipts = self.stores[number].sales.receipts(keys);
                self.send(here, from, Message::Known { batch: *batch, receipts });
            }
            Message::AskHead { .. }
            | Message::Probe
            | Message::Alive
            | Message::Head { .. }
            | Message::AskObject { .. }
            | Message::Object { .. }
            | Message::Settled { .. }
            | Message::Known { .. }
            | Message::Hold { .. }
            | Message::Holds { .. }
            | Message::AskCopies
            | Message::Copies { .. }
            | Message::LetGo { .. } => return false,
        }
        true
    }

    fn pass_on(
        &mut self,
        number: usize,
        from: Place,
        batch: u64,
        envelopes: &[Envelope],
        origins: &[usize],
    ) {
        let here = Place::Store { number, life: self.stores[number].life };
        let clock = self.stores[number].clock(self.queue.now());
        let is_open = self.net.is_up(&here, &self.net.main());
        let (mut answers, mut untaken) = (Vec::new(), Vec::<&Envelope>::new());
        for (envelope, origin) in envelopes.iter().zip(origins) {
            let sales = &mut self.stores[number].sales;
            let answer = if !is_open {
                Some(later(Code::Busy))
            } else if untaken.iter().any(|before| envelope.waits_for(before)) {
                Some(later(Code::DependencyMissing))
            } else {
                sales.take_guest(envelope, *origin, number, clock)
            };
            if matches!(answer, Some(Answer::Refused { .. } | Answer::Later { .. })) {
                untaken.push(envelope);
            }
            answers.push((envelope.key, answer));
        }
        self.stores[number].passed.push(Passed { to: from, batch, answers });
        self.flush_soon(number);
    }

    /// What was passed on is on the disk: its boxes hear what has come of it so far.
    pub(crate) fn answer_passed(&mut self, number: usize) {
        let here = Place::Store { number, life: self.stores[number].life };
        for Passed { to, batch, answers } in std::mem::take(&mut self.stores[number].passed) {
            let answers = answers.into_iter().map(|(key, answer)| KeyedAnswer {
                key,
                answer: answer.unwrap_or_else(|| later(Code::PassedOn)),
            });
            let message = Message::Settled { batch, answers: answers.collect() };
            self.send(here, to, message);
        }
    }
}

fn later(code: Code) -> Answer {
    Answer::Later { problem: Problem::new(code, "said by the simulated neighbour") }
}
