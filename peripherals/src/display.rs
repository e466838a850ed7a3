//! Customer displays: two rows of twenty characters facing the customer.
//!
//! What is shown is always the latest: a frame that could not be sent yet is replaced, never
//! queued, because a display that lags behind a sale shows the wrong price.
//! The port is opened once and kept open; setting its parameters again can hang a pole display for
//! thirty seconds.
//!
//! Sources: Epson DM-D display mode of ESC/POS (`US $`, `US C`) and CD5220 mode (Epson P07303
//! p. 20, POS-X XP8200 p. 19); Logic Controls LD9000 software commands (user manual p. 137:
//! `DC1` normal mode, `DLE n` digit select, `DC4` cursor off, `US` reset).

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::line::{Line, Transmit};
use crate::receipt::CodePage;

/// Characters in a row.
pub const COLUMNS: usize = 20;

/// How a display is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// ESC/POS display mode.
    EscPos,
    /// ESC/POS display mode, set up first: Aures OCD300 and Oxhoo AF240 start in another one.
    EscPosAures,
    /// CD5220.
    Cd5220,
    /// Logic Controls LD9000 and the displays that imitate it.
    LogicControls,
}

/// Which letters a display has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letters {
    /// The page of its upper half.
    pub page: CodePage,
    /// The number that chooses it (`ESC t`), where it must be chosen.
    pub select: Option<u8>,
}

impl Default for Letters {
    fn default() -> Self {
        Self { page: CodePage::Cp437, select: None }
    }
}

impl Letters {
    /// Those that are sure with a protocol; beyond them a display needs to be known.
    #[must_use]
    pub fn of(protocol: Protocol) -> Self {
        match protocol {
            // Its setup chooses the page.
            Protocol::EscPosAures => Self { page: CodePage::Cp858, select: None },
            Protocol::EscPos | Protocol::Cd5220 | Protocol::LogicControls => Self::default(),
        }
    }
}

/// A display behind a port.
#[derive(Debug)]
pub struct Display {
    protocol: Protocol,
    letters: Letters,
    wanted: [String; 2],
    setup: bool,
    changed: bool,
}

/// A display never speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {}

impl Display {
    /// A dark display.
    #[must_use]
    pub fn new(protocol: Protocol, letters: Letters) -> Self {
        Self { protocol, letters, wanted: Default::default(), setup: false, changed: false }
    }

    /// Shows two rows; what does not fit is cut off.
    pub fn show(&mut self, upper: &str, lower: &str) {
        let wanted = [upper.to_owned(), lower.to_owned()];
        self.changed |= wanted != self.wanted;
        self.wanted = wanted;
    }

    /// Shows nothing.
    pub fn clear(&mut self) {
        self.show("", "");
    }

    /// Exactly [`COLUMNS`] bytes, none of them a command.
    fn row(&self, text: &str) -> Vec<u8> {
        let mut row: Vec<u8> = text
            .chars()
            .filter(|c| !c.is_control())
            .take(COLUMNS)
            .map(|c| self.letters.page.encode(c).unwrap_or(b'?'))
            .collect();
        row.resize(COLUMNS, b' ');
        row
    }

    fn setup(&self) -> Vec<u8> {
        let mut bytes = match self.protocol {
            Protocol::EscPos => b"\x1b@\x0c\x1fC\x00".to_vec(),
            // ESC/POS mode, then the page of 858.
            Protocol::EscPosAures => {
                b"\x02\x05\x43\x31\x03\x02\x05\x55\x13\x03\x1b@\x0c\x1fC\x00".to_vec()
            }
            Protocol::Cd5220 => b"\x1b@\x0c\x1b_\x00".to_vec(),
            Protocol::LogicControls => b"\x1f\x11\x14".to_vec(),
        };
        if let (Some(number), false) =
            (self.letters.select, self.protocol == Protocol::LogicControls)
        {
            bytes.extend_from_slice(&[0x1B, 0x74, number]);
        }
        bytes
    }

