//! Following a journal in its own order, from wherever a reader stopped before.
//!
//! A reader of the whole keeps a [`Spot`], a hint where to go on: losing it costs time, never records.
//! What is read here may be on its way to the disk still; who follows has to know from the owner how far the
//! journal is durable, and to stop there.
//! Damaged places and bad sectors are passed over: the owner has named them when it opened the journal.

use std::io;

use serde::{Deserialize, Serialize};

use super::disk::DiskFile;
use super::log::Location;
use super::reader::Reader;
use super::record::{self, BODY_BYTES_MAX, Beyond, HEADER_BYTES as RECORD_HEADER};
use super::recovery::{self, FILE_BYTES_MAX, Replayed};
use super::segment::{self, HEADER_BYTES, Header};

/// How much is read at once; doubled where a record is longer.
const CHUNK_BYTES: usize = 256 * 1024;
/// A chunk that holds the longest record, wherever it begins.
const CHUNK_BYTES_MAX: usize = 2 * (BODY_BYTES_MAX + RECORD_HEADER);

/// Where reading goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spot {
    /// The segment; 0 is the first there is.
    pub segment: u64,
    /// The offset within it.
    pub offset: u64,
}

/// What a follower says to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Taken; show the next.
    Taken,
    /// Taken, and no more is wanted: what lies behind is not even looked at.
    Enough,
    /// Not taken; stop in front of it.
    Stop,
}

