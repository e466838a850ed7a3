//! What a scale says, and what can be asked of it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Weight;

/// Something to ask a scale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// What is on the plate?
    Weigh,
    /// What is on the plate, and what does it cost?
    Price(PricedAsk),
    /// Call the empty plate zero.
    Zero,
    /// Take what is on the plate for the container.
    Tare,
    /// Take this weight for the container.
    TareBy(Weight),
    /// Forget the container.
    ClearTare,
}

/// A question to a price-computing scale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedAsk {
    /// Price per unit of weight, in minor units of the shop's currency.
    pub unit_price: u32,
    /// The container, in the scale's smallest tare steps (grams for a kilogram scale).
    pub tare: Option<u16>,
    /// The article's name for the scale's display.
    pub text: Option<String>,
}

/// What a number on the scale stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Everything on the plate.
    Gross,
    /// Everything on the plate less the container.
    Net,
    /// The protocol does not tell.
    Unstated,
}

/// A price computed by the scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priced {
    /// Price per unit of weight, in minor units.
    pub unit_price: u32,
    /// The price to pay, in minor units.
    pub amount: u32,
}

impl Priced {
    /// Whether the amount is what this weight costs.
    ///
    /// Rounding rules differ by country; a whole minor unit of difference is none of them.
    #[must_use]
    pub fn is_plausible(&self, weight: Weight) -> bool {
        let grams = weight.mantissa_at(3).and_then(|grams| u64::try_from(grams).ok());
        grams
            .and_then(|grams| grams.checked_mul(u64::from(self.unit_price)))
            .is_some_and(|exact| exact.abs_diff(u64::from(self.amount) * 1000) < 1000)
    }
}

/// A number the scale sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// The weight, exactly as sent.
    pub weight: Weight,
    /// Gross or net.
    pub kind: Kind,
    /// Whether the scale says the plate is at its zero, where the protocol tells.
    pub at_zero: Option<bool>,
    /// The price, from a price-computing scale.
    pub priced: Option<Priced>,
}

/// What one weighing came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// Settled and in range: the only outcome to sell by.
    Stable(Measured),
    /// Not settled; the number, where there is one, is for a display only.
    InMotion {
        /// What the scale shows meanwhile.
        shown: Option<Measured>,
    },
    /// No new weighing since the last one the scale reported.
    Unchanged {
        /// What that one stood for: a tare in between makes it another.
        kind: Kind,
    },
    /// Nothing lies on it.
    Empty,
    /// Below zero.
    UnderZero,
    /// More than the scale can carry.
    OverCapacity,
    /// Less than the scale may be used for.
    BelowMinimum,
    /// The plate must be emptied and set to zero first.
    OutsideZeroRange,
    /// The scale cannot answer now; ask again.
    NotReady,
    /// The scale computes with another unit price than was asked for; it is keyed in there.
    OtherPrice {
        /// Its unit price, in minor units.
        unit_price: u32,
    },
    /// The scale demands a proof that was not provisioned, or refused the one given.
    NeedsApproval,
    /// The scale reports a fault of its own.
    DeviceError {
        /// Its code, in the numbering of its protocol.
        code: u16,
    },
    /// Bytes came that are no valid answer: wrong check, wrong form, or wrong line settings.
    Garbled,
    /// Nothing came, after every retry.
    NoReply,
    /// The port is gone.
    Disconnected,
}

/// One answer of a scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it came to.
    pub outcome: Outcome,
    /// When the answer was complete.
    pub at: Instant,
    /// The answer's bytes, to be kept with the sale for an audit.
    pub raw: Vec<u8>,
    /// Whether it is the answer to the first question, with nothing garbled before it: otherwise
    /// the scale may have told another weight meanwhile, which did not arrive.
    pub is_first: bool,
}

impl Reading {
    /// The number to sell by: settled, in range and above zero. Anything else is `None`.
    #[must_use]
    pub fn sellable(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Stable(measured) if measured.weight.mantissa() > 0 => Some(measured),
            Outcome::Stable(_)
            | Outcome::InMotion { .. }
            | Outcome::Unchanged { .. }
            | Outcome::Empty
            | Outcome::UnderZero
            | Outcome::OverCapacity
            | Outcome::BelowMinimum
            | Outcome::OutsideZeroRange
            | Outcome::NotReady
            | Outcome::OtherPrice { .. }
            | Outcome::NeedsApproval
            | Outcome::DeviceError { .. }
            | Outcome::Garbled
            | Outcome::NoReply
            | Outcome::Disconnected => None,
        }
    }

    /// How old the answer is.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

/// Why a scale did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The protocol has no such command.
    #[error("ask the scale: its protocol has no such command")]
    Unsupported,
    /// The value does not fit the protocol's field.
    #[error("ask the scale: the value does not fit its protocol")]
    OutOfRange,
    /// Too many questions wait already.
    #[error("ask the scale: too many questions wait already")]
    Busy,
    /// The plate's state does not allow it (moving, loaded, below zero).
    #[error("ask the scale: it refuses in its present state")]
    NotNow,
    /// It did not answer.
    #[error("ask the scale: it did not answer")]
    NoReply,
    /// It answered with something else.
    #[error("ask the scale: its answer makes no sense")]
    Garbled,
}

/// What a scale's line reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A weighing came to an end.
    Reading(Reading),
    /// A command was carried out.
    Done(Ask),
    /// A command was not carried out.
    Refused {
        /// What was asked.
        ask: Ask,
        /// Why not.
        why: Refusal,
    },
}
