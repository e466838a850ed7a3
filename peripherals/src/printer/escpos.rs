//! ESC/POS: the language of Epson's receipt printers and of most others.
//!
//! Sources: Epson ESC/POS reference (`GS ( H`, `GS a`, `GS r`, `DLE EOT`, `DLE ENQ`), TM-L90
//! specification p. 429 (process id), UB-E02 technical reference (`ESC @` switches automatic
//! status off), Citizen "Identification of Send Status".
//!
//! Traps kept in mind:
//! - after `ESC @` automatic status must be switched on again;
//! - clones with a Chinese ROM read bytes from 80h as pairs until `FS .`;
//! - a clone may answer one status question and ignore the next, so only one is asked at a time.

mod encode;
mod owed;
mod status;

pub use encode::{encode, real_time_free};
pub use status::{Reply, ReplyParser};

use super::raw;
use super::{Dialect, Heard, Level, Paper, Profile, Proof, Recovery, Status};
use crate::receipt::Drawer;
use owed::Owed;

const INIT: [u8; 2] = [0x1B, 0x40];
/// Drawer, online, error and paper changes are reported by themselves.
const REPORTS_ON: [u8; 3] = [0x1D, 0x61, 0x0F];
/// Pulse of 50 ms, pause of 500 ms: what every drawer here was built for.
const PULSE: [u8; 2] = [25, 250];
/// `GS I 67`, the model's name: its answer is a block and no single byte.
const WHO: [u8; 3] = [0x1D, 0x49, 67];
/// What the block that answers [`WHO`] begins with.
const NAME: u8 = 0x5F;

/// ESC/POS as one profile speaks it.
#[derive(Debug)]
pub struct EscPos {
    profile: Profile,
    parser: ReplyParser,
    status: Status,
    asked: Option<u8>,
    /// Answers to questions that stand within and behind jobs.
    owed: Owed,
}

impl EscPos {
    /// The language of a model.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            parser: ReplyParser::default(),
            status: Status::default(),
            asked: None,
            owed: Owed::default(),
        }
    }

    /// The model.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    fn prologue(&self) -> Vec<u8> {
        let mut bytes = INIT.to_vec();
        // Cancels two-byte reading; ideographs switch it on for themselves only.
        bytes.extend_from_slice(&[0x1C, 0x2E]);
        if self.profile.reports {
            bytes.extend_from_slice(&REPORTS_ON);
        }
        bytes
    }

    fn take_real_time(&mut self, byte: u8) -> Heard {
        let Some(asked) = self.asked.take() else { return Heard::Spoke };
        let set = |mask: u8| byte & mask != 0;
        let status = &mut self.status;
        match asked {
            1 => {
                status.drawer_high = Some(set(0x04));
                status.offline = set(0x08);
                // Online clears what only an offline printer can have.
                if !status.offline {
                    status.cover_open = false;
                }
            }
            2 => {
                status.cover_open = set(0x04);
                if set(0x20) {
                    status.paper = Paper::Out;
                }
            }
            3 => {
                status.recoverable_error = set(0x04);
                status.cutter_error = set(0x08);
                status.unrecoverable_error = set(0x20);
                status.waits_to_recover = set(0x40);
            }
            _ => status.paper = paper(set(0x60), set(0x0C)),
        }
        Heard::Answered
    }

    fn take_report(&mut self, report: [u8; 4]) -> Heard {
        let [first, second, third, _] = report;
        self.status = Status {
            offline: first & 0x08 != 0,
            cover_open: first & 0x20 != 0,
            paper: paper(third & 0x0C != 0, third & 0x03 != 0),
            cutter_error: second & 0x08 != 0,
            recoverable_error: second & 0x04 != 0,
            unrecoverable_error: second & 0x20 != 0,
            waits_to_recover: second & 0x40 != 0,
            drawer_high: Some(first & 0x04 != 0),
        };
        Heard::Spoke
    }
}

fn paper(out: bool, near_end: bool) -> Paper {
    if out {
        Paper::Out
    } else if near_end {
        Paper::NearEnd
    } else {
        Paper::Present
    }
}

