//! A customer display whose two rows can be read.

use std::time::Instant;

use crate::display::{COLUMNS, Protocol};
use crate::line::{Line, Transmit};
use crate::receipt::CodePage;

/// Bytes of an unfinished command; a scroll text of CD5220 is the longest.
const COMMAND_BYTES_MAX: usize = 64;

/// The rows changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What stands in them.
    pub rows: [String; 2],
}

/// A simulated display.
#[derive(Debug)]
pub struct DisplaySim {
    protocol: Protocol,
    page: CodePage,
    cells: [[char; COLUMNS]; 2],
    cursor: usize,
    input: Vec<u8>,
    changed: bool,
}

impl DisplaySim {
    /// A dark display.
    #[must_use]
    pub fn new(protocol: Protocol, page: CodePage) -> Self {
        Self {
            protocol,
            page,
            cells: [[' '; COLUMNS]; 2],
            cursor: 0,
            input: Vec::new(),
            changed: false,
        }
    }

    /// What stands in its rows.
    #[must_use]
    pub fn rows(&self) -> [String; 2] {
        self.cells.map(|row| row.iter().collect())
    }

    fn clear(&mut self) {
        self.cells = [[' '; COLUMNS]; 2];
        self.cursor = 0;
        self.changed = true;
    }

    fn put(&mut self, byte: u8) {
        let c = self.page.decode(byte).unwrap_or('?');
        let (row, column) = (self.cursor / COLUMNS, self.cursor % COLUMNS);
        self.changed |= self.cells[row][column] != c;
        self.cells[row][column] = c;
        self.cursor = (self.cursor + 1) % (2 * COLUMNS);
    }

    fn write_row(&mut self, row: usize, text: &[u8]) {
        self.cursor = row * COLUMNS;
        (0..COLUMNS).for_each(|at| self.put(text.get(at).copied().unwrap_or(b' ')));
    }

    /// Whether the bytes received so far are a whole command; carries it out.
    fn take(&mut self) -> bool {
        let input = std::mem::take(&mut self.input);
        let logic = self.protocol == Protocol::LogicControls;
        match input.as_slice() {
            [0x1F] if logic => self.clear(),
            [0x11..=0x14] if logic => {}
            [0x10, at] if logic => self.cursor = usize::from(*at) % (2 * COLUMNS),
            [0x10 | 0x04] if logic => return self.wait(input),
            [0x0C] => self.clear(),
            [0x1B, b'@'] => self.clear(),
            [0x1F, b'$', x, y] => {
                let (x, y) = (usize::from(*x).clamp(1, COLUMNS), usize::from(*y).clamp(1, 2));
                self.cursor = (y - 1) * COLUMNS + x - 1;
            }
            [0x1B, b'Q', b'A', text @ .., 0x0D] => self.write_row(0, text),
            [0x1B, b'Q', b'B', text @ .., 0x0D] => self.write_row(1, text),
            [0x1B, b't' | b'_' | b'*' | b'=' | b'f', _] | [0x1F, b'C', _] => {}
            // The set-up of displays that start in another mode: STX to ETX.
            [0x02, .., 0x03] => {}
            [0x1B | 0x1F | 0x02, ..] => return self.wait(input),
            [byte] if *byte >= 0x20 => self.put(*byte),
            _ => {}
        }
        true
    }

    fn wait(&mut self, input: Vec<u8>) -> bool {
        if input.len() < COMMAND_BYTES_MAX {
            self.input = input;
        }
        false
    }
}

impl Line for DisplaySim {
    type Event = Shown;

    fn handle_opened(&mut self, _now: Instant) {}

    fn handle_input(&mut self, bytes: &[u8], _now: Instant) {
        for byte in bytes {
            self.input.push(*byte);
            self.take();
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn handle_hangup(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_event(&mut self) -> Option<Shown> {
        std::mem::take(&mut self.changed).then(|| Shown { rows: self.rows() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::display::{Display, Letters};
    use crate::line::start;

    const ALL: [Protocol; 4] =
        [Protocol::EscPos, Protocol::EscPosAures, Protocol::Cd5220, Protocol::LogicControls];

    #[test]
    fn every_protocol_shows_what_was_asked() {
        for protocol in ALL {
            let letters = Letters { page: CodePage::Cp858, select: Some(19) };
            let mut driver = Display::new(protocol, letters);
            let mut sim = DisplaySim::new(protocol, CodePage::Cp858);
            driver.handle_opened(start());
            for (upper, lower) in [("Total", "12.50 €"), ("Thank you", "")] {
                driver.show(upper, lower);
                while let Some(transmit) = driver.poll_transmit() {
                    sim.handle_input(&transmit.bytes, start());
                }
                let [first, second] = sim.rows();
                assert_eq!((first.trim_end(), second.trim_end()), (upper, lower), "{protocol:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_show_something(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for protocol in ALL {
                let mut sim = DisplaySim::new(protocol, CodePage::Cp437);
                sim.handle_input(&bytes, start());
                prop_assert!(sim.input.len() <= COMMAND_BYTES_MAX);
            }
        }
    }
}
