//! Looking through ESC/POS bytes a till made itself, before they reach a printer.
//!
//! A till that brings its own bytes can do more than print: switch the printer off, rewrite its
//! settings or its firmware, open the drawer.
//! What only prints passes; what changes the printer for others is refused with its place.
//! Drawer pulses are counted, because opening a drawer is written down, and can be cut out, because
//! a copy of a receipt opens no drawer.
//!
//! The commands' lengths come from Epson's ESC/POS reference; a command whose length is not known
//! here is refused, because everything behind it would be read wrongly.

use std::borrow::Cow;

use crate::receipt::Drawer;

/// Bytes of one raw job.
pub const RAW_BYTES_MAX: usize = 4 << 20;

const ESC: u8 = 0x1B;
const GS: u8 = 0x1D;
const FS: u8 = 0x1C;
const DLE: u8 = 0x10;

/// What a raw job does besides printing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inspection {
    /// How often it opens the first drawer and the second.
    pub kicks: [u32; 2],
    /// How often it cuts the paper.
    pub cuts: u32,
}

/// Why a raw job is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// It is too large.
    #[error("inspect a raw job: it has {bytes} bytes, the limit is {RAW_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It changes the printer's settings or memory, or switches it off.
    #[error("inspect a raw job: {name} at byte {at} changes the printer for others")]
    Dangerous {
        /// Where.
        at: usize,
        /// The command.
        name: &'static str,
    },
    /// It holds a command of unknown length.
    #[error("inspect a raw job: the command {bytes:02x?} at byte {at} is not known")]
    Unknown {
        /// Where.
        at: usize,
        /// Its first bytes.
        bytes: Vec<u8>,
    },
    /// It ends inside a command.
    #[error("inspect a raw job: it ends inside the command at byte {at}")]
    CutShort {
        /// Where the command starts.
        at: usize,
    },
}

/// The size of the command that bytes begin with, for whoever interprets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Length(usize),
    /// More bytes are needed to tell.
    Short,
    Unknown,
}

/// How long the first command is, dangerous or not.
pub(crate) fn step(rest: &[u8]) -> Step {
    match rest {
        // Carried out when they arrived; here they only take their place.
        [DLE, 0x04 | 0x05, ..] => Step::Length(3),
        [DLE, 0x14, 1 | 2, ..] => Step::Length(5),
        [DLE, 0x14, 8, ..] => Step::Length(10),
        [DLE] | [DLE, 0x14] => Step::Short,
        _ => match command(rest) {
            Command::Plain(length) | Command::Kick(length, _) | Command::Cut(length) => {
                Step::Length(length)
            }
            Command::Short => Step::Short,
            Command::Refuse(_) | Command::Unknown => Step::Unknown,
        },
    }
}

enum Command {
    /// Takes so many bytes, with the lead-in.
    Plain(usize),
    Kick(usize, Drawer),
    Cut(usize),
    Refuse(&'static str),
    Short,
    Unknown,
}

/// Looks through a raw job.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, RawError> {
    if bytes.len() > RAW_BYTES_MAX {
        return Err(RawError::TooLarge { bytes: bytes.len() });
    }
    let mut seen = Inspection::default();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match command(rest) {
            Command::Plain(length) => length,
            Command::Kick(length, drawer) => {
                seen.kicks[drawer.index()] += 1;
                length
            }
            Command::Cut(length) => {
                seen.cuts += 1;
                length
            }
            Command::Refuse(name) => return Err(RawError::Dangerous { at, name }),
            Command::Short => return Err(RawError::CutShort { at }),
            Command::Unknown => {
                let bytes = rest[..rest.len().min(4)].to_vec();
                return Err(RawError::Unknown { at, bytes });
            }
        };
        if length > rest.len() {
            return Err(RawError::CutShort { at });
        }
        at += length;
    }
    Ok(seen)
}

/// An answer that a command makes the printer send when it comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// One byte, which does not say whose question it answers.
    Byte,
    /// A block with a beginning and an end.
    Block,
}

