//! The contract between a device's protocol and whatever carries its bytes.
//!
//! A protocol decides; it never reads, writes, sleeps or looks at a clock.
//! It is told what arrived and what time it is, and it is asked what to send, when to wake it and
//! what happened.
//! The same core therefore runs behind a serial port, a socket, a simulator or a property test.
//!
//! Invariants every [`Line`] keeps:
//! - bytes may arrive in any pieces; how they were split never changes the events;
//! - no input panics, and no input makes memory grow past the protocol's named limits;
//! - events are kept, or what was lost is told, for up to [`INPUT_BYTES_MAX`] bytes handed over at once;
//! - after every `handle_*` call the caller drains [`Line::poll_transmit`] and
//!   [`Line::poll_event`], then waits no longer than [`Line::poll_timeout`].

use std::time::Instant;

/// Bytes that are handed to a line at once at most, for all of their events to be kept.
pub const INPUT_BYTES_MAX: usize = 1024;

/// Bytes a protocol wants on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// What to send, in order.
    pub bytes: Vec<u8>,
    /// Whether input that waits unread in the port is stale and must be thrown away first.
    ///
    /// A request sets this, so that a late answer to the previous request is not taken for its own.
    pub discard_input: bool,
}

impl Transmit {
    /// Bytes that follow what was sent before.
    #[must_use]
    pub fn plain(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), discard_input: false }
    }

    /// The start of a new question: whatever came before is no answer to it.
    #[must_use]
    pub fn request(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), discard_input: true }
    }
}

/// One device's protocol, free of effects.
pub trait Line {
    /// What the protocol tells its owner.
    type Event;

    /// The port was opened (again): the device may have lost power since the last word.
    fn handle_opened(&mut self, now: Instant);

    /// Bytes arrived, in any number of pieces.
    fn handle_input(&mut self, bytes: &[u8], now: Instant);

    /// Everything handed out by [`Line::poll_transmit`] has left this host, as far as it can tell.
    fn handle_drained(&mut self, _now: Instant) {}

    /// The time [`Line::poll_timeout`] named has come.
    fn handle_timeout(&mut self, now: Instant);

    /// The port is gone; nothing sent since the last answer can be relied on.
    fn handle_hangup(&mut self, now: Instant);

    /// The next bytes to send, if any.
    fn poll_transmit(&mut self) -> Option<Transmit>;

    /// When to call [`Line::handle_timeout`] at the latest.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next thing that happened, if any.
    fn poll_event(&mut self) -> Option<Self::Event>;
}

/// A zero for tests, which otherwise count time by hand.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test gets its zero from one place")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
