//! Writing a release onto a disk so that it is either whole or visibly not there.
//!
//! In this order: the old tables and the start of the old data are wiped and a mark of this release
//! is left; the content is written and read back; the partition table is written last. A disk that
//! was pulled out half way has no table, so nothing starts from it, and its mark says what was
//! going on: the same command goes on where it stopped, believing nothing it has not read again.
//!
//! Only content is written. What lies between belongs to no file system that is in use; a data
//! partition of an earlier life begins after the image and loses its first and last megabytes, so
//! that first boot finds no old file system there.
//!
//! Each chunk's hash is checked before it is written and after it was read back.

mod mark;

use std::io::{self, Read, Seek};

use crate::blockmap::{BlockMap, Chunk};
use crate::bundle::{Bundle, ContentError};
use crate::digest::Digest;
use crate::gpt::{self, InvalidTable, NoTable, Table};
use crate::layout::{Layout, MIB, Role};
use crate::medium::Medium;

pub use mark::unfinished;
use mark::{MARK_AT, mark};

/// Wiped at the start and the end of the disk; content begins after it.
const EDGE_BYTES: u64 = MIB;
/// Wiped at the start of the data partition: superblocks of every file system we know.
const DATA_WIPE_BYTES: u64 = 4 * MIB;
/// Written between two flushes, so that progress is what the medium has and not what memory holds.
const FLUSH_BYTES: u64 = 16 * MIB;

/// What the flasher is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looking at what an interrupted flash left.
    Resume,
    Write,
    ReadBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub done: u64,
    pub total: u64,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flashed {
    pub written: u64,
    /// Found in place from an interrupted flash of the same release.
    pub kept: u64,
    pub read_back: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    #[error("release has no disk in it, it is only for updates")]
    NoDisk,
    #[error("disk has {has} bytes, this release needs {needs}")]
    TooSmall { has: u64, needs: u64 },
    #[error("use the release")]
    Release(#[from] ContentError),
    #[error("use the partition table of the release")]
    Table(#[from] NoTable),
    #[error("lay out the disk")]
    Layout(#[from] InvalidTable),
    #[error("release has content at {at}, where the partition table lies")]
    Shape { at: u64 },
    #[error(
        "the device was pulled out or lost its connection at {at} of {total} bytes; \
         plug it in and repeat the command, it goes on where it stopped"
    )]
    Gone {
        at: u64,
        total: u64,
        #[source]
        source: io::Error,
    },
    #[error("{what} at byte {at} of the device")]
    Device {
        what: &'static str,
        at: u64,
        #[source]
        source: io::Error,
    },
    #[error(
        "the device does not keep what it is given (byte {at}): it is worn out or a fake, \
         use another one"
    )]
    Forgetful { at: u64 },
}

/// The smallest disk for a release: its image, and the least data partition beside it.
pub fn disk_bytes_min(map: &BlockMap) -> u64 {
    map.image_bytes() + Layout::shipped().place(Role::Data).bytes
}

/// Writes a release onto a medium. The caller has made sure that it may be overwritten.
pub fn flash<R: Read + Seek>(
    bundle: &mut Bundle<R>,
    medium: &mut dyn Medium,
    progress: &mut dyn FnMut(Progress),
) -> Result<Flashed, FlashError> {
    let map = bundle.manifest().disk.clone().ok_or(FlashError::NoDisk)?;
    let (has, needs) = (medium.bytes(), disk_bytes_min(&map));
    if has < needs {
        return Err(FlashError::TooSmall { has, needs });
    }
    let table = table(bundle, &map)?.resized(has)?;
    let data_at = check_shape(&map, &table)?;
    let total = map.content().iter().map(|chunk| chunk.bytes).sum();
    let release = bundle.digest();
    let mut run = Run { medium, progress, total, at: 0, flashed: Flashed::default() };
    let kept = if run.is_marked(release)? {
        run.find_kept(&map)?
    } else {
        run.wipe(data_at, release)?;
        vec![false; map.content().len()]
    };
    run.write_content(bundle, &map, &kept)?;
    run.read_back_content(&map, &kept)?;
    run.finish(&table)?;
    Ok(run.flashed)
}

/// The release's partition table, as it is in its image.
pub(crate) fn table<R: Read + Seek>(
    bundle: &mut Bundle<R>,
    map: &BlockMap,
) -> Result<Table, FlashError> {
    let head = bundle.chunk(0)?;
    Ok(gpt::primary(&head, map.image_bytes())?)
}

/// All content lies between the edges. Says where the data partition will begin.
fn check_shape(map: &BlockMap, table: &Table) -> Result<u64, FlashError> {
    let end = table.entries().iter().map(|entry| entry.start_byte() + entry.bytes()).max();
    let end = end.unwrap_or(EDGE_BYTES);
    let outside = |chunk: &&Chunk| chunk.at < EDGE_BYTES || chunk.end() > end;
    match map.content().iter().find(outside) {
        Some(chunk) => Err(FlashError::Shape { at: chunk.at }),
        None => Ok(end),
    }
}