/// What a job asks the printer, in order; real-time questions are none of these.
pub(crate) fn questions(body: &[u8]) -> impl Iterator<Item = Question> {
    commands(body).filter_map(|command| match command {
        [GS, b'r', 1 | 2 | 4 | b'1' | b'2' | b'4'] => Some(Question::Byte),
        [GS, b'I', 1..=3 | b'1'..=b'3'] => Some(Question::Byte),
        [GS, b'I', _] => Some(Question::Block),
        _ => None,
    })
}

/// A job without the pulses that open drawers.
#[must_use]
pub fn without_kicks(body: &[u8]) -> Vec<u8> {
    let stays = |bytes: &&[u8]| !matches!(command(bytes), Command::Kick(..));
    commands(body).filter(stays).flatten().copied().collect()
}

/// A job whose own process ids are numbers that no job of ours has: nobody waits for them, and none
/// may pass for the proof of a job.
pub(crate) fn without_process_ids(body: &[u8]) -> Cow<'_, [u8]> {
    const ASKS: &[u8] = &[GS, b'(', b'H', 6, 0, b'0', b'0'];
    if !body.windows(ASKS.len()).any(|bytes| bytes == ASKS) {
        return Cow::Borrowed(body);
    }
    let numbered = |command: &[u8]| match command.strip_prefix(ASKS) {
        Some(_) => [ASKS, b"0000"].concat(),
        None => command.to_vec(),
    };
    Cow::Owned(commands(body).flat_map(numbered).collect())
}

/// The commands of a job one after another; what is none is a byte of its own.
fn commands(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let length = match step(rest) {
            Step::Length(length) => length.clamp(1, rest.len().max(1)),
            Step::Short | Step::Unknown => 1,
        };
        let (first, more) = rest.split_at_checked(length)?;
        rest = more;
        Some(first)
    })
}

fn command(rest: &[u8]) -> Command {
    match rest {
        [DLE, ..] => real_time(rest),
        [ESC, ..] => escape(rest),
        [GS, ..] => group(rest),
        [FS, ..] => file(rest),
        _ => Command::Plain(1),
    }
}

fn real_time(rest: &[u8]) -> Command {
    match rest {
        [_, 0x04, 1..=4, ..] => Command::Plain(3),
        [_, 0x04 | 0x05 | 0x14] | [_] => Command::Short,
        [_, 0x05, ..] => Command::Refuse("DLE ENQ (recover, clear buffers)"),
        [_, 0x14, 1, pin, _, ..] => Command::Kick(5, on(*pin)),
        [_, 0x14, 1, ..] => Command::Short,
        [_, 0x14, 2, ..] => Command::Refuse("DLE DC4 2 (power off)"),
        [_, 0x14, 8, ..] => Command::Refuse("DLE DC4 8 (clear buffers)"),
        _ => Command::Unknown,
    }
}

fn escape(rest: &[u8]) -> Command {
    let Some(letter) = rest.get(1) else { return Command::Short };
    match letter {
        b'=' => match rest.get(2) {
            Some(devices) if devices & 1 == 1 => Command::Plain(3),
            Some(_) => Command::Refuse("ESC = (deselect the printer)"),
            None => Command::Short,
        },
        0x0C | b'2' | b'<' | b'@' | b'L' | b'S' => Command::Plain(2),
        b'i' | b'm' => Command::Cut(2),
        0x20 | b'!' | b'%' | b'-' | b'3' | b'?' | b'E' | b'G' | b'J' | b'K' | b'M' | b'R'
        | b'T' | b'U' | b'V' | b'a' | b'd' | b'e' | b'r' | b't' | b'{' => Command::Plain(3),
        b'$' | b'\\' | b'B' | b'c' => Command::Plain(4),
        b'p' => rest.get(2).map_or(Command::Short, |pin| Command::Kick(5, on(*pin))),
        b'W' => Command::Plain(10),
        b'D' => match rest[2..].iter().take(33).position(|byte| *byte == 0) {
            Some(end) => Command::Plain(end + 3),
            None => Command::Short,
        },
        b'*' => match rest {
            [_, _, mode, low, high, ..] => {
                let column = if matches!(mode, 32 | 33) { 3 } else { 1 };
                Command::Plain(5 + column * usize::from(u16::from_le_bytes([*low, *high])))
            }
            _ => Command::Short,
        },
        b'&' => Command::Refuse("ESC & (define characters)"),
        b'(' => sized(rest, &[(b'A', None)]),
        _ => Command::Unknown,
    }
}

