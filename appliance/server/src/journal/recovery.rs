//! Opening a journal after anything: a clean stop, a power cut, a damaged disk, a full disk.
//!
//! Opening writes only into what is there already: it cuts an unfinished commit off, and it writes the last
//! commit once more before it believes in it, because a kernel that failed to write it may show it nevertheless.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::log::{GROUP_BYTES_MAX, Journal, Location, Options, Segment};
use super::record::{self, Found};
use super::segment::{self, Scan};
use super::shelf::Shelf;

/// The unit in which a failing disk is read around its bad places.
const SECTOR: usize = 4096;
/// A segment file longer than this was not written by a journal.
pub(super) const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A record that was read back.
#[derive(Debug, Clone, Copy)]
pub struct Replayed<'a> {
    /// The owner's kind, or [`record::CHECKPOINT`].
    pub kind: u8,
    /// The body.
    pub body: &'a [u8],
    /// Where it is.
    pub location: Location,
}

/// Damage that was found; what is readable was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incident {
    /// The file does not begin as a segment.
    #[error("segment {segment} has no readable header")]
    HeaderDamaged {
        /// The segment.
        segment: u64,
    },
    /// Records within a segment cannot be read.
    #[error("segment {segment}: {} records from {} on are damaged", records.end - records.start, records.start)]
    RecordsDamaged {
        /// The segment.
        segment: u64,
        /// Their sequences.
        records: Range<u64>,
    },
    /// Records between two segments are not there.
    #[error("before segment {segment}: {} records from {} on are missing", records.end - records.start, records.start)]
    RecordsMissing {
        /// The segment in front of which they are missing.
        segment: u64,
        /// Their sequences.
        records: Range<u64>,
    },
    /// The disk did not give all of the file.
    #[error("segment {segment}: {bytes} bytes cannot be read from the disk")]
    Unreadable {
        /// The segment.
        segment: u64,
        /// How many.
        bytes: u64,
    },
}

impl Incident {
    /// The number of the segment that it is about.
    fn segment(&self) -> u64 {
        match self {
            Self::HeaderDamaged { segment }
            | Self::RecordsDamaged { segment, .. }
            | Self::RecordsMissing { segment, .. }
            | Self::Unreadable { segment, .. } => *segment,
        }
    }
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error("open journal directory {dir}")]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The unfinished end could not be cut off, so nothing may be appended.
    #[error("repair the end of journal segment {segment}")]
    Tail {
        /// The segment.
        segment: u64,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}

/// An open journal, and what was wrong with it.
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// Damage, in order.
    pub incidents: Vec<Incident>,
}

impl Opened {
    /// The damage as a person is told it, each with its file.
    pub fn told(&self) -> Vec<String> {
        let file = |incident: &Incident| {
            self.journal.dir.join(segment::file_name(incident.segment())).display().to_string()
        };
        self.incidents.iter().map(|incident| format!("{}: {incident}", file(incident))).collect()
    }
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    from: u64,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<Opened, OpenError> {
    let refuse = |source| OpenError::Directory { dir: dir.to_owned(), source };
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.make_dir(dir).map_err(refuse)?;
            Vec::new()
        }
        Err(error) => return Err(refuse(error)),
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(|n| segment::number_of(n)).collect();
    numbers.sort_unstable();
    let spare_bytes = options.segment_bytes + GROUP_BYTES_MAX.min(options.segment_bytes);
    let (spares, reserve) = (options.spares_max, options.reserve_bytes);
    let shelf = Shelf::find(disk.clone(), dir, &names, spares, spare_bytes, reserve);
    let mut reading = Reading {
        disk: &*disk,
        dir,
        replay,
        segments: VecDeque::new(),
        next: None,
        incidents: Vec::new(),
    };
    let mut last = None;
    for (index, number) in numbers.iter().enumerate() {
        if *number < from {
            reading.skip(*number);
        } else {
            last = reading.read(*number, index + 1 == numbers.len());
        }
    }
    if let Some(last) = &last {
        let segment = last.number;
        let bytes = last.settle().map_err(|source| OpenError::Tail { segment, source })?;
        if bytes > 0 {
            // A commit that a power cut has torn was promised to nobody; one that the disk has damaged was.
            let file = dir.join(segment::file_name(segment));
            tracing::warn!(file = %file.display(), bytes, "a commit that cannot be read is cut off");
        }
    }
    let Reading { segments, next, incidents, .. } = reading;
    // Nothing of what had to be read could be: no number may be given twice all the same.
    let behind = |number: &u64| next_behind(&*disk, dir, *number);
    let next = next.or_else(|| numbers.iter().rev().find_map(behind));
    let journal = Journal {
        file: last.map(|last| last.file),
        dir: dir.to_owned(),
        options,
        segments,
        next: next.unwrap_or(1),
        last_number: numbers.last().copied().unwrap_or(0),
        poisoned: false,
        shelf,
        disk: disk.clone(),
    };
    Ok(Opened { journal, incidents })
}

