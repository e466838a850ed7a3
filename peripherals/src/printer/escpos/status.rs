//! Telling an ESC/POS printer's answers apart.
//!
//! Source: Citizen CT-S310 "Identification of Send Status".
//!
//! | answer | pattern | bits |
//! |---|---|---|
//! | XON, XOFF | 11h, 13h | dropped, inside others too |
//! | `DLE EOT` | 0xx1xx10 | `b & 93h == 12h` |
//! | automatic status | 0xx1xx00, then three 0xx0xxxx | `b & 93h == 10h` |
//! | `GS r`, `GS I` | 0xx0xxxx | `b & 90h == 0` |
//! | block | 35h 37h 3Bh 3Dh 5Fh … 00h | read to the zero |
//!
//! Anything else is noise: counted, skipped, never guessed at.

/// The longest block read; the longest defined one is a name of under 80 characters.
const BLOCK_MAX: usize = 96;

/// One answer of a printer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To `DLE EOT`.
    RealTime(u8),
    /// Automatic status.
    Report([u8; 4]),
    /// To `GS r` or `GS I` 1 to 3.
    Single(u8),
    /// A block of bytes.
    Block {
        /// Its kind.
        header: u8,
        /// What stands between the header and the zero.
        body: Vec<u8>,
    },
    /// A byte that belongs to none of them.
    Noise(u8),
}

#[derive(Debug, Default)]
enum Part {
    #[default]
    Nothing,
    Report {
        bytes: [u8; 4],
        have: usize,
    },
    Block {
        header: u8,
        body: Vec<u8>,
    },
}

/// Takes a printer's bytes one by one.
#[derive(Debug, Default)]
pub struct ReplyParser {
    part: Part,
}

impl ReplyParser {
    /// Takes a byte; returns the answer it completes.
    pub fn take(&mut self, byte: u8) -> Option<Reply> {
        if matches!(byte, 0x11 | 0x13) {
            return None;
        }
        match std::mem::take(&mut self.part) {
            Part::Nothing => self.begin(byte),
            Part::Report { mut bytes, have } => {
                if byte & 0x90 != 0 {
                    // The report broke off; this byte starts something of its own.
                    return self.begin(byte);
                }
                bytes[have] = byte;
                if have == 3 {
                    return Some(Reply::Report(bytes));
                }
                self.part = Part::Report { bytes, have: have + 1 };
                None
            }
            Part::Block { header, body } if byte == 0 => Some(Reply::Block { header, body }),
            Part::Block { header, mut body } => {
                if byte >= 0x80 || body.len() >= BLOCK_MAX {
                    return Some(Reply::Noise(byte));
                }
                body.push(byte);
                self.part = Part::Block { header, body };
                None
            }
        }
    }

    fn begin(&mut self, byte: u8) -> Option<Reply> {
        match byte {
            0x35 | 0x37 | 0x3B | 0x3D | 0x5F => {
                self.part = Part::Block { header: byte, body: Vec::new() };
                None
            }
            _ if byte & 0x93 == 0x12 => Some(Reply::RealTime(byte)),
            _ if byte & 0x93 == 0x10 => {
                self.part = Part::Report { bytes: [byte, 0, 0, 0], have: 1 };
                None
            }
            _ if byte & 0x90 == 0 => Some(Reply::Single(byte)),
            _ => Some(Reply::Noise(byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Vec<Reply> {
        let mut parser = ReplyParser::default();
        bytes.iter().filter_map(|byte| parser.take(*byte)).collect()
    }

    #[test]
    fn golden_streams() {
        let ok = [0x10, 0, 0, 0];
        assert_eq!(
            parse(&[0x10, 0, 0, 0, 0x10, 0, 0, 0, 0]),
            [Reply::Report(ok), Reply::Report(ok), Reply::Single(0)]
        );
        assert_eq!(parse(&[0x18, 0, 0x0F, 0]), [Reply::Report([0x18, 0, 0x0F, 0])]);
        assert_eq!(
            parse(b"\x37\x220003\x00"),
            [Reply::Block { header: 0x37, body: b"\x220003".to_vec() }]
        );
        assert_eq!(
            parse(b"\x5fEPSON\x00\x37#\x00"),
            [
                Reply::Block { header: 0x5F, body: b"EPSON".to_vec() },
                Reply::Block { header: 0x37, body: b"#".to_vec() },
            ]
        );
        assert_eq!(parse(&[0x10, 0, 0x13, 0, 0]), [Reply::Report(ok)]);
    }

    #[test]
    fn the_five_kinds_never_overlap() {
        for byte in 0..0x80u8 {
            let kinds = [
                byte & 0x93 == 0x12,
                byte & 0x93 == 0x10,
                byte & 0x90 == 0,
                matches!(byte, 0x35 | 0x37 | 0x3B | 0x3D | 0x5F),
                matches!(byte, 0x11 | 0x13),
            ];
            assert!(kinds.iter().filter(|kind| **kind).count() <= 1, "{byte:02x}");
        }
    }

    #[test]
    fn a_report_that_breaks_off_does_not_swallow_the_next() {
        assert_eq!(parse(&[0x10, 0, 0x16]), [Reply::RealTime(0x16)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answers_or_noise(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut parser = ReplyParser::default();
            for byte in bytes {
                parser.take(byte);
                if let Part::Block { body, .. } = &parser.part {
                    prop_assert!(body.len() <= BLOCK_MAX);
                }
            }
        }
    }
}
