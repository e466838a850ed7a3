//! Serial barcode scanners: where one code ends and the next begins, and what a code means.
//!
//! Sources: Intermec ScanPlus p. 59 (CR LF as the factory suffix), ISO/IEC 15424 (AIM identifiers,
//! `]cm`).
//! Nothing but the configured prefix and suffix is taken away from a code; the AIM identifier is
//! passed on beside it, because a GS1 code is one only if the scanner says so.

pub mod gs1;
pub mod instore;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::line::{INPUT_BYTES_MAX, Line, Transmit};

/// The longest code of any symbology here: the digits of the largest QR code are 7089, its letters
/// 4296; scanners deliver letters.
pub const CODE_BYTES_MAX: usize = 4296;
/// A code whose suffix does not come is broken after this silence.
const STALE_AFTER: Duration = Duration::from_millis(500);
/// A byte ends at most one code.
const EVENTS_MAX: usize = INPUT_BYTES_MAX;
const ACK: u8 = 0x06;

/// How a scanner is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Framing {
    /// What it sends before each code.
    pub prefix: Vec<u8>,
    /// What it sends behind each code; if nothing, a pause ends the code.
    pub suffix: Vec<u8>,
    /// The pause that ends a code without a suffix.
    pub gap_ms: u16,
    /// Whether it wants each code acknowledged.
    pub acknowledge: bool,
}

impl Default for Framing {
    /// A carriage return ends a code; a line feed that follows belongs to it.
    fn default() -> Self {
        Self { prefix: Vec::new(), suffix: b"\r".to_vec(), gap_ms: 50, acknowledge: false }
    }
}

/// A code that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// What stands in it.
    pub data: Vec<u8>,
    /// The AIM identifier's code and modifier characters, if the scanner sends it.
    pub aim: Option<(char, char)>,
    /// When it was complete.
    pub at: Instant,
}

impl Scan {
    /// Whether the scanner says that this is a GS1 element string.
    #[must_use]
    pub fn is_gs1(&self) -> bool {
        matches!(self.aim, Some(('C', '1') | ('d', '2') | ('Q', '3') | ('e', '0') | ('J', '1')))
    }
}

/// What a scanner's line reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A code.
    Scan(Scan),
    /// Bytes that make no code: too long, or without their end.
    Broken {
        /// How many.
        bytes: usize,
    },
    /// Codes that were read and not kept, because nobody collected those before them.
    Missed {
        /// How many.
        codes: u32,
    },
    /// The scanner is gone.
    Disconnected,
}

/// A scanner behind a port.
#[derive(Debug)]
pub struct Scanner {
    framing: Framing,
    code: Vec<u8>,
    /// Bytes thrown away of a code that is too long.
    over: usize,
    ends_at: Option<Instant>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Scanner {
    /// A scanner of this set-up.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            code: Vec::new(),
            over: 0,
            ends_at: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            return self.events.push_back(event);
        }
        match self.events.back_mut() {
            Some(Event::Missed { codes }) => *codes = codes.saturating_add(1),
            Some(_) | None => self.events.push_back(Event::Missed { codes: 1 }),
        }
    }

    fn take_byte(&mut self, byte: u8, now: Instant) {
        let after_suffix = self.code.is_empty() && self.framing.suffix == b"\r";
        if after_suffix && byte == b'\n' {
            return;
        }
        if self.code.len() < CODE_BYTES_MAX + self.framing.suffix.len() + self.framing.prefix.len()
        {
            self.code.push(byte);
        } else {
            // Kept rolling, so that the suffix is still seen.
            self.over += 1;
            self.code.rotate_left(1);
            self.code.pop();
            self.code.push(byte);
        }
        let ended = !self.framing.suffix.is_empty() && self.code.ends_with(&self.framing.suffix);
        if ended {
            self.code.truncate(self.code.len() - self.framing.suffix.len());
            self.end(now);
        } else {
            let wait = if self.framing.suffix.is_empty() {
                Duration::from_millis(u64::from(self.framing.gap_ms))
            } else {
                STALE_AFTER
            };
            self.ends_at = Some(now + wait);
        }
    }

    fn end(&mut self, now: Instant) {
        self.ends_at = None;
        let code = std::mem::take(&mut self.code);
        let over = std::mem::take(&mut self.over);
        let Some(data) = code.strip_prefix(self.framing.prefix.as_slice()) else {
            return self.tell(Event::Broken { bytes: code.len() + over });
        };
        if over > 0 || data.len() > CODE_BYTES_MAX {
            return self.tell(Event::Broken { bytes: code.len() + over });
        }
        if data.is_empty() {
            return;
        }
        let (aim, data) = match data {
            [b']', code, modifier, rest @ ..]
                if code.is_ascii_alphabetic() && modifier.is_ascii_alphanumeric() =>
            {
                (Some((char::from(*code), char::from(*modifier))), rest)
            }
            _ => (None, data),
        };
        let scan = Scan { data: data.to_vec(), aim, at: now };
        if self.framing.acknowledge {
            self.out.push_back(Transmit::plain([ACK]));
        }
        self.tell(Event::Scan(scan));
    }
}

impl Line for Scanner {
    type Event = Event;

    fn handle_opened(&mut self, _now: Instant) {
        self.code.clear();
        self.over = 0;
        self.ends_at = None;
        self.out.clear();
    }

    fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        for byte in bytes {
            self.take_byte(*byte, now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.ends_at.is_none_or(|at| at > now) {
            return;
        }
        if self.framing.suffix.is_empty() {
            self.end(now);
        } else {
            let bytes = std::mem::take(&mut self.code).len() + std::mem::take(&mut self.over);
            self.ends_at = None;
            self.tell(Event::Broken { bytes });
        }
    }

    fn handle_hangup(&mut self, _now: Instant) {
        self.code.clear();
        self.ends_at = None;
        self.tell(Event::Disconnected);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ends_at
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line::start;

    fn scans(framing: Framing, pieces: &[&[u8]]) -> Vec<Event> {
        let now = start();
        let mut scanner = Scanner::new(framing);
        scanner.handle_opened(now);
        for piece in pieces {
            scanner.handle_input(piece, now);
        }
        std::iter::from_fn(|| scanner.poll_event()).collect()
    }

    fn data(events: &[Event]) -> Vec<&[u8]> {
        let scans = events.iter().filter_map(|event| match event {
            Event::Scan(scan) => Some(scan.data.as_slice()),
            Event::Broken { .. } | Event::Missed { .. } | Event::Disconnected => None,
        });
        scans.collect()
    }

    #[test]
    fn a_suffix_ends_a_code_with_or_without_a_line_feed() {
        let events = scans(Framing::default(), &[b"4006381333931\r\n96385074\r"]);
        assert_eq!(data(&events), [b"4006381333931".as_slice(), b"96385074"]);
    }

    #[test]
    fn the_aim_identifier_is_told_beside_the_code() {
        let events = scans(Framing::default(), &[b"]C10104006381333931\r"]);
        let [Event::Scan(scan)] = events.as_slice() else { panic!("no scan: {events:?}") };
        assert_eq!((scan.aim, scan.is_gs1()), (Some(('C', '1')), true));
        assert_eq!(scan.data, b"0104006381333931");
    }

    #[test]
    fn a_pause_ends_a_code_without_a_suffix() {
        let now = start();
        let framing = Framing { suffix: Vec::new(), ..Framing::default() };
        let mut scanner = Scanner::new(framing);
        scanner.handle_input(b"1234", now);
        scanner.handle_input(b"5678", now + Duration::from_millis(30));
        assert_eq!(scanner.poll_timeout(), Some(now + Duration::from_millis(80)));
        scanner.handle_timeout(now + Duration::from_millis(80));
        let events: Vec<_> = std::iter::from_fn(|| scanner.poll_event()).collect();
        assert_eq!(data(&events), [b"12345678".as_slice()]);
    }

    #[test]
    fn a_prefix_is_demanded_and_taken_away() {
        let framing =
            Framing { prefix: b"\x02".to_vec(), suffix: b"\x03".to_vec(), ..Framing::default() };
        let events = scans(framing.clone(), &[b"\x02123\x03"]);
        assert_eq!(data(&events), [b"123".as_slice()]);
        assert_eq!(scans(framing, &[b"123\x03"]), [Event::Broken { bytes: 3 }]);
    }

    #[test]
    fn a_code_without_an_end_is_dropped_and_told() {
        let now = start();
        let mut scanner = Scanner::new(Framing::default());
        scanner.handle_input(b"12", now);
        scanner.handle_timeout(now + STALE_AFTER);
        scanner.handle_input(b"345\r", now + STALE_AFTER);
        assert_eq!(scanner.poll_event(), Some(Event::Broken { bytes: 2 }));
        assert!(matches!(scanner.poll_event(), Some(Event::Scan(scan)) if scan.data == b"345"));
    }

    #[test]
    fn an_acknowledged_code_is_acknowledged_once() {
        let mut scanner = Scanner::new(Framing { acknowledge: true, ..Framing::default() });
        scanner.handle_input(b"1\r", start());
        assert_eq!(scanner.poll_transmit().unwrap().bytes, [ACK]);
        assert_eq!(scanner.poll_transmit(), None);
    }

    #[test]
    fn every_code_of_a_read_is_kept_and_what_is_beyond_is_counted() {
        let codes = b"1\r".repeat(INPUT_BYTES_MAX / 2);
        assert_eq!(data(&scans(Framing::default(), &[&codes])).len(), INPUT_BYTES_MAX / 2);
        let events = scans(Framing::default(), &[&codes.repeat(3)]);
        assert_eq!(events.len(), INPUT_BYTES_MAX + 1);
        let lost = u32::try_from(INPUT_BYTES_MAX / 2).unwrap();
        assert_eq!(events.last(), Some(&Event::Missed { codes: lost }));
    }

    #[test]
    fn an_endless_code_takes_no_more_memory() {
        let mut scanner = Scanner::new(Framing::default());
        for _ in 0..40 {
            scanner.handle_input(&[b'9'; 200], start());
        }
        assert!(scanner.code.len() <= CODE_BYTES_MAX + 1);
        scanner.handle_input(b"\r", start());
        assert_eq!(scanner.poll_event(), Some(Event::Broken { bytes: 8000 }));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..120), cut in any::<prop::sample::Index>()) {
            let at = cut.index(bytes.len() + 1);
            let whole = scans(Framing::default(), &[&bytes]);
            let pieces = scans(Framing::default(), &[&bytes[..at], &bytes[at..]]);
            prop_assert_eq!(data(&whole), data(&pieces));
        }
    }
}