/// The last segment, whose end may be unfinished.
struct Last {
    number: u64,
    file: Box<dyn DiskFile>,
    bytes: Vec<u8>,
    scan: Scan,
}

impl Last {
    /// Cuts what is torn, and makes sure that what was read is on the disk and not only in memory.
    fn settle(&self) -> io::Result<u64> {
        let Scan { end, unsure, torn, .. } = self.scan;
        let mut cut = 0;
        if torn {
            cut = self.bytes.len() as u64 - end;
            self.file.set_len(end)?;
        }
        let start = usize::try_from(unsure).expect("offsets are within the file's bytes");
        let stop = usize::try_from(end).expect("offsets are within the file's bytes");
        self.file.write_all_at(&self.bytes[start..stop], unsure)?;
        self.file.sync_data()?;
        Ok(cut)
    }
}

struct Reading<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    replay: &'a mut dyn FnMut(Replayed<'_>),
    segments: VecDeque<Segment>,
    next: Option<u64>,
    incidents: Vec<Incident>,
}

impl Reading<'_> {
    fn skip(&mut self, number: u64) {
        self.push(number, 0, 0, false);
    }

    fn push(&mut self, number: u64, nonce: u64, end: u64, damaged: bool) {
        let (live, live_bytes, stuck_until) = (0, 0, 0);
        let segment = Segment { number, nonce, end, live, live_bytes, damaged, stuck_until };
        self.segments.push_back(segment);
    }

    fn read(&mut self, number: u64, is_last: bool) -> Option<Last> {
        let incidents_before = self.incidents.len();
        let (file, bytes) = self.load(number)?;
        let header = segment::Header::decode(&bytes).filter(|header| header.number == number);
        let known = header.map(|header| (header.nonce, header.first));
        if known.is_none() {
            self.incidents.push(Incident::HeaderDamaged { segment: number });
        }
        let Some((nonce, first)) = known.or_else(|| newest_records(&bytes, self.next)) else {
            self.push(number, 0, 0, true);
            return None;
        };
        if let Some(expected) = self.next
            && expected < first
        {
            let records = expected..first;
            self.incidents.push(Incident::RecordsMissing { segment: number, records });
        }
        // Without its header it is not torn but damaged, and nothing is cut off: every whole record counts.
        let may_be_torn = is_last && known.is_some();
        let scan = {
            let replay = &mut self.replay;
            segment::scan(&bytes, nonce, first, may_be_torn, &mut |found| {
                replay(replayed(number, found, &bytes));
            })
        };
        for hole in scan.holes.iter().filter(|hole| !hole.records.is_empty()) {
            let records = hole.records.clone();
            self.incidents.push(Incident::RecordsDamaged { segment: number, records });
        }
        self.next = Some(scan.next.max(self.next.unwrap_or(0)));
        let damaged = self.incidents.len() > incidents_before || (scan.torn && !is_last);
        self.push(number, nonce, scan.end, damaged);
        (is_last && known.is_some()).then_some(Last { number, file, bytes, scan })
    }

    fn load(&mut self, number: u64) -> Option<(Box<dyn DiskFile>, Vec<u8>)> {
        let path = self.dir.join(segment::file_name(number));
        let opened = self.disk.open(&path).and_then(|file| file.size().map(|len| (file, len)));
        let Ok((file, len)) = opened else {
            self.incidents.push(Incident::Unreadable { segment: number, bytes: 0 });
            self.push(number, 0, 0, true);
            return None;
        };
        let len = usize::try_from(len.min(FILE_BYTES_MAX)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        let unreadable = read_around(&*file, &mut bytes, 0);
        if unreadable > 0 {
            self.incidents.push(Incident::Unreadable { segment: number, bytes: unreadable });
        }
        Some((file, bytes))
    }
}

