//! The journal as its one owner sees it.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::reader::Reader;
use super::record::{self, CHECKPOINT, Header};
use super::shelf::Shelf;
use super::{recovery, segment};
use crate::{env, room};

/// Room behind a full segment for the group that fills it, so that no group is ever split.
pub const GROUP_BYTES_MAX: u64 = 1024 * 1024;
/// A group takes no further command once it is this large.
pub const GROUP_BYTES_TARGET: usize = 512 * 1024;
/// Bytes in the files for each that is needed, and segments on top, before the oldest segment is moved however full.
const SPARSE_MAX: u64 = 4;
/// What could not be moved is tried again after so many records.
const STUCK_RECORDS: u64 = 500;
/// Damaged segment files that are kept for a person.
const DAMAGED_KEPT_MAX: usize = 8;

/// Sizes of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment is closed at this size.
    pub segment_bytes: u64,
    /// Given up for records that set space free when the disk is full.
    pub reserve_bytes: u64,
    /// Segments kept ready.
    pub spares_max: usize,
    /// Whether segments are deleted when nothing in them is alive; a ledger says no.
    pub deletes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 4 * 1024 * 1024,
            reserve_bytes: 256 * 1024,
            spares_max: 2,
            deletes: true,
        }
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The segment.
    pub segment: u64,
    /// The offset within it.
    pub offset: u64,
    /// Bytes of the whole record.
    pub length: u32,
    /// The record's number.
    pub sequence: u64,
}

impl Location {
    /// As plain numbers, for an index.
    pub fn as_place(&self) -> (u64, u64, u32, u64) {
        (self.segment, self.offset, self.length, self.sequence)
    }

    /// From [`Location::as_place`].
    pub fn of_place((segment, offset, length, sequence): (u64, u64, u32, u64)) -> Self {
        Self { segment, offset, length, sequence }
    }
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No room; what was half written has been cut off again.
    #[error("disk is full")]
    Full,
    /// The disk failed; nothing is written until the next start.
    #[error("disk failed")]
    Failed(#[source] io::Error),
    /// The disk failed earlier.
    #[error("disk failed earlier, nothing is written until the next start")]
    Poisoned,
}

/// Records that go to disk together.
#[derive(Debug, Default)]
pub struct Group {
    bytes: Vec<u8>,
    records: Vec<(u8, Range<usize>)>,
    keeps: bool,
}

impl Group {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty group with room for so many bytes, as the one before it had.
    pub fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds a record and gives its place in the answer of [`Journal::commit`].
    pub fn push(&mut self, kind: u8, body: &[&[u8]]) -> usize {
        self.keeps = true;
        self.push_release(kind, body)
    }

    /// Adds a record that sets space free, so that a group of such may spend the reserve.
    pub fn push_release(&mut self, kind: u8, body: &[&[u8]]) -> usize {
        debug_assert_ne!(kind, CHECKPOINT, "checkpoints are the journal's own");
        let span = record::push_unsealed(&mut self.bytes, body);
        self.records.push((kind, span));
        self.records.len() - 1
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records were added.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Segment files.
    pub segments: usize,
    /// Their written bytes.
    pub bytes: u64,
    /// Of these, bytes that are still needed.
    pub live_bytes: u64,
    /// Records written since the first.
    pub records: u64,
    /// Whether the disk failed and nothing is written any more.
    pub failed: bool,
    /// Whether spare segment and reserve are complete.
    pub reserves_ready: bool,
}

pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) nonce: u64,
    pub(super) end: u64,
    pub(super) live: u64,
    pub(super) live_bytes: u64,
    pub(super) damaged: bool,
    /// Its stragglers could not be moved; not tried again before this record.
    pub(super) stuck_until: u64,
}

/// An open journal; one thread owns it.
pub struct Journal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) options: Options,
    pub(super) segments: VecDeque<Segment>,
    pub(super) file: Option<Box<dyn DiskFile>>,
    pub(super) next: u64,
    pub(super) last_number: u64,
    pub(super) poisoned: bool,
    pub(super) shelf: Shelf,
}

impl Journal {
    /// Opens the journal in this directory and shows each record to `replay`, in order.
    ///
    /// Segments before `from` are kept but not read: their content is known from elsewhere.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        from: u64,
        replay: &mut dyn FnMut(recovery::Replayed<'_>),
    ) -> Result<recovery::Opened, recovery::OpenError> {
        recovery::open(disk, dir, options, from, replay)
    }

