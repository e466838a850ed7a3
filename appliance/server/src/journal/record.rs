//! One record as bytes.
//!
//! ```text
//! crc32 u32 | length u32 | nonce u64 | sequence u64 | behind u32 | kind u8 | body
//! ```
//!
//! The checksum covers everything behind it.
//! `nonce` belongs to the segment, so that what an earlier life of the same blocks left is never believed.
//! `sequence` grows by one over the whole journal.
//! `behind` is the distance to the newest record that was known to be on disk when this one was written.
//! It tells a torn tail from damage: a hole in front of a record that already knew the hole's records to be
//! durable cannot come from a power cut.

use std::ops::Range;

/// Bytes in front of a body.
pub const HEADER_BYTES: usize = 29;
/// The longest body; far above the largest envelope and the largest checkpoint.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The kind of a checkpoint, which the journal itself asks for at the start of each segment.
pub const CHECKPOINT: u8 = 0;

/// What stands in front of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The segment's nonce.
    pub nonce: u64,
    /// The record's number.
    pub sequence: u64,
    /// How far the durable end was behind when this was written.
    pub behind: u32,
    /// What the body is; the owner's word, except for [`CHECKPOINT`].
    pub kind: u8,
}

impl Header {
    /// The newest record that was known to be durable when this one was written.
    pub fn durable(&self) -> u64 {
        self.sequence.saturating_sub(u64::from(self.behind))
    }
}

/// A checked record within a segment's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its header.
    pub header: Header,
    /// Where the whole record is.
    pub span: Range<usize>,
}

impl Found {
    /// Where the body is.
    pub fn body(&self) -> Range<usize> {
        self.span.start + HEADER_BYTES..self.span.end
    }
}

/// Appends room for a header and the body; [`seal`] completes it.
pub fn push_unsealed(buffer: &mut Vec<u8>, body: &[&[u8]]) -> Range<usize> {
    let start = buffer.len();
    buffer.resize(start + HEADER_BYTES, 0);
    for part in body {
        buffer.extend_from_slice(part);
    }
    start..buffer.len()
}

/// Writes header and checksum of a record made by [`push_unsealed`].
pub fn seal(buffer: &mut [u8], span: &Range<usize>, header: Header) {
    let record = &mut buffer[span.clone()];
    let length = record.len() - HEADER_BYTES;
    let length = u32::try_from(length).expect("a body is at most BODY_BYTES_MAX");
    record[4..8].copy_from_slice(&length.to_le_bytes());
    record[8..16].copy_from_slice(&header.nonce.to_le_bytes());
    record[16..24].copy_from_slice(&header.sequence.to_le_bytes());
    record[24..28].copy_from_slice(&header.behind.to_le_bytes());
    record[28] = header.kind;
    let crc = crc32fast::hash(&record[4..]);
    record[0..4].copy_from_slice(&crc.to_le_bytes());
}

/// The record at this offset, if one with a right checksum (and this nonce, if given) is there.
pub fn parse(bytes: &[u8], offset: usize, nonce: Option<u64>) -> Option<Found> {
    let rest = bytes.get(offset..)?;
    let head = rest.get(..HEADER_BYTES)?;
    let length = usize::try_from(u32_at(head, 4)).ok().filter(|n| *n <= BODY_BYTES_MAX)?;
    let header = Header {
        nonce: u64_at(head, 8),
        sequence: u64_at(head, 16),
        behind: u32_at(head, 24),
        kind: head[28],
    };
    if nonce.is_some_and(|nonce| nonce != header.nonce) {
        return None;
    }
    let record = rest.get(..HEADER_BYTES + length)?;
    if crc32fast::hash(&record[4..]) != u32_at(head, 0) {
        return None;
    }
    Some(Found { header, span: offset..offset + record.len() })
}

/// What lies behind the place where no record could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beyond {
    /// Nothing of this segment.
    Nothing,
    /// Pieces of this segment, and nothing that proves them to have been on disk once.
    Pieces,
    /// A whole record, behind records that a later one knew to be durable.
    Record(Found),
}

/// Looks for the next whole record of this segment with at least this sequence.
///
/// With `proof`, only if it or one behind it knew this sequence to be durable: otherwise what is missing was
/// never answered for.
pub fn look_ahead(bytes: &[u8], offset: usize, nonce: u64, sequence: u64, proof: bool) -> Beyond {
    let needle = nonce.to_le_bytes();
    let mut beyond = Beyond::Nothing;
    let mut first = None;
    let mut at = offset;
    while let Some(step) = find(bytes.get(at..).unwrap_or_default(), &needle) {
        beyond = Beyond::Pieces;
        at += step + 1;
        let Some(start) = (at - 1).checked_sub(8).filter(|start| *start >= offset) else {
            continue;
        };
        let record = parse(bytes, start, Some(nonce));
        let Some(record) = record.filter(|r| r.header.sequence >= sequence) else { continue };
        at = record.span.end;
        let proven = !proof || record.header.durable() >= sequence;
        let first = first.get_or_insert(record);
        if proven {
            return Beyond::Record(first.clone());
        }
    }
    beyond
}

fn find(haystack: &[u8], needle: &[u8; 8]) -> Option<usize> {
    let mut at = 0;
    while let Some(step) = haystack.get(at..)?.iter().position(|byte| *byte == needle[0]) {
        let start = at + step;
        if haystack.get(start..start + 8)? == needle {
            return Some(start);
        }
        at = start + 1;
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(bodies: &[Vec<u8>], nonce: u64) -> Vec<u8> {
        let mut buffer = Vec::new();
        for (sequence, body) in (1..).zip(bodies) {
            let span = push_unsealed(&mut buffer, &[body]);
            seal(&mut buffer, &span, Header { nonce, sequence, behind: 1, kind: 7 });
        }
        buffer
    }

    proptest! {
        #[test]
        fn roundtrip_of_records(bodies: Vec<Vec<u8>>, nonce: u64) {
            let bytes = sealed(&bodies, nonce);
            let mut at = 0;
            for body in &bodies {
                let found = parse(&bytes, at, Some(nonce)).unwrap();
                prop_assert_eq!(&bytes[found.body()], body.as_slice());
                at = found.span.end;
            }
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>, at in 0_usize..300, nonce: u64) {
            let _ = parse(&bytes, at, None);
            let _ = look_ahead(&bytes, at, nonce, 0, false);
        }

        #[test]
        fn one_wrong_byte_is_noticed(body: Vec<u8>, at: prop::sample::Index, flip in 1_u8..) {
            let mut bytes = sealed(std::slice::from_ref(&body), 5);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(parse(&bytes, 0, Some(5)), None);
        }
    }

    #[test]
    fn a_record_behind_a_hole_is_found() {
        let mut bytes = sealed(&[vec![1; 40], vec![2; 40], vec![3; 40]], 0xABCD_EF01_2345_6789);
        bytes[50] ^= 1;
        let beyond = look_ahead(&bytes, 0, 0xABCD_EF01_2345_6789, 1, false);
        assert!(matches!(beyond, Beyond::Record(found) if found.header.sequence == 2));
        assert_eq!(look_ahead(&bytes, 0, 99, 1, false), Beyond::Nothing);
        let cut = look_ahead(&bytes[..60], 0, 0xABCD_EF01_2345_6789, 1, false);
        assert_eq!(cut, Beyond::Pieces);
    }
}
