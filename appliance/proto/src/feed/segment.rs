//! Segments: runs of records in compressed blocks, immutable, named by the hash of their bytes.
//!
//! A segment is what the wire carries, what lies on disk and what a lookup reads; nothing is converted between.
//!
//! ```text
//! "SBXS" version kind header-length model revision count content-length first-id
//! blocks: (packed length, raw length, rows, first id, checksum of the packed block) …
//! checksum of the header
//! packed blocks, one after the other, raw deflate
//! ```
//!
//! Numbers are little-endian; a text is one byte of length and its bytes.
//! A checksum is the first eight bytes of a BLAKE3 hash.
//!
//! Invariants:
//! - the name is the BLAKE3 hash of the file, the digest that of the content before compression;
//! - ids ascend strictly through the whole segment, so a record is in at most one block;
//! - every block can be checked and decoded on its own, so a damaged one is found when it is read;
//! - no bytes from outside cause a panic or more memory than the limits allow.

mod block;
mod draft;
mod header;
pub mod rows;
mod whole;

pub use block::{Block, BlockError};
pub use draft::{Draft, DraftError, Packed, Packer};
pub use header::{BlockEntry, HEADER_BYTES_MAX, HEADER_PREFIX_BYTES, Header, HeaderError};
pub use rows::RowError;
pub use whole::{Contents, Segment, SegmentError};

/// What a segment is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A key range of a model at some revision; it has no tombstones.
    Snapshot,
    /// A page of the changes of one revision.
    Run,
}

/// The first eight bytes of the hash: enough to find damage, not to prove origin.
fn checksum(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests;