    /// A handle for reading records.
    pub fn reader(&self) -> Reader {
        Reader::new(self.disk.clone(), self.dir.clone())
    }

    /// Starts a new segment if it is time; its first record is the owner's state as it is on disk now.
    ///
    /// Returns whether a segment was started.
    pub fn begin(&mut self, checkpoint: &mut dyn FnMut() -> Vec<u8>) -> bool {
        let due = match self.segments.back() {
            Some(current) if self.file.is_some() => current.end >= self.options.segment_bytes,
            Some(_) | None => true,
        };
        due && !self.poisoned && self.roll(&checkpoint()).is_ok()
    }

    /// Writes a group and makes it durable; all or, as far as anybody is told, nothing.
    pub fn commit(&mut self, group: Group) -> Result<Vec<Location>, CommitError> {
        if self.poisoned {
            return Err(CommitError::Poisoned);
        }
        let (Some(current), Some(file)) = (self.segments.back_mut(), &self.file) else {
            return Err(CommitError::Full);
        };
        let Group { mut bytes, records, keeps } = group;
        let durable = self.next - 1;
        for ((kind, span), sequence) in records.iter().zip(self.next..) {
            let behind = u32::try_from(sequence - durable).expect("a group is far below 2^32");
            let nonce = current.nonce;
            record::seal(&mut bytes, span, Header { nonce, sequence, behind, kind: *kind });
        }
        let start = current.end;
        let mut written = file.write_all_at(&bytes, start);
        if written.as_ref().is_err_and(room::is_out) && !keeps && self.shelf.spend_reserve() {
            written = file.write_all_at(&bytes, start);
        }
        if let Err(error) = written {
            let cut = file.set_len(start).and_then(|()| file.sync_data());
            if cut.is_err() || !room::is_out(&error) {
                self.poisoned = true;
                return Err(CommitError::Failed(error));
            }
            return Err(CommitError::Full);
        }
        if let Err(error) = file.sync_data() {
            self.poisoned = true;
            return Err(CommitError::Failed(error));
        }
        let segment = current.number;
        current.end = start + length_of(&bytes);
        let locations = (self.next..).zip(&records).map(|(sequence, (_, span))| Location {
            segment,
            offset: start + span.start as u64,
            length: u32::try_from(span.len()).expect("a record is at most BODY_BYTES_MAX"),
            sequence,
        });
        let locations: Vec<_> = locations.collect();
        self.next += locations.len() as u64;
        Ok(locations)
    }

    /// The record at this location is needed until it is forgotten.
    pub fn claim(&mut self, location: &Location) {
        if let Some(segment) = self.segment_mut(location.segment) {
            segment.live += 1;
            segment.live_bytes += u64::from(location.length);
        }
    }

    /// The record at this location is no longer needed.
    pub fn forget(&mut self, location: &Location) {
        if let Some(segment) = self.segment_mut(location.segment) {
            segment.live = segment.live.saturating_sub(1);
            segment.live_bytes = segment.live_bytes.saturating_sub(u64::from(location.length));
        }
    }

    /// Gives back the space of the oldest segments as long as nothing in them is needed.
    pub fn reclaim(&mut self) {
        while self.options.deletes
            && !self.poisoned
            && self.segments.len() > 1
            && let Some(oldest) = self.segments.front()
            && oldest.live == 0
        {
            let path = self.dir.join(segment::file_name(oldest.number));
            let done = if oldest.damaged {
                self.set_aside(&path, oldest.number)
            } else {
                self.shelf.recycle(&path)
            };
            if done.is_err() {
                return;
            }
            self.segments.pop_front();
        }
    }

    /// The oldest segment if what is alive there should be written again: little in it keeps much space, or it keeps
    /// those behind it, in which much more is dead than alive everywhere.
    pub fn straggling(&self) -> Option<u64> {
        let oldest = self.segments.front()?;
        let sealed = self.segments.len() > 1;
        let sparse = self.segments.len() > 2 && oldest.live_bytes * 4 < oldest.end;
        let wanted = self.options.deletes && !self.poisoned && oldest.stuck_until <= self.next;
        let wasted = sealed && self.is_wasteful();
        (wanted && sealed && (sparse || oldest.damaged || wasted)).then_some(oldest.number)
    }