    fn frame(&self) -> Vec<u8> {
        let (upper, lower) = (self.row(&self.wanted[0]), self.row(&self.wanted[1]));
        let parts: [&[u8]; 5] = match self.protocol {
            Protocol::EscPos | Protocol::EscPosAures => {
                [b"\x1f$\x01\x01", &upper, b"\x1f$\x01\x02", &lower, b""]
            }
            Protocol::Cd5220 => [b"\x1bQA", &upper, b"\x0d\x1bQB", &lower, b"\x0d"],
            Protocol::LogicControls => [b"\x10\x00", &upper, b"\x10\x14", &lower, b""],
        };
        parts.concat()
    }
}

impl Line for Display {
    type Event = Event;

    fn handle_opened(&mut self, _now: Instant) {
        self.setup = true;
        self.changed = true;
    }

    fn handle_input(&mut self, _bytes: &[u8], _now: Instant) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn handle_hangup(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        let mut bytes = Vec::new();
        if std::mem::take(&mut self.setup) {
            bytes = self.setup();
        }
        if std::mem::take(&mut self.changed) {
            bytes.extend_from_slice(&self.frame());
        }
        (!bytes.is_empty()).then(|| Transmit::plain(bytes))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line::start;

    fn sent(protocol: Protocol, letters: Letters) -> Vec<u8> {
        let mut display = Display::new(protocol, letters);
        display.show("Tea", "2.50 €");
        display.handle_opened(start());
        display.poll_transmit().unwrap().bytes
    }

    #[test]
    fn golden_frames() {
        let plain = Letters::default();
        let euro = Letters { page: CodePage::Cp858, select: Some(19) };
        assert_eq!(
            sent(Protocol::EscPos, plain),
            b"\x1b@\x0c\x1fC\x00\x1f$\x01\x01Tea                 \x1f$\x01\x022.50 ?              "
        );
        assert_eq!(
            sent(Protocol::Cd5220, euro),
            b"\x1b@\x0c\x1b_\x00\x1bt\x13\x1bQATea                 \x0d\x1bQB2.50 \xd5              \x0d"
        );
        assert_eq!(
            sent(Protocol::LogicControls, plain),
            b"\x1f\x11\x14\x10\x00Tea                 \x10\x142.50 ?              "
        );
        let aures = sent(Protocol::EscPosAures, Letters::of(Protocol::EscPosAures));
        assert!(aures.starts_with(b"\x02\x05\x43\x31\x03"));
        assert!(aures.ends_with(b"2.50 \xd5              "));
    }

    #[test]
    fn only_the_latest_frame_is_sent_and_only_once() {
        let mut display = Display::new(Protocol::Cd5220, Letters::default());
        display.handle_opened(start());
        display.poll_transmit();
        for price in 0..50 {
            display.show("Total", &price.to_string());
        }
        let bytes = display.poll_transmit().unwrap().bytes;
        assert!(bytes.windows(2).any(|pair| pair == b"49"));
        display.show("Total", "49");
        assert_eq!(display.poll_transmit(), None);
    }

    #[test]
    fn a_display_that_comes_back_shows_what_it_should() {
        let mut display = Display::new(Protocol::Cd5220, Letters::default());
        display.show("Total", "5.00");
        display.handle_opened(start());
        let first = display.poll_transmit();
        display.handle_hangup(start());
        display.handle_opened(start());
        assert_eq!(display.poll_transmit(), first);
    }

    proptest! {
        #[test]
        fn any_text_fills_its_row_and_no_more(text in ".{0,40}") {
            let display = Display::new(Protocol::Cd5220, Letters::default());
            let row = display.row(&text);
            prop_assert_eq!(row.len(), COLUMNS);
            prop_assert!(row.iter().all(|byte| *byte >= 0x20 && *byte != 0x7F));
        }
    }
}
