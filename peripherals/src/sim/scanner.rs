//! A barcode scanner that reads what it is told.

use std::collections::VecDeque;
use std::time::Instant;

use crate::line::{Line, Transmit};
use crate::scanner::Framing;

/// A simulated scanner.
#[derive(Debug)]
pub struct ScannerSim {
    framing: Framing,
    out: VecDeque<Transmit>,
    acknowledged: u32,
}

/// The till acknowledged a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged;

impl ScannerSim {
    /// A scanner of this set-up.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, out: VecDeque::new(), acknowledged: 0 }
    }

    /// Reads a code; `\x1d` in it is FNC1.
    pub fn scan(&mut self, code: &str) {
        let parts = [&self.framing.prefix, code.as_bytes(), &self.framing.suffix];
        self.out.push_back(Transmit::plain(parts.concat()));
    }
}

impl Line for ScannerSim {
    type Event = Acknowledged;

    fn handle_opened(&mut self, _now: Instant) {}

    fn handle_input(&mut self, bytes: &[u8], _now: Instant) {
        let count = bytes.iter().filter(|byte| **byte == 0x06).count();
        self.acknowledged =
            self.acknowledged.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn handle_hangup(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_event(&mut self) -> Option<Acknowledged> {
        self.acknowledged = self.acknowledged.checked_sub(1)?;
        Some(Acknowledged)
    }
}
