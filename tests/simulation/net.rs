//! The network: messages get lost, doubled, late and overtaken; lines are cut.

use std::fmt;

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use storebox_proto::feed::position::Position;
use storebox_proto::ids::{Hash32, TxKey};
use storebox_proto::ticket::settle::KeyedAnswer;
use storebox_proto::ticket::{Answer, Envelope, Receipt};

use crate::queue::Ms;

/// Who sends or receives; a restart is a new life, and what was sent to the old one is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Main { life: u32 },
    Store { number: usize, life: u32 },
    Storage,
}

/// What is said between boxes, and between them and the main server.
#[derive(Clone)]
pub(crate) enum Message {
    AskHead {
        after: Option<Position>,
        wait: bool,
        whole: bool,
    },
    Probe,
    Alive,
    Head {
        bytes: Option<Bytes>,
    },
    AskObject {
        name: Hash32,
    },
    Object {
        name: Hash32,
        bytes: Option<Bytes>,
    },
    /// Transactions, each with the box that accepted it.
    Settle {
        batch: u64,
        envelopes: Vec<Envelope>,
        origins: Vec<usize>,
    },
    Settled {
        batch: u64,
        answers: Vec<KeyedAnswer>,
    },
    AskKeys {
        batch: u64,
        keys: Vec<TxKey>,
    },
    Known {
        batch: u64,
        receipts: Vec<Receipt>,
    },
    /// Between a box and its mirror.
    Hold {
        copies: Vec<Envelope>,
    },
    Holds {
        keys: Vec<TxKey>,
    },
    AskCopies,
    Copies {
        copies: Vec<Envelope>,
    },
    LetGo {
        keys: Vec<TxKey>,
    },
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AskHead { after: Some(at), wait, .. } => {
                write!(f, "head after {at}, wait {wait}?")
            }
            Self::AskHead { after: None, wait, whole } => {
                write!(f, "head, wait {wait}, whole {whole}?")
            }
            Self::Probe => f.write_str("there?"),
            Self::Alive => f.write_str("there"),
            Self::Head { bytes } => write!(f, "head {:?}", bytes.as_ref().map(|b| Hash32::of(b))),
            Self::AskObject { name } => write!(f, "object {name:?}?"),
            Self::Object { name, bytes } => {
                write!(f, "object {name:?} {:?}", bytes.as_ref().map(|b| Hash32::of(b)))
            }
            Self::Settle { batch, envelopes, .. } => {
                let keys: Vec<&TxKey> = envelopes.iter().map(|envelope| &envelope.key).collect();
                write!(f, "settle batch {batch} {keys:?}")
            }
            Self::Settled { batch, answers } => {
                let taken = |answer: &KeyedAnswer| match answer.answer {
                    Answer::Taken { .. } => 'T',
                    Answer::Later { .. } => 'L',
                    Answer::Refused { .. } => 'R',
                };
                write!(f, "settled batch {batch} {}", answers.iter().map(taken).collect::<String>())
            }
            Self::Hold { copies } => write!(f, "hold {} copies", copies.len()),
            Self::Holds { keys } => write!(f, "holds {keys:?}"),
            Self::AskCopies => f.write_str("which copies?"),
            Self::Copies { copies } => write!(f, "{} copies", copies.len()),
            Self::LetGo { keys } => write!(f, "let go {keys:?}"),
            Self::AskKeys { batch, keys } => write!(f, "question {batch}: have {keys:?}?"),
            Self::Known { batch, receipts } => {
                let keys: Vec<&TxKey> = receipts.iter().map(|receipt| &receipt.key).collect();
                write!(f, "question {batch}: have {keys:?}")
            }
        }
    }
}

/// The lines between the stores and the main server.
pub(crate) struct Net {
    up: Vec<bool>,
    /// Boxes whose cable is out of the shop's own network.
    alone: Vec<bool>,
    main_up: bool,
    main_life: u32,
    lost_percent: u32,
    doubled_percent: u32,
    late_ms: Ms,
}

impl Net {
    pub(crate) fn new(stores: usize, rng: &mut ChaCha8Rng) -> Self {
        Self {
            up: vec![true; stores],
            alone: vec![false; stores],
            main_up: true,
            main_life: 1,
            lost_percent: rng.random_range(0..25),
            doubled_percent: rng.random_range(0..15),
            late_ms: rng.random_range(10..3000),
        }
    }

    pub(crate) fn main(&self) -> Place {
        Place::Main { life: self.main_life }
    }

    /// Cuts a line or brings it back; tells whether it is up now.
    pub(crate) fn toggle(&mut self, store: usize) -> bool {
        self.up[store] = !self.up[store];
        self.up[store]
    }

    /// Cuts a line, whether it was up or not.
    pub(crate) fn cut(&mut self, store: usize) {
        self.up[store] = false;
    }

    /// Pulls a box out of the shop's own network or plugs it in again.
    pub(crate) fn toggle_lan(&mut self, store: usize) {
        self.alone[store] = !self.alone[store];
    }

    pub(crate) fn toggle_main(&mut self) {
        self.main_up = !self.main_up;
        self.main_life += 1;
    }

    /// From now on everything arrives, quickly and once.
    pub(crate) fn heal(&mut self) {
        self.up.fill(true);
        self.alone.fill(false);
        self.main_up = true;
        (self.lost_percent, self.doubled_percent, self.late_ms) = (0, 0, 10);
    }

    /// When a message arrives: never, once or twice.
    pub(crate) fn delays(&self, from: &Place, to: &Place, rng: &mut ChaCha8Rng) -> Vec<Ms> {
        if !self.is_up(from, to) || rng.random_range(0..100) < self.lost_percent {
            return vec![];
        }
        let copies = if rng.random_range(0..100) < self.doubled_percent { 2 } else { 1 };
        (0..copies).map(|_| 1 + rng.random_range(0..self.late_ms)).collect()
    }

    /// Whether a message that was under way still reaches its end.
    pub(crate) fn delivers(&self, to: &Place, from: &Place) -> bool {
        let to_now = match to {
            Place::Main { life } => *life == self.main_life,
            Place::Store { .. } | Place::Storage => true,
        };
        to_now && self.is_up(from, to)
    }

    pub(crate) fn is_up(&self, from: &Place, to: &Place) -> bool {
        match (from, to) {
            (Place::Store { number, .. }, Place::Store { number: other, .. }) => {
                !self.alone[*number] && !self.alone[*other]
            }
            (Place::Store { number, .. }, Place::Main { .. })
            | (Place::Main { .. }, Place::Store { number, .. }) => self.main_up && self.up[*number],
            (Place::Store { number, .. }, _) | (_, Place::Store { number, .. }) => self.up[*number],
            (Place::Main { .. } | Place::Storage, Place::Main { .. } | Place::Storage) => true,
        }
    }
}