fn group(rest: &[u8]) -> Command {
    let Some(letter) = rest.get(1) else { return Command::Short };
    match letter {
        b'/' | b'!' | b'B' | b'H' | b'I' | b'a' | b'b' | b'f' | b'h' | b'r' | b'w' => {
            Command::Plain(3)
        }
        b'$' | b'L' | b'P' | b'W' | b'\\' => Command::Plain(4),
        b':' => Command::Refuse("GS : (define a macro)"),
        b'*' => Command::Refuse("GS * (define a picture)"),
        b'V' => match rest.get(2) {
            Some(0 | 1 | 48 | 49) => Command::Cut(3),
            Some(65 | 66 | 97 | 98 | 103 | 104) => Command::Cut(4),
            Some(_) => Command::Unknown,
            None => Command::Short,
        },
        b'k' => match rest {
            [_, _, 0..=6, data @ ..] => match data.iter().take(256).position(|byte| *byte == 0) {
                Some(end) => Command::Plain(end + 4),
                None => Command::Short,
            },
            [_, _, 65..=79, length, ..] => Command::Plain(4 + usize::from(*length)),
            [_, _, _, _, ..] => Command::Unknown,
            _ => Command::Short,
        },
        b'v' => match rest {
            [_, _, b'0', _, xl, xh, yl, yh, ..] => {
                let bytes = usize::from(u16::from_le_bytes([*xl, *xh]));
                Command::Plain(8 + bytes * usize::from(u16::from_le_bytes([*yl, *yh])))
            }
            [_, _, b'0', ..] | [_, _] => Command::Short,
            _ => Command::Unknown,
        },
        b'8' => match rest {
            [_, _, b'L', _, _, _, _, _, function, ..] if writes_memory(*function) => WRITES,
            [_, _, b'L', a, b, c, d, ..] => {
                let size = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d]));
                Command::Plain(size.unwrap_or(usize::MAX - 8).saturating_add(7))
            }
            [_, _, b'L', ..] | [_, _] => Command::Short,
            _ => Command::Unknown,
        },
        b'(' => match rest {
            [_, _, b'L', _, _, _, function, ..] if writes_memory(*function) => WRITES,
            _ => sized(rest, GROUPS),
        },
        _ => Command::Unknown,
    }
}

/// `GS (` with what may be behind it.
const GROUPS: &[(u8, Option<&str>)] = &[
    (b'k', None),
    (b'L', None),
    (b'H', None),
    (b'K', Some("GS ( K (print control)")),
    (b'E', Some("GS ( E (change settings)")),
    (b'A', Some("GS ( A (test print)")),
    (b'C', Some("GS ( C (write memory)")),
    (b'D', Some("GS ( D (real-time commands)")),
    (b'M', Some("GS ( M (save settings)")),
];

const WRITES: Command = Command::Refuse("GS ( L (write or delete stored pictures)");

/// Whether a function of `GS ( L` deletes or defines pictures that stay in the printer.
fn writes_memory(function: u8) -> bool {
    matches!(function, 65..=68 | 81..=84)
}

/// The drawer on a pin, as both ways of writing it name it.
fn on(pin: u8) -> Drawer {
    if pin & 1 == 0 { Drawer::First } else { Drawer::Second }
}

fn file(rest: &[u8]) -> Command {
    match rest {
        [_, b'&' | b'.', ..] => Command::Plain(2),
        [_, b'!' | b'-' | b'C' | b'W', ..] => Command::Plain(3),
        [_, b'S' | b'p', ..] => Command::Plain(4),
        [_, b'q' | b'g', ..] => Command::Refuse("FS (write memory)"),
        [_, b'(', ..] => sized(rest, &[(b'A', None)]),
        [_] => Command::Short,
        _ => Command::Unknown,
    }
}