    fn is_wasteful(&self) -> bool {
        let (bytes, live) = self.segments.iter().fold((0, 0), |(bytes, live), segment| {
            (bytes + segment.end, live + segment.live_bytes)
        });
        bytes > SPARSE_MAX * (live + self.options.segment_bytes)
    }

    /// Records in this segment that are still needed.
    pub(super) fn alive_in(&self, number: u64) -> u64 {
        let segment = self.segments.iter().find(|segment| segment.number == number);
        segment.map_or(0, |segment| segment.live)
    }

    /// What is alive in this segment could not be written again; it stays as it is for a while.
    pub fn leave_straggling(&mut self, number: u64) {
        let until = self.next + STUCK_RECORDS;
        if let Some(segment) = self.segment_mut(number) {
            segment.stuck_until = until;
        }
    }

    /// Fills spare segments and reserve up, as far as the disk has room; for when there is time.
    pub fn refill(&mut self) {
        if !self.poisoned && self.shelf.is_short() {
            self.shelf.refill();
        }
    }

    /// How much there is.
    pub fn usage(&self) -> Usage {
        Usage {
            segments: self.segments.len(),
            bytes: self.segments.iter().map(|segment| segment.end).sum(),
            live_bytes: self.segments.iter().map(|segment| segment.live_bytes).sum(),
            records: self.next - 1,
            failed: self.poisoned,
            reserves_ready: !self.shelf.is_short(),
        }
    }

    /// The number of the segment that is written to; 0 before the first.
    pub fn current_segment(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.number)
    }

    fn segment_mut(&mut self, number: u64) -> Option<&mut Segment> {
        let first = self.segments.front()?.number;
        let guess = usize::try_from(number.checked_sub(first)?).ok()?;
        match self.segments.get(guess) {
            Some(segment) if segment.number == number => self.segments.get_mut(guess),
            Some(_) | None => self.segments.iter_mut().find(|segment| segment.number == number),
        }
    }

    fn roll(&mut self, checkpoint: &[u8]) -> io::Result<()> {
        let spare = self.shelf.take()?;
        let number = self.last_number + 1;
        let path = self.dir.join(segment::file_name(number));
        let nonce = u64::from_le_bytes(env::random());
        let (file, end) = match self.prepare(&spare, number, nonce, checkpoint) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.shelf.put_back(&spare);
                return Err(error);
            }
        };
        self.disk.rename(&spare, &path)?;
        if let Err(error) = self.disk.sync_dir(&self.dir) {
            self.poisoned = true;
            return Err(error);
        }
        let (live, live_bytes) = (0, 0);
        let (damaged, stuck_until) = (false, 0);
        let segment = Segment { number, nonce, end, live, live_bytes, damaged, stuck_until };
        self.segments.push_back(segment);
        self.file = Some(file);
        self.last_number = number;
        self.next += 1;
        Ok(())
    }

    /// Header and checkpoint, durable before the file gets a segment's name.
    fn prepare(
        &self,
        spare: &Path,
        number: u64,
        nonce: u64,
        checkpoint: &[u8],
    ) -> io::Result<(Box<dyn DiskFile>, u64)> {
        let header = segment::Header { number, nonce, first: self.next };
        let mut bytes = header.encode().to_vec();
        let span = record::push_unsealed(&mut bytes, &[checkpoint]);
        let sealed = Header { nonce, sequence: self.next, behind: 1, kind: CHECKPOINT };
        record::seal(&mut bytes, &span, sealed);
        let file = self.disk.open(spare)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        Ok((file, length_of(&bytes)))
    }

    fn set_aside(&self, path: &Path, number: u64) -> io::Result<()> {
        let kept: Vec<_> = self.disk.list(&self.dir)?;
        let kept: Vec<_> = kept.iter().filter(|name| name.ends_with(".damaged")).collect();
        if kept.len() >= DAMAGED_KEPT_MAX {
            self.disk.remove(&self.dir.join(kept[0]))?;
        }
        self.disk.rename(path, &self.dir.join(format!("seg-{number:010}.damaged")))?;
        self.disk.sync_dir(&self.dir)
    }
}

fn length_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a group is far smaller than 2^64 bytes")
}