struct Run<'a> {
    medium: &'a mut dyn Medium,
    progress: &'a mut dyn FnMut(Progress),
    total: u64,
    /// Content that is done in this phase.
    at: u64,
    flashed: Flashed,
}

impl Run<'_> {
    fn is_marked(&mut self, release: Digest) -> Result<bool, FlashError> {
        let wanted = mark(release);
        let found = self.read(MARK_AT, wanted.len())?;
        Ok(found == wanted)
    }

    /// Which chunks an interrupted flash already wrote, judged by reading them.
    fn find_kept(&mut self, map: &BlockMap) -> Result<Vec<bool>, FlashError> {
        self.at = 0;
        let mut kept = Vec::with_capacity(map.content().len());
        for chunk in map.content() {
            let whole = Digest::of(&self.read(chunk.at, chunk.size())?) == chunk.blake3;
            kept.push(whole);
            self.step(Phase::Resume, chunk.bytes);
            if whole {
                self.flashed.kept += chunk.bytes;
            }
        }
        Ok(kept)
    }

    /// Takes the old tables away, and with them everything that would start or be mounted.
    fn wipe(&mut self, data_at: u64, release: Digest) -> Result<(), FlashError> {
        let end = self.medium.bytes();
        self.zero(0, EDGE_BYTES)?;
        self.flush()?;
        self.zero(data_at, DATA_WIPE_BYTES.min(end.saturating_sub(data_at)))?;
        self.zero(end - EDGE_BYTES, EDGE_BYTES)?;
        // The mark says that the wipe is done; a drive may write in any order what is not flushed.
        self.flush()?;
        self.write(MARK_AT, &mark(release))?;
        self.flush()
    }

    fn write_content<R: Read + Seek>(
        &mut self,
        bundle: &mut Bundle<R>,
        map: &BlockMap,
        kept: &[bool],
    ) -> Result<(), FlashError> {
        self.at = 0;
        let mut unflushed = 0;
        for (index, (chunk, kept)) in map.content().iter().zip(kept).enumerate() {
            if !kept {
                // Chunk 0 of the map is the head; the content follows.
                let bytes = bundle.chunk(index + 1)?;
                self.write(chunk.at, &bytes)?;
                self.flashed.written += chunk.bytes;
                unflushed += chunk.bytes;
            }
            if unflushed >= FLUSH_BYTES {
                self.flush()?;
                unflushed = 0;
            }
            self.step(Phase::Write, chunk.bytes);
        }
        self.flush()
    }

    fn read_back_content(&mut self, map: &BlockMap, kept: &[bool]) -> Result<(), FlashError> {
        self.at = 0;
        for (chunk, kept) in map.content().iter().zip(kept) {
            if !kept {
                let found = Digest::of(&self.read(chunk.at, chunk.size())?);
                if found != chunk.blake3 {
                    return Err(FlashError::Forgetful { at: chunk.at });
                }
                self.flashed.read_back += chunk.bytes;
            }
            self.step(Phase::ReadBack, chunk.bytes);
        }
        Ok(())
    }

    /// The table makes the disk one that starts: last, and the first copy last of all.
    fn finish(&mut self, table: &Table) -> Result<(), FlashError> {
        for (at, bytes) in [(table.tail_at(), table.tail()), (0, table.head())] {
            self.write(at, &bytes)?;
            self.flush()?;
            if self.read(at, bytes.len())? != bytes {
                return Err(FlashError::Forgetful { at });
            }
        }
        self.zero(MARK_AT, mark(Digest::of(b"")).len() as u64)?;
        self.flush()
    }

    fn zero(&mut self, at: u64, bytes: u64) -> Result<(), FlashError> {
        let len = usize::try_from(bytes).expect("callers wipe a few megabytes");
        self.write(at, &vec![0; len])
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), FlashError> {
        let answer = self.medium.write_at(at, bytes);
        answer.map_err(|source| self.device_error("write", at, source))
    }

    fn flush(&mut self) -> Result<(), FlashError> {
        let answer = self.medium.flush();
        answer.map_err(|source| self.device_error("flush what was written up to", self.at, source))
    }

    fn read(&mut self, at: u64, len: usize) -> Result<Vec<u8>, FlashError> {
        let answer = self.medium.read_back(at, len);
        answer.map_err(|source| self.device_error("read back", at, source))
    }

    /// A device that is gone and a device that is broken need different things from the technician.
    fn device_error(&self, what: &'static str, at: u64, source: io::Error) -> FlashError {
        use nix::errno::Errno;
        let errno = Errno::from_raw(source.raw_os_error().unwrap_or(0));
        let says_gone = matches!(errno, Errno::ENODEV | Errno::ENXIO | Errno::ENOMEDIUM);
        if says_gone || self.medium.is_gone() {
            return FlashError::Gone { at: self.at, total: self.total, source };
        }
        FlashError::Device { what, at, source }
    }

    fn step(&mut self, phase: Phase, bytes: u64) {
        self.at += bytes;
        (self.progress)(Progress { phase, done: self.at, total: self.total });
    }
}

#[cfg(test)]
mod tests;
