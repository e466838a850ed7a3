//! ZPL II label printers.
//!
//! Source: Zebra ZPL II Programming Guide (`~HS` p. 171–172, `^GFA`, `^CI28`), docs.zebra.com.
//!
//! A Zebra in trouble does not answer `~HS` at all: with its media or ribbon out or its head open,
//! silence is its status, and the driver shows it as such.
//! A label counts as printed when the printer answers again and holds no format and no label.

mod encode;

pub use encode::{Field, encode, fields};

use super::{Dialect, Heard, Level, Paper, Recovery, Status};
use crate::receipt::Drawer;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// Questions without an answer that are counted; each may hold the proof of a label back by one round.
const ASKED_MAX: u8 = 3;
/// The longest of the three strings is under 40 characters.
const STRING_MAX: usize = 80;

/// ZPL II.
#[derive(Debug)]
pub struct Zpl {
    string: Option<Vec<u8>>,
    /// How many of an answer's three strings have come.
    strings: usize,
    status: Status,
    first: Option<First>,
    /// Questions that are not answered.
    asked: u8,
    pending: Option<Pending>,
    bytes_per_second: u32,
}

/// A label that is not proven yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    mark: u16,
    /// Answers still to come to questions from before the label: they say nothing about it.
    before: u8,
}

/// What the first string says about work not done.
#[derive(Debug, Clone, Copy)]
struct First {
    idle: bool,
}

impl Zpl {
    /// A label printer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            string: None,
            strings: 0,
            status: Status::default(),
            first: None,
            asked: 0,
            pending: None,
            bytes_per_second: 4000,
        }
    }

    fn take_string(&mut self, string: &[u8]) -> Heard {
        let fields: Vec<&[u8]> = string.split(|&byte| byte == b',').collect();
        let flag = |at: usize| fields.get(at).is_some_and(|field| *field == b"1");
        let count = |at: usize| -> Option<u32> {
            std::str::from_utf8(fields.get(at)?).ok()?.trim().parse().ok()
        };
        self.strings += 1;
        match (self.strings, fields.len()) {
            (1, 12) => {
                self.status = Status {
                    offline: flag(2),
                    paper: if flag(1) { Paper::Out } else { Paper::Present },
                    unrecoverable_error: flag(9),
                    waits_to_recover: flag(10) || flag(11),
                    ..Status::default()
                };
                self.first = Some(First { idle: count(4) == Some(0) && !flag(7) });
                Heard::Nothing
            }
            (2, 11) => {
                self.status.cover_open = flag(2);
                self.status.recoverable_error = flag(3);
                let labels = count(8);
                let idle = self.first.is_some_and(|first| first.idle) && labels == Some(0);
                if let Some(first) = &mut self.first {
                    first.idle = idle;
                }
                Heard::Nothing
            }
            (3, _) => {
                self.strings = 0;
                let idle = self.first.take().is_some_and(|first| first.idle);
                self.take_answer(idle)
            }
            _ => {
                self.strings = 0;
                self.first = None;
                Heard::Nothing
            }
        }
    }

    /// An answer is whole; what it says of a label counts only if the question went out behind it.
    fn take_answer(&mut self, idle: bool) -> Heard {
        if self.asked == 0 {
            return Heard::Spoke;
        }
        self.asked -= 1;
        let is_fine = idle && self.status.trouble().is_none();
        match &mut self.pending {
            Some(pending) if pending.before > 0 => {
                pending.before -= 1;
                Heard::Answered
            }
            Some(Pending { mark, .. }) if is_fine => {
                let mark = *mark;
                self.pending = None;
                Heard::Reached(mark)
            }
            Some(_) | None => Heard::Answered,
        }
    }
}

impl Default for Zpl {
    fn default() -> Self {
        Self::new()
    }
}

impl Dialect for Zpl {
    fn reset(&mut self) {
        *self = Self::new();
    }

    fn greet(&self) -> Vec<u8> {
        Vec::new()
    }

    fn resync(&self) -> Vec<u8> {
        // Ends a format that was left open, without printing it.
        b"~JA".to_vec()
    }

    fn resync_cancels(&self) -> bool {
        true
    }

    fn ask(&mut self, step: usize) -> Option<Vec<u8>> {
        self.strings = 0;
        self.first = None;
        if step > 0 {
            return None;
        }
        self.asked = ASKED_MAX.min(self.asked + 1);
        Some(b"~HS".to_vec())
    }

    fn frame(&mut self, body: &[u8], mark: u16) -> Vec<u8> {
        self.pending = Some(Pending { mark, before: self.asked });
        body.to_vec()
    }

    fn give_up(&mut self) {
        (self.asked, self.pending) = (0, None);
    }

    fn handle_byte(&mut self, byte: u8) -> Heard {
        match (byte, &mut self.string) {
            (STX, _) => {
                self.string = Some(Vec::new());
                Heard::Nothing
            }
            (ETX, Some(_)) => {
                let string = self.string.take().unwrap_or_default();
                self.take_string(&string)
            }
            (_, Some(string)) if string.len() < STRING_MAX => {
                string.push(byte);
                Heard::Nothing
            }
            _ => {
                self.string = None;
                Heard::Nothing
            }
        }
    }

    fn status(&self) -> Status {
        self.status
    }

    fn answers(&self) -> bool {
        true
    }