fn replayed<'a>(segment: u64, found: &Found, bytes: &'a [u8]) -> Replayed<'a> {
    let location = Location {
        segment,
        offset: found.span.start as u64,
        length: u32::try_from(found.span.len()).expect("a record is at most BODY_BYTES_MAX"),
        sequence: found.header.sequence,
    };
    Replayed { kind: found.header.kind, body: &bytes[found.body()], location }
}

/// Nonce and first sequence from the records that can be read, when the header cannot.
///
/// The file may have older content of another segment behind its end; its own records have the greatest sequences.
/// What is expected and not there was in front of them.
pub(super) fn newest_records(bytes: &[u8], expected: Option<u64>) -> Option<(u64, u64)> {
    let (mut at, mut newest) = (segment::HEADER_BYTES, None::<(u64, u64, u64)>);
    while at < bytes.len() {
        let Some(Found { header, span }) = record::parse(bytes, at, None) else {
            at += 1;
            continue;
        };
        at = span.end;
        newest = Some(match newest {
            Some((nonce, first, _)) if nonce == header.nonce => (nonce, first, header.sequence),
            Some((nonce, first, last)) if last > header.sequence => (nonce, first, last),
            Some(_) | None => (header.nonce, header.sequence, header.sequence),
        });
    }
    let (nonce, first, _) = newest?;
    Some((nonce, expected.filter(|expected| *expected < first).unwrap_or(first)))
}

/// The sequence behind the last record of a segment that is not replayed, as far as it can be read.
fn next_behind(disk: &dyn Disk, dir: &Path, number: u64) -> Option<u64> {
    let file = disk.open(&dir.join(segment::file_name(number))).ok()?;
    let len = usize::try_from(file.size().ok()?.min(FILE_BYTES_MAX)).ok()?;
    let mut bytes = vec![0; len];
    read_around(&*file, &mut bytes, 0);
    let header = segment::Header::decode(&bytes).filter(|header| header.number == number);
    let known = header.map(|header| (header.nonce, header.first));
    let (nonce, first) = known.or_else(|| newest_records(&bytes, None))?;
    Some(segment::scan(&bytes, nonce, first, false, &mut |_| {}).next)
}

/// Reads at this offset; if the disk does not give all of it, sector by sector, with zeros where it gives nothing.
///
/// Returns how many bytes that are.
pub(super) fn read_around(file: &dyn DiskFile, bytes: &mut [u8], offset: u64) -> u64 {
    if file.read_exact_at(bytes, offset).is_ok() {
        return 0;
    }
    let (mut unreadable, mut at, mut rest) = (0, offset, bytes);
    while !rest.is_empty() {
        let within = usize::try_from(at % SECTOR as u64).expect("it is less than a sector");
        let piece = rest.len().min(SECTOR - within);
        let (sector, behind) = std::mem::take(&mut rest).split_at_mut(piece);
        if file.read_exact_at(sector, at).is_err() {
            sector.fill(0);
            unreadable += sector.len() as u64;
        }
        at += sector.len() as u64;
        rest = behind;
    }
    unreadable
}