/// `( letter pL pH data`: the length is in the command; a name means the letter is refused.
fn sized(rest: &[u8], letters: &[(u8, Option<&'static str>)]) -> Command {
    let [_, _, letter, low, high, ..] = rest else { return Command::Short };
    match letters.iter().find(|(known, _)| known == letter) {
        Some((_, Some(name))) => Command::Refuse(name),
        Some((_, None)) => Command::Plain(5 + usize::from(u16::from_le_bytes([*low, *high]))),
        None => Command::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ordinary_receipt_passes_and_is_counted() {
        let job = b"\x1b@Hello\n\x1b!\x08\x1da\x0f\x1d(k\x04\x001A2\x00\x1dv0\x00\x01\x00\x02\x00\xff\x10\
                    \x1bp\x00\x19\xfa\x10\x14\x01\x00\x01\x1dV\x42\x00";
        assert_eq!(inspect(job), Ok(Inspection { kicks: [2, 0], cuts: 1 }));
    }

    #[test]
    fn what_changes_the_printer_for_others_is_refused() {
        for job in [
            &b"\x10\x14\x02\x01\x08"[..],
            b"\x10\x05\x02",
            b"\x1d(E\x03\x00\x01\x49\x4e",
            b"\x1d(C\x05\x00\x00\x00\x00\x00\x00",
            b"\x1cq\x01\x01\x00\x01\x00\x00",
            b"\x1b&\x03\x20\x20",
            b"x\x1d(M\x02\x00\x01\x01",
            b"\x1d(L\x05\x000ACLR",
            b"\x1d(L\x04\x000BG1",
            b"\x1d8L\x0c\x00\x00\x000C0G11\x08\x00\x01\x001\xff",
            b"\x1b=\x02",
        ] {
            assert!(matches!(inspect(job), Err(RawError::Dangerous { .. })), "{job:02x?}");
        }
    }

    #[test]
    fn a_dangerous_command_hidden_in_a_picture_is_only_dots() {
        let job = b"\x1dv0\x00\x05\x00\x01\x00\x10\x14\x02\x01\x08";
        assert_eq!(inspect(job), Ok(Inspection::default()));
        assert!(matches!(inspect(&job[..10]), Err(RawError::CutShort { at: 0 })));
    }

    #[test]
    fn pulses_are_counted_by_drawer_and_can_be_cut_out() {
        let job =
            b"Tea\x1bp\x01\x19\xfa\x1dv0\x00\x05\x00\x01\x00\x1bp\x00\x19\xfa\x10\x14\x01\x00\x01=";
        assert_eq!(inspect(job), Ok(Inspection { kicks: [1, 1], cuts: 0 }));
        let without = without_kicks(job);
        assert_eq!(without, b"Tea\x1dv0\x00\x05\x00\x01\x00\x1bp\x00\x19\xfa=");
        assert_eq!(inspect(&without), Ok(Inspection::default()));
    }

    #[test]
    fn printing_a_stored_picture_passes() {
        for job in [&b"\x1d(L\x06\x000EG1\x01\x01"[..], b"\x1d(L\x02\x0002", b"\x1b=\x01"] {
            assert_eq!(inspect(job), Ok(Inspection::default()), "{job:02x?}");
        }
    }

    #[test]
    fn an_unknown_command_is_refused_with_its_place() {
        assert!(matches!(inspect(b"ab\x1d\x7f"), Err(RawError::Unknown { at: 2, .. })));
    }

    #[test]
    fn our_own_output_passes() {
        use super::super::{Profile, escpos};
        use crate::receipt::{Item, Row, Run, Sheet, Style};
        let runs = vec![Run { at: 3, text: "Preis 1 € 日".into(), style: Style::default() }];
        let items = vec![Item::Row(Row { runs, tight: true }), Item::Cut];
        let bytes = escpos::encode(&Sheet { columns: 42, items }, &Profile::epson_t88());
        assert_eq!(inspect(&bytes), Ok(Inspection { kicks: [0, 0], cuts: 1 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let seen = inspect(&bytes);
            prop_assert_eq!(commands(&bytes).map(<[u8]>::len).sum::<usize>(), bytes.len());
            if let Ok(seen) = seen {
                let without = inspect(&without_kicks(&bytes)).expect("the rest is as it was");
                prop_assert_eq!(without, Inspection { kicks: [0, 0], ..seen });
            }
        }
    }
}