/// `37 22 d d d d`: the number of the last job that is printed.
fn process_id(header: u8, body: &[u8]) -> Option<u16> {
    match body {
        [0x22, digits @ ..] if header == 0x37 && digits.len() == 4 => {
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

impl Dialect for EscPos {
    fn reset(&mut self) {
        self.parser = ReplyParser::default();
        self.status = Status::default();
        // What it owes it may still hold; the question before the next job finds that out.
        self.asked = None;
    }

    fn greet(&self) -> Vec<u8> {
        self.prologue()
    }

    fn resync(&self) -> Vec<u8> {
        // No strip this encoder sends is longer, so this many zeros end any of them.
        let strip = self.profile.strip_rows as usize * (self.profile.dots as usize).div_ceil(8);
        let mut bytes = vec![0; strip + 64];
        bytes.extend_from_slice(&self.prologue());
        bytes
    }

    fn resync_cancels(&self) -> bool {
        false
    }

    fn ask(&mut self, step: usize) -> Option<Vec<u8>> {
        let question = u8::try_from(step + 1).ok().filter(|question| *question <= 4)?;
        self.asked = Some(question);
        Some(vec![0x10, 0x04, question])
    }

    fn frame(&mut self, body: &[u8], mark: u16) -> Vec<u8> {
        let mut bytes = self.prologue();
        match self.profile.proof {
            Proof::ProcessId => {
                bytes.extend_from_slice(&raw::without_process_ids(body));
                bytes.extend_from_slice(&[0x1D, 0x28, 0x48, 0x06, 0x00, 0x30, 0x30]);
                bytes.extend_from_slice(format!("{:04}", mark % 10_000).as_bytes());
            }
            Proof::StatusRequest => {
                if !self.owed.is_empty() {
                    bytes.extend_from_slice(&WHO);
                    self.owed.expect_block();
                }
                bytes.extend_from_slice(body);
                self.owed.expect_of(body);
                bytes.extend_from_slice(&[0x1D, 0x72, 0x01]);
                self.owed.expect_proof(mark);
            }
            Proof::Nothing | Proof::Status => bytes.extend_from_slice(body),
        }
        bytes
    }

    fn give_up(&mut self) {
        self.owed.clear();
    }

    fn handle_byte(&mut self, byte: u8) -> Heard {
        match self.parser.take(byte) {
            None | Some(Reply::Noise(_)) => Heard::Nothing,
            Some(Reply::RealTime(byte)) => self.take_real_time(byte),
            Some(Reply::Report(report)) => self.take_report(report),
            Some(Reply::Single(byte)) => {
                self.status.paper = paper(byte & 0x0C != 0, byte & 0x03 != 0);
                self.owed.take_byte().map_or(Heard::Spoke, Heard::Reached)
            }
            Some(Reply::Block { header: NAME, .. }) => {
                self.owed.take_block();
                Heard::Spoke
            }
            Some(Reply::Block { header, body }) => {
                process_id(header, &body).map_or(Heard::Spoke, Heard::Reached)
            }
        }
    }

    fn status(&self) -> Status {
        self.status
    }

    fn answers(&self) -> bool {
        self.profile.proof != Proof::Nothing
    }

    fn falls_silent_in_trouble(&self) -> bool {
        false
    }

    fn level(&self) -> Level {
        match self.profile.proof {
            Proof::Nothing => Level::HandedOver,
            Proof::Status => Level::StatusGood,
            Proof::StatusRequest => Level::Processed,
            Proof::ProcessId => Level::ProcessId,
        }
    }

    fn bytes_per_second(&self) -> u32 {
        self.profile.bytes_per_second
    }

    fn kick(&self, drawer: Drawer) -> Option<Vec<u8>> {
        Some(kick(drawer).to_vec())
    }

    fn kick_at_once(&self, drawer: Drawer) -> Option<Vec<u8>> {
        self.profile.kicks_at_once.then(|| vec![0x10, 0x14, 1, pin(drawer), 1])
    }

    fn recover(&self, how: Recovery) -> Option<Vec<u8>> {
        Some(match how {
            Recovery::Resume => vec![0x10, 0x05, 0x01],
            Recovery::Discard => {
                let mut bytes = vec![0x10, 0x05, 0x02];
                bytes.extend_from_slice(&self.prologue());
                bytes
            }
        })
    }
}

fn kick(drawer: Drawer) -> [u8; 5] {
    [0x1B, 0x70, pin(drawer), PULSE[0], PULSE[1]]
}

fn pin(drawer: Drawer) -> u8 {
    match drawer {
        Drawer::First => 0,
        Drawer::Second => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(dialect: &mut EscPos, bytes: &[u8]) -> Vec<Heard> {
        bytes
            .iter()
            .map(|byte| dialect.handle_byte(*byte))
            .filter(|heard| *heard != Heard::Nothing)
            .collect()
    }

    #[test]
    fn golden_real_time_answers() {
        // Recorded from emupos: idle, paper out, cover open with the drawer's sensor high.
        for (answers, trouble, drawer) in [
            ([0x12, 0x12, 0x12, 0x12], None, false),
            ([0x1E, 0x32, 0x12, 0x7E], Some(super::super::Trouble::PaperOut), true),
            ([0x1E, 0x16, 0x12, 0x12], Some(super::super::Trouble::CoverOpen), true),
        ] {
            let mut dialect = EscPos::new(Profile::epson_t20());
            for (step, answer) in answers.into_iter().enumerate() {
                dialect.ask(step).unwrap();
                assert_eq!(heard(&mut dialect, &[answer]), [Heard::Answered]);
            }
            assert_eq!(dialect.status().trouble(), trouble);
            assert_eq!(dialect.status().drawer_high, Some(drawer));
        }
    }

    #[test]
    fn golden_reports() {
        let mut dialect = EscPos::new(Profile::epson_t88());
        heard(&mut dialect, &[0x18, 0x00, 0x0F, 0x00]);
        assert_eq!(dialect.status().paper, Paper::Out);
        heard(&mut dialect, &[0x14, 0x00, 0x03, 0x00]);
        assert_eq!(dialect.status().paper, Paper::NearEnd);
        assert_eq!((dialect.status().trouble(), dialect.status().drawer_high), (None, Some(true)));
        heard(&mut dialect, &[0x18, 0x08, 0x00, 0x00]);
        assert_eq!(dialect.status().trouble(), Some(super::super::Trouble::Cutter));
    }

    #[test]
    fn a_process_id_proves_its_own_job() {
        let mut dialect = EscPos::new(Profile::epson_t88());
        let framed = dialect.frame(b"x", 3);
        assert!(framed.starts_with(b"\x1b@\x1c.\x1da\x0fx"));
        assert!(framed.ends_with(b"\x1d(H\x06\x00000003"));
        assert_eq!(heard(&mut dialect, b"\x37\x220003\x00"), [Heard::Reached(3)]);
    }

    #[test]
    fn a_status_request_proves_a_job_only_where_one_was_placed() {
        let mut dialect = EscPos::new(Profile::epson_t20());
        assert_eq!(heard(&mut dialect, &[0x00]), [Heard::Spoke]);
        assert!(dialect.frame(b"x", 9).ends_with(b"x\x1dr\x01"));
        assert_eq!(heard(&mut dialect, &[0x10, 0, 0, 0, 0x00]), [Heard::Spoke, Heard::Reached(9)]);
    }

    #[test]
    fn questions_within_a_raw_job_do_not_prove_it() {
        let mut dialect = EscPos::new(Profile::epson_t20());
        dialect.frame(b"\x1dr\x01x", 9);
        assert_eq!(heard(&mut dialect, &[0x00, 0x00]), [Heard::Spoke, Heard::Reached(9)]);
        let mut dialect = EscPos::new(Profile::epson_t88());
        let framed = dialect.frame(b"\x1d(H\x06\x00000009x", 9);
        assert_eq!(framed.windows(4).filter(|digits| *digits == b"0009").count(), 1);
    }
}