impl Reader {
    /// Shows records from this spot on, in order, until there is no more or the follower stops.
    ///
    /// With `durable` the follower answers for it that all it takes is durable, and where it comes to proves nothing
    /// about what lies before it; otherwise it waits in front of what may be on its way still.
    pub fn follow(
        &self,
        spot: Spot,
        durable: bool,
        each: &mut dyn FnMut(&Replayed<'_>) -> Step,
    ) -> io::Result<Spot> {
        let mut at = spot;
        loop {
            // Asked before the segment is read: what stands in it then is all that ever will.
            let numbers = self.segments()?;
            let Some(current) = numbers.iter().copied().find(|number| *number >= at.segment) else {
                return Ok(at);
            };
            if current != at.segment {
                at = Spot { segment: current, offset: 0 };
            }
            let next = numbers.iter().copied().find(|number| *number > current);
            let (spot, stopped) = self.walk(at, durable || next.is_some(), each)?;
            at = spot;
            match next {
                Some(next) if !stopped => at = Spot { segment: next, offset: 0 },
                Some(_) | None => return Ok(at),
            }
        }
    }

    fn segments(&self) -> io::Result<Vec<u64>> {
        let names = self.disk.list(&self.dir)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|n| segment::number_of(n)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Walks through one segment; says where it came to and whether the follower stopped.
    fn walk(
        &self,
        mut at: Spot,
        sealed: bool,
        each: &mut dyn FnMut(&Replayed<'_>) -> Step,
    ) -> io::Result<(Spot, bool)> {
        let file = self.disk.open(&self.dir.join(segment::file_name(at.segment)))?;
        let size = file.size()?;
        if size < HEADER_BYTES as u64 {
            return Ok((at, false));
        }
        let Some((nonce, first)) = known(&*file, at.segment, size) else {
            return Ok((at, false));
        };
        at.offset = at.offset.max(HEADER_BYTES as u64);
        let mut chunk = CHUNK_BYTES;
        loop {
            let rest = size.saturating_sub(at.offset);
            let length = usize::try_from(rest).unwrap_or(usize::MAX).min(chunk);
            let mut bytes = vec![0; length];
            let lost = recovery::read_around(&*file, &mut bytes, at.offset);
            if lost > 0 {
                let (segment, offset) = (at.segment, at.offset);
                tracing::error!(segment, offset, lost, "the disk does not give all of the journal");
            }
            let walked = walk_chunk(&bytes, at, nonce, first, each);
            at.offset += walked.bytes as u64;
            if walked.stopped {
                return Ok((at, true));
            }
            let is_last = length as u64 == rest;
            if walked.bytes == 0 {
                if !is_last && chunk < CHUNK_BYTES_MAX {
                    chunk *= 2;
                    continue;
                }
                match beyond_damage(&bytes, nonce, first, sealed) {
                    Some(start) => at.offset += start as u64,
                    None => return Ok((at, false)),
                }
            }
        }
    }
}

/// Nonce and first sequence of a segment; from its records if the disk does not give its header.
fn known(file: &dyn DiskFile, segment: u64, size: u64) -> Option<(u64, u64)> {
    let mut head = [0; HEADER_BYTES];
    let header = file.read_exact_at(&mut head, 0).ok().and_then(|()| Header::decode(&head));
    if let Some(header) = header.filter(|header| header.number == segment) {
        return Some((header.nonce, header.first));
    }
    let mut bytes = vec![0; usize::try_from(size.min(FILE_BYTES_MAX)).ok()?];
    recovery::read_around(file, &mut bytes, 0);
    recovery::newest_records(&bytes, None)
}

/// Where reading goes on behind a place that cannot be read; nothing if that place may still be being written.
///
/// What is written at this moment may be visible in any order, so a readable record proves nothing about the bytes
/// before it, unless it, or one behind it, knew them to be durable, or no more is written here at all.
fn beyond_damage(bytes: &[u8], nonce: u64, first: u64, sealed: bool) -> Option<usize> {
    let Beyond::Record(found) = record::look_ahead(bytes, 0, nonce, first, false) else {
        return None;
    };
    let (start, lost) = (found.span.start, found.header.sequence.saturating_sub(1));
    let mut next = Some(found);
    let mut proven = sealed;
    while let Some(found) = next.filter(|_| !proven) {
        proven = found.header.durable() >= lost;
        next = record::parse(bytes, found.span.end, Some(nonce));
    }
    proven.then_some(start)
}

struct Walked {
    bytes: usize,
    stopped: bool,
}

fn walk_chunk(
    bytes: &[u8],
    from: Spot,
    nonce: u64,
    first: u64,
    each: &mut dyn FnMut(&Replayed<'_>) -> Step,
) -> Walked {
    let mut at = 0;
    while let Some(found) = record::parse(bytes, at, Some(nonce)) {
        if found.header.sequence < first {
            break;
        }
        let location = Location {
            segment: from.segment,
            offset: from.offset + found.span.start as u64,
            length: u32::try_from(found.span.len()).expect("a record is at most BODY_BYTES_MAX"),
            sequence: found.header.sequence,
        };
        let shown = Replayed { kind: found.header.kind, body: &bytes[found.body()], location };
        match each(&shown) {
            Step::Taken => at = found.span.end,
            Step::Enough => return Walked { bytes: found.span.end, stopped: true },
            Step::Stop => return Walked { bytes: at, stopped: true },
        }
    }
    Walked { bytes: at, stopped: false }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::journal::{Group, Journal, Options, RealDisk};

    fn journal(dir: &Path) -> Journal {
        let options = Options { segment_bytes: 4096, deletes: false, ..Options::default() };
        Journal::open(Arc::new(RealDisk), dir, options, 0, &mut |_| {}).unwrap().journal
    }

    fn write(journal: &mut Journal, bodies: std::ops::Range<u64>) {
        for body in bodies {
            journal.begin(&mut Vec::new);
            let mut group = Group::new();
            group.push(1, &[&body.to_le_bytes(), &[7; 300]]);
            journal.commit(group).unwrap();
        }
    }

    fn numbers(reader: &Reader, spot: Spot, max: usize) -> (Vec<u64>, Spot) {
        let mut seen = Vec::new();
        let spot = reader.follow(spot, false, &mut |record| {
            if record.kind == 0 {
                return Step::Taken;
            }
            if seen.len() == max {
                return Step::Stop;
            }
            seen.push(u64::from_le_bytes(record.body[..8].try_into().unwrap()));
            Step::Taken
        });
        (seen, spot.unwrap())
    }

    #[test]
    fn a_follower_sees_every_record_once_and_in_order_however_it_is_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path());
        let reader = journal.reader();
        let (mut seen, mut spot) = (Vec::new(), Spot::default());
        for round in 0..6_u64 {
            write(&mut journal, round * 20..(round + 1) * 20);
            for max in [0, 1, 7, usize::MAX] {
                let (part, next) = numbers(&reader, spot, max);
                seen.extend(part);
                spot = next;
            }
        }
        assert_eq!(seen, (0..120).collect::<Vec<_>>());
        assert!(spot.segment > 3, "several segments were walked through");
        assert_eq!(numbers(&reader, spot, 9).0, Vec::<u64>::new());
    }

    #[test]
    fn a_damaged_record_costs_itself_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path());
        write(&mut journal, 0..8);
        let path = dir.path().join(segment::file_name(1));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER_BYTES + RECORD_HEADER + 337 * 2 + 100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (seen, _) = numbers(&journal.reader(), Spot::default(), usize::MAX);
        assert_eq!(seen.len(), 7, "{seen:?}");
    }

    #[test]
    fn what_is_still_being_written_is_waited_for_and_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = journal(dir.path());
        let reader = journal.reader();
        write(&mut journal, 0..2);
        let (_, spot) = numbers(&reader, Spot::default(), usize::MAX);
        let mut group = Group::new();
        for body in 2..4_u64 {
            group.push(1, &[&body.to_le_bytes(), &[7; 300]]);
        }
        journal.commit(group).unwrap();
        let path = dir.path().join(segment::file_name(1));
        let whole = std::fs::read(&path).unwrap();
        let mut half = whole.clone();
        let at = usize::try_from(spot.offset).unwrap();
        half[at + 100..at + 200].fill(0);
        std::fs::write(&path, half).unwrap();
        assert_eq!(numbers(&reader, spot, usize::MAX), (vec![], spot));
        std::fs::write(&path, whole).unwrap();
        assert_eq!(numbers(&reader, spot, usize::MAX).0, [2, 3]);
    }
}
