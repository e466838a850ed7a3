//! Star Line Mode and StarPRNT.
//!
//! Source: Star Line Mode Command Specifications p. 5-11 and 5-15 (automatic status, ETB).
//!
//! Star's proof is a counter: every ETB (17h) the printer reaches advances it, and the automatic
//! status reports it.
//! A job stands between two of them; when the counter has come as far as all that were sent, the
//! job is on paper.
//! Those of a job in doubt may still be in the printer: they count too, so that none of them proves
//! the job behind it, and a counter that jumps (the printer was switched off) proves nothing.
//! ENQ and EOT must not be sent while automatic status is on, so the only question ever asked is
//! ESC ACK SOH, which makes the printer send the same block at once.

mod encode;

pub use encode::encode;

use super::{Dialect, Heard, Level, Paper, Profile, Recovery, Status};
use crate::receipt::Drawer;

const ESC: u8 = 0x1B;
const ETB: u8 = 0x17;
const REPORTS_ON: [u8; 4] = [ESC, 0x1E, 0x61, 1];
/// Blocks are 7 to 15 bytes long; longer ones are not Star's.
const BLOCK_MAX: usize = 24;
const _: () = assert!(BLOCK_MIN >= 2, "the second byte is part of the length");
const BLOCK_MIN: usize = 7;
/// The counter has five bits.
const COUNTER_END: u8 = 32;
/// Both ETBs of a job.
const ETBS: u8 = 2;

/// Star's language as one profile speaks it.
#[derive(Debug)]
pub struct Star {
    profile: Profile,
    block: Vec<u8>,
    status: Status,
    counter: Option<u8>,
    /// ETBs that were sent and that the counter has not passed yet.
    owed: u8,
    /// The job that is proven when none is owed any more.
    pending: Option<u16>,
    asked: bool,
}

impl Star {
    /// The language of a model.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            block: Vec::new(),
            status: Status::default(),
            counter: None,
            owed: 0,
            pending: None,
            asked: false,
        }
    }

    fn take_block(&mut self, block: &[u8]) -> Heard {
        let at = |index: usize| block.get(index).copied().unwrap_or(0);
        let (second, third, fourth, fifth, seventh) = (at(2), at(3), at(4), at(5), at(7));
        self.status = Status {
            offline: second & 0x08 != 0,
            cover_open: second & 0x20 != 0,
            paper: if fifth & 0x08 != 0 { Paper::Out } else { Paper::Present },
            cutter_error: third & 0x08 != 0,
            recoverable_error: third & 0x04 != 0 || fourth & 0x0A != 0,
            unrecoverable_error: third & 0x20 != 0,
            waits_to_recover: third & 0x40 != 0,
            drawer_high: Some(second & 0x04 != 0),
        };
        if block.len() <= 7 {
            return self.spoke();
        }
        let counter = (seventh >> 2) & 0x18 | (seventh >> 1) & 0x07;
        self.count(counter);
        let is_through = self.owed == 0 && self.status.trouble().is_none();
        match self.pending.take_if(|_| is_through) {
            Some(mark) => Heard::Reached(mark),
            None => self.spoke(),
        }
    }

    fn count(&mut self, counter: u8) {
        let Some(before) = self.counter.replace(counter) else { return };
        let passed = (counter + COUNTER_END - before) % COUNTER_END;
        if passed > self.owed {
            self.give_up();
        } else {
            self.owed -= passed;
        }
    }

    fn spoke(&mut self) -> Heard {
        if std::mem::take(&mut self.asked) { Heard::Answered } else { Heard::Spoke }
    }
}

/// How long the block is that starts with these two bytes.
fn block_length(first: u8, second: u8) -> usize {
    usize::from((first >> 2) & 0x18 | (first >> 1) & 0x07) + usize::from((second >> 6) & 0x02)
}

impl Dialect for Star {
    fn reset(&mut self) {
        self.block.clear();
        self.status = Status::default();
        // Whether the printer still holds what it was sent, its counter tells.
        self.pending = None;
        self.asked = false;
    }

    fn greet(&self) -> Vec<u8> {
        [&[ESC, 0x40][..], &REPORTS_ON].concat()
    }

    fn resync(&self) -> Vec<u8> {
        // No row of dots is longer than this many zeros.
        let mut bytes = vec![0; (self.profile.dots as usize).div_ceil(8) + 16];
        bytes.extend_from_slice(&self.greet());
        bytes
    }

    fn resync_cancels(&self) -> bool {
        false
    }

    fn ask(&mut self, step: usize) -> Option<Vec<u8>> {
        self.asked = step == 0;
        (step == 0).then(|| vec![ESC, 0x06, 0x01])
    }

    fn frame(&mut self, body: &[u8], mark: u16) -> Vec<u8> {
        // Of so many that the counter would come round, nothing could be told any more.
        self.pending = (self.owed + ETBS < COUNTER_END).then_some(mark);
        self.owed = (self.owed + ETBS).min(COUNTER_END - 1);
        let mut bytes = self.greet();
        bytes.push(ETB);
        bytes.extend_from_slice(body);
        bytes.push(ETB);
        bytes
    }

    fn give_up(&mut self) {
        (self.owed, self.pending) = (0, None);
    }

    fn handle_byte(&mut self, byte: u8) -> Heard {
        if matches!(byte, 0x11 | 0x13) {
            return Heard::Nothing;
        }
        // Bit 0 marks the first byte of a block and no other.
        if byte & 0x01 != 0 {
            self.block.clear();
            let length = block_length(byte, 0);
            let valid = byte & 0x10 == 0 && (BLOCK_MIN..=BLOCK_MAX).contains(&length);
            if valid {
                self.block.push(byte);
            }
            return Heard::Nothing;
        }
        if self.block.is_empty() {
            return Heard::Nothing;
        }
        if byte & 0x10 != 0 {
            self.block.clear();
            return Heard::Nothing;
        }
        self.block.push(byte);
        if self.block.len() < block_length(self.block[0], self.block[1]) {
            return Heard::Nothing;
        }
        let block = std::mem::take(&mut self.block);
        self.take_block(&block)
    }

    fn status(&self) -> Status {
        self.status
    }

    fn answers(&self) -> bool {
        true
    }

    fn falls_silent_in_trouble(&self) -> bool {
        false
    }

    fn level(&self) -> Level {
        Level::Processed
    }

    fn bytes_per_second(&self) -> u32 {
        self.profile.bytes_per_second
    }

    fn kick(&self, drawer: Drawer) -> Option<Vec<u8>> {
        Some(vec![kick(drawer)])
    }

    fn kick_at_once(&self, _drawer: Drawer) -> Option<Vec<u8>> {
        None
    }

    fn recover(&self, how: Recovery) -> Option<Vec<u8>> {
        match how {
            // A Star printer goes on by itself once its cause is gone.
            Recovery::Resume => None,
            Recovery::Discard => Some([&[0x18][..], &self.greet()].concat()),
        }
    }
}

fn kick(drawer: Drawer) -> u8 {
    match drawer {
        Drawer::First => 0x07,
        Drawer::Second => 0x1A,
    }
}

#[cfg(test)]
mod tests;
