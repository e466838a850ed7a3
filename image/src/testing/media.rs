//! Disks in memory, and what goes wrong with disks.

use std::collections::BTreeMap;
use std::io;

use super::{DISK_BYTES, IMAGE_BYTES};
use crate::blockmap::{BLOCK_BYTES, BLOCK_SIZE};
use crate::layout::MIB;
use crate::medium::{Medium, ReadMode};

/// A disk of which only what was written takes memory.
#[derive(Clone)]
pub(crate) struct Memory {
    bytes: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        Self { bytes, blocks: BTreeMap::new() }
    }
}

/// The pieces of `len` bytes at `at` that lie in one block each: block, place in it, length.
fn pieces(at: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let here = at + done as u64;
        let place = usize::try_from(here % BLOCK_BYTES).unwrap();
        let piece = (BLOCK_SIZE - place).min(len - done);
        done += piece;
        (piece > 0).then_some((here / BLOCK_BYTES, place, piece))
    })
}

impl Medium for Memory {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        for (block, place, len) in pieces(at, bytes.len()) {
            let block = self.blocks.entry(block).or_insert_with(|| vec![0; BLOCK_SIZE]);
            block[place..place + len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn read_back(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        if at + len as u64 > self.bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = Vec::with_capacity(len);
        for (block, place, len) in pieces(at, len) {
            match self.blocks.get(&block) {
                Some(block) => bytes.extend_from_slice(&block[place..place + len]),
                None => bytes.resize(bytes.len() + len, 0),
            }
        }
        Ok(bytes)
    }

    fn read_mode(&self) -> ReadMode {
        ReadMode::Direct
    }

    fn is_gone(&self) -> bool {
        false
    }
}

/// A disk with an earlier life: old bytes where tables, partitions and data lie.
pub(crate) fn used_disk() -> Memory {
    let mut medium = Memory::new(DISK_BYTES);
    for at in [0, 2 * MIB, IMAGE_BYTES - 2 * MIB, DISK_BYTES - MIB] {
        medium.write_at(at, &[0xa5; 1 << 20]).unwrap();
    }
    medium
}

/// A medium with a write cache that loses power: what was not flushed is lost, kept or torn, sector
/// by sector.
pub(crate) struct PowerCut {
    /// What the computer sees while there is power.
    cache: Memory,
    /// What is left afterwards.
    pub(crate) durable: Memory,
    pending: Vec<(u64, Vec<u8>)>,
    writes_left: u32,
    dice: u64,
}

impl PowerCut {
    /// A disk whose power fails at a write.
    pub(crate) fn new(disk: Memory, at_write: u32, seed: u64) -> Self {
        let (cache, durable) = (disk.clone(), disk);
        Self { cache, durable, pending: Vec::new(), writes_left: at_write, dice: seed | 1 }
    }

    fn roll(&mut self) -> bool {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice.is_multiple_of(3)
    }

    /// Some sectors of what was pending reach the medium.
    fn cut(&mut self) -> io::Error {
        for (at, bytes) in std::mem::take(&mut self.pending) {
            for (place, sector) in (at..).step_by(512).zip(bytes.chunks(512)) {
                if self.roll() {
                    self.durable.write_at(place, sector).unwrap();
                }
            }
        }
        io::Error::from_raw_os_error(5)
    }
}

impl Medium for PowerCut {
    fn bytes(&self) -> u64 {
        self.cache.bytes()
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.pending.push((at, bytes.to_vec()));
        self.writes_left -= 1;
        if self.writes_left == 0 {
            return Err(self.cut());
        }
        self.cache.write_at(at, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        for (at, bytes) in self.pending.drain(..) {
            self.durable.write_at(at, &bytes)?;
        }
        Ok(())
    }

    fn read_back(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        self.cache.read_back(at, len)
    }

    fn read_mode(&self) -> ReadMode {
        self.cache.read_mode()
    }

    fn is_gone(&self) -> bool {
        false
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The device leaves before this write.
    PulledOut(u32),
    /// The device answers an error at this write and stays.
    Error(u32),
    /// This write never reaches the medium.
    Forgets(u32),
}

/// A medium with one fault.
pub(crate) struct Faulty {
    pub(crate) inner: Memory,
    pub(crate) fault: Fault,
    writes: u32,
    gone: bool,
}

impl Faulty {
    pub(crate) fn new(inner: Memory, fault: Fault) -> Self {
        Self { inner, fault, writes: 0, gone: false }
    }

    fn here(&self) -> io::Result<()> {
        if self.gone { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Medium for Faulty {
    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.writes += 1;
        match self.fault {
            Fault::PulledOut(write) if write == self.writes => self.gone = true,
            Fault::Error(write) if write == self.writes => {
                return Err(io::Error::from_raw_os_error(5));
            }
            Fault::Forgets(write) if write == self.writes => return Ok(()),
            Fault::PulledOut(_) | Fault::Error(_) | Fault::Forgets(_) => {}
        }
        self.here()?;
        self.inner.write_at(at, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.here()
    }

    fn read_back(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        self.here()?;
        self.inner.read_back(at, len)
    }

    fn read_mode(&self) -> ReadMode {
        self.inner.read_mode()
    }

    fn is_gone(&self) -> bool {
        self.gone
    }
}
