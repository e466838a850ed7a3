//! One segment file: its header, and what can be read in it.

use std::ops::Range;

use super::record::{self, Beyond, Found};

const MAGIC: &[u8; 8] = b"SBXJRNL\x01";
/// Bytes in front of the first record.
pub const HEADER_BYTES: usize = 48;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its place among the segments.
    pub number: u64,
    /// In each of its records, so that older content of the same blocks is not believed.
    pub nonce: u64,
    /// The sequence of its first record.
    pub first: u64,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; nothing if the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let word = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
        };
        let crc = u32::from_le_bytes(bytes[32..36].try_into().expect("four bytes were sliced"));
        if &bytes[0..8] != MAGIC || crc32fast::hash(&bytes[..32]) != crc {
            return None;
        }
        Some(Self { number: word(8), nonce: word(16), first: word(24) })
    }
}

/// The file of a segment.
pub fn file_name(number: u64) -> String {
    format!("seg-{number:010}.log")
}

/// The number in a segment's file name.
pub fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("seg-")?.strip_suffix(".log")?.parse().ok()
}

/// A place where records cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The bytes.
    pub bytes: Range<u64>,
    /// Sequences of the records that were there.
    pub records: Range<u64>,
}

/// What a look through a segment found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The end of the last good record.
    pub end: u64,
    /// The sequence that would come next.
    pub next: u64,
    /// The newest record that was known to be durable to the last good record.
    pub durable: u64,
    /// Where the records begin that were not yet known to be durable.
    pub unsure: u64,
    /// Damage, in order.
    pub holes: Vec<Hole>,
    /// Whether pieces of an unfinished commit lie behind the end.
    pub torn: bool,
}

/// Reads all records of a segment, in order.
///
/// `last` says that no segment follows: only there can a commit have been cut short.
pub fn scan(
    bytes: &[u8],
    nonce: u64,
    first: u64,
    last: bool,
    each: &mut dyn FnMut(&Found),
) -> Scan {
    let mut at = HEADER_BYTES;
    let mut scan = Scan {
        end: offset(at),
        next: first,
        durable: first.saturating_sub(1),
        unsure: offset(at),
        holes: Vec::new(),
        torn: false,
    };
    let mut starts: Vec<(u64, usize)> = Vec::new();
    loop {
        let here = record::parse(bytes, at, Some(nonce));
        let found = match here.filter(|found| found.header.sequence == scan.next) {
            Some(found) => found,
            None => match record::look_ahead(bytes, at, nonce, scan.next, last) {
                Beyond::Record(found) => {
                    scan.holes.push(Hole {
                        bytes: offset(at)..offset(found.span.start),
                        records: scan.next..found.header.sequence,
                    });
                    found
                }
                Beyond::Pieces => {
                    scan.torn = true;
                    break;
                }
                Beyond::Nothing => break,
            },
        };
        each(&found);
        at = found.span.end;
        starts.retain(|(sequence, _)| *sequence > found.header.durable());
        starts.push((found.header.sequence, found.span.start));
        scan.end = offset(at);
        scan.next = found.header.sequence + 1;
        scan.durable = found.header.durable();
    }
    scan.unsure = starts.first().map_or(scan.end, |(_, start)| offset(*start));
    scan
}

fn offset(at: usize) -> u64 {
    u64::try_from(at).expect("a segment is far smaller than 2^64 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::{Header as RecordHeader, push_unsealed, seal};

    const NONCE: u64 = 0x1122_3344_5566_7788;

    /// Commits of the given sizes, each record 20 bytes long.
    fn segment(commits: &[u64]) -> Vec<u8> {
        let mut bytes = Header { number: 3, nonce: NONCE, first: 10 }.encode().to_vec();
        let mut sequence = 10;
        for records in commits {
            for behind in 1..=*records {
                let span = push_unsealed(&mut bytes, &[&[7; 20]]);
                let behind = u32::try_from(behind).unwrap();
                let header = RecordHeader { nonce: NONCE, sequence, behind, kind: 1 };
                seal(&mut bytes, &span, header);
                sequence += 1;
            }
        }
        bytes
    }

    fn look(bytes: &[u8], last: bool) -> (Vec<u64>, Scan) {
        let mut seen = Vec::new();
        let scan = scan(bytes, NONCE, 10, last, &mut |found| seen.push(found.header.sequence));
        (seen, scan)
    }

    #[test]
    fn a_header_survives_its_bytes() {
        let header = Header { number: 3, nonce: NONCE, first: 10 };
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert_eq!(Header::decode(&[0; HEADER_BYTES]), None);
        assert_eq!(number_of(&file_name(77)), Some(77));
        assert_eq!(number_of("reserve"), None);
    }

    #[test]
    fn a_torn_commit_at_the_end_is_not_read_and_not_damage() {
        let mut bytes = segment(&[2, 3]);
        let first_of_second = HEADER_BYTES + 2 * 49 + 30;
        bytes[first_of_second] ^= 1;
        let (seen, scan) = look(&bytes, true);
        assert_eq!(seen, [10, 11]);
        assert!(scan.torn && scan.holes.is_empty());
    }

    #[test]
    fn a_hole_in_what_was_known_to_be_durable_is_damage_and_the_rest_is_read() {
        let mut bytes = segment(&[2, 3]);
        bytes[HEADER_BYTES + 30] ^= 1;
        let (seen, scan) = look(&bytes, true);
        assert_eq!(seen, [11, 12, 13, 14]);
        assert_eq!(scan.holes.len(), 1);
        assert_eq!(scan.holes[0].records, 10..11);
    }

    #[test]
    fn the_last_commit_is_the_unsure_part() {
        let bytes = segment(&[2, 3]);
        let (seen, scan) = look(&bytes, true);
        assert_eq!(seen, [10, 11, 12, 13, 14]);
        assert_eq!(scan.unsure, offset(HEADER_BYTES + 2 * 49));
        assert_eq!((scan.durable, scan.next), (11, 15));
    }

    #[test]
    fn older_content_of_the_same_blocks_is_not_believed() {
        let mut bytes = segment(&[2]);
        let mut other = segment(&[2, 2]);
        let behind = other.split_off(bytes.len());
        let stale: Vec<u8> = behind;
        bytes.extend_from_slice(&[0; 64]);
        let (seen, _) = look(&bytes, true);
        assert_eq!(seen, [10, 11]);
        let mut renamed = bytes.clone();
        renamed.extend_from_slice(&stale.iter().map(|byte| byte ^ 0x55).collect::<Vec<_>>());
        assert_eq!(look(&renamed, true).0, [10, 11]);
    }
}
