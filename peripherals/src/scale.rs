//! Scales: what a plate carries, or why nobody can say.
//!
//! The one rule of this module: a failure is never a weight.
//! A reading is a settled number, or a named state without any number to sell by; a number seen in
//! motion is kept apart, for a display only.
//! Numbers are exact integers with their decimals and unit, as the scale sent them.
//!
//! A protocol of the usual kind (one question, one answer) implements [`Protocol`] and is driven
//! by [`Scale`]; Checkout-Dialog 06 is a dialogue of its own.

pub mod and;
pub mod cas;
pub mod dialog06;
mod model;
pub mod nci;
mod poller;
mod reading;
pub mod sics;
pub mod sma;
pub mod toledo;
mod weight;

pub use model::{Model, Setup};
pub use poller::{Answer, Framing, Pace, Protocol, Scale};
pub use reading::{Ask, Event, Kind, Measured, Outcome, Priced, PricedAsk, Reading, Refusal};
pub use weight::{Unit, Weight};

use std::time::Instant;

use crate::line::Line;

/// A scale of any protocol.
pub trait Weigher: Line<Event = Event> + Send {
    /// Asks the scale for something; the answer is an event.
    fn ask(&mut self, ask: Ask, now: Instant);
}

impl Line for Box<dyn Weigher> {
    type Event = Event;

    fn handle_opened(&mut self, now: Instant) {
        (**self).handle_opened(now);
    }
    fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        (**self).handle_input(bytes, now);
    }
    fn handle_drained(&mut self, now: Instant) {
        (**self).handle_drained(now);
    }
    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }
    fn handle_hangup(&mut self, now: Instant) {
        (**self).handle_hangup(now);
    }
    fn poll_transmit(&mut self) -> Option<crate::line::Transmit> {
        (**self).poll_transmit()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }
    fn poll_event(&mut self) -> Option<Event> {
        (**self).poll_event()
    }
}

impl Weigher for Box<dyn Weigher> {
    fn ask(&mut self, ask: Ask, now: Instant) {
        (**self).ask(ask, now);
    }
}

#[cfg(test)]
mod proving;