    fn falls_silent_in_trouble(&self) -> bool {
        true
    }

    fn level(&self) -> Level {
        Level::Processed
    }

    fn bytes_per_second(&self) -> u32 {
        self.bytes_per_second
    }

    fn kick(&self, _drawer: Drawer) -> Option<Vec<u8>> {
        None
    }

    fn kick_at_once(&self, _drawer: Drawer) -> Option<Vec<u8>> {
        None
    }

    fn recover(&self, how: Recovery) -> Option<Vec<u8>> {
        Some(match how {
            Recovery::Resume => b"~PS".to_vec(),
            Recovery::Discard => b"~JA".to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Event, Job, Printer, Trouble, Verdict};
    use super::*;
    use crate::line::{Line, start};

    const IDLE: &[u8] = b"\x02030,0,0,1245,000,0,0,0,000,0,0,0\x03\r\n\
        \x02000,0,0,0,0,2,4,0,00000000,1,000\x03\r\n\x021234,0\x03\r\n";
    const PRINTING: &[u8] = b"\x02030,0,0,1245,001,0,0,0,000,0,0,0\x03\r\n\
        \x02000,0,0,0,0,2,4,0,00000001,1,000\x03\r\n\x021234,0\x03\r\n";
    const PAUSED: &[u8] = b"\x02030,0,1,1245,000,0,0,0,000,0,0,0\x03\r\n\
        \x02000,0,0,0,0,2,4,0,00000000,1,000\x03\r\n\x021234,0\x03\r\n";

    /// Lets the printer's next question go out.
    fn ask(printer: &mut Printer<Zpl>) {
        while printer.poll_transmit().is_none_or(|transmit| transmit.bytes != b"~HS") {
            let at = printer.poll_timeout().expect("it goes on asking");
            printer.handle_timeout(at);
        }
    }

    #[test]
    fn a_label_is_printed_when_the_printer_holds_nothing_more() {
        let now = start();
        let mut printer = Printer::new(Zpl::new());
        printer.handle_opened(now);
        printer.handle_input(IDLE, now);
        while printer.poll_transmit().is_some() {}
        printer.print(Job { number: 1, body: b"^XA^XZ".to_vec() }, now).unwrap();
        while printer.poll_transmit().is_some() {}
        printer.handle_drained(now);
        for answer in [PRINTING, PAUSED] {
            ask(&mut printer);
            printer.handle_input(answer, now);
        }
        let before: Vec<_> = std::iter::from_fn(|| printer.poll_event()).collect();
        assert!(
            !before
                .iter()
                .any(|event| matches!(event, Event::Job { verdict: Verdict::Printed(_), .. }))
        );
        assert!(
            before.iter().any(|event| matches!(
                event,
                Event::Status { trouble: Some(Trouble::Offline), .. }
            ))
        );
        ask(&mut printer);
        printer.handle_input(IDLE, now);
        let printed = Verdict::Printed(Level::Processed);
        let done = std::iter::from_fn(|| printer.poll_event())
            .any(|event| event == Event::Job { number: 1, verdict: printed });
        assert!(done);
    }

    #[test]
    fn an_answer_from_before_the_label_proves_nothing_about_it() {
        let now = start();
        let mut printer = Printer::new(Zpl::new());
        printer.handle_opened(now);
        printer.handle_input(IDLE, now);
        while printer.poll_transmit().is_some() {}
        ask(&mut printer);
        printer.print(Job { number: 1, body: b"^XA^XZ".to_vec() }, now).unwrap();
        while printer.poll_transmit().is_some() {}
        printer.handle_drained(now);
        printer.handle_input(IDLE, now);
        let printed = std::iter::from_fn(|| printer.poll_event())
            .any(|event| matches!(event, Event::Job { verdict: Verdict::Printed(_), .. }));
        assert!(!printed);
    }

    #[test]
    fn a_printer_without_labels_is_silent_and_its_job_waits() {
        let mut now = start();
        let mut printer = Printer::new(Box::new(Zpl::new()) as Box<dyn Dialect>);
        printer.handle_opened(now);
        printer.handle_input(IDLE, now);
        printer.print(Job { number: 1, body: b"^XA^XZ".to_vec() }, now).unwrap();
        while printer.poll_transmit().is_some() {}
        printer.handle_drained(now);
        for _ in 0..600 {
            now += std::time::Duration::from_secs(1);
            printer.handle_timeout(now);
            while printer.poll_transmit().is_some() {}
        }
        let ended = std::iter::from_fn(|| printer.poll_event()).any(|event| {
            matches!(event, Event::Job { verdict: Verdict::Unknown(_) | Verdict::Printed(_), .. })
        });
        assert!(!ended);
        printer.handle_input(IDLE, now);
        // It may have been switched off and on meanwhile, so less is claimed.
        let printed = Verdict::Printed(Level::StatusGood);
        let done = std::iter::from_fn(|| printer.poll_event())
            .any(|event| event == Event::Job { number: 1, verdict: printed });
        assert!(done);
    }

    proptest! {
        #[test]
        fn any_bytes_are_strings_or_noise(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut zpl = Zpl::new();
            for byte in bytes {
                zpl.handle_byte(byte);
                prop_assert!(zpl.string.as_ref().is_none_or(|string| string.len() <= STRING_MAX));
            }
        }
    }
}
