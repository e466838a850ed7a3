//! One decoded block: the unit of compression, of checking and of caching.

use bytes::Bytes;

use crate::feed::record::{Change, Record};
use crate::feed::segment::header::BlockEntry;
use crate::feed::segment::rows::{self, RowError, Span};
use crate::feed::segment::{Kind, checksum};
use crate::ids::RecordId;

/// Why a block cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// There are not as many packed bytes as the directory says.
    #[error("{got} packed bytes where the directory says {expected}")]
    Length {
        /// What the directory says.
        expected: u32,
        /// What there is.
        got: usize,
    },
    /// The packed bytes were changed.
    #[error("the block does not match its checksum")]
    Checksum,
    /// The packed bytes do not unpack to the length that the directory says.
    #[error("the block does not unpack to {expected} bytes")]
    Unpack {
        /// What the directory says.
        expected: u32,
    },
    /// The content is not a list of rows.
    #[error("the content of the block is not allowed")]
    Row(#[from] RowError),
    /// The first id differs from the directory's.
    #[error("the block does not start with the id that the directory says")]
    First,
    /// A snapshot has a tombstone.
    #[error("row {row} of a snapshot is a tombstone")]
    Tombstone {
        /// Which row of the block.
        row: usize,
    },
}

/// The records of one block; bodies are slices of its content, not copies.
#[derive(Debug, Clone)]
pub struct Block {
    content: Bytes,
    rows: Box<[Span]>,
}

impl Block {
    /// Checks and unpacks a block; `packed` is exactly its bytes.
    pub fn decode(entry: &BlockEntry, kind: Kind, packed: &[u8]) -> Result<Self, BlockError> {
        if packed.len() != entry.packed as usize {
            return Err(BlockError::Length { expected: entry.packed, got: packed.len() });
        }
        if checksum(packed) != entry.checksum {
            return Err(BlockError::Checksum);
        }
        let content = unpack(packed, entry.raw)?;
        let rows = rows::spans(&content, usize::from(entry.rows))?;
        let block = Self { content: Bytes::from(content), rows: rows.into_boxed_slice() };
        if block.rows.first().is_none_or(|row| row.id(&block.content) != entry.first.as_str()) {
            return Err(BlockError::First);
        }
        let tombstone = (0..block.len()).find(|&row| block.body(row).is_none());
        match (kind, tombstone) {
            (Kind::Snapshot, Some(row)) => Err(BlockError::Tombstone { row }),
            (Kind::Snapshot, None) | (Kind::Run, _) => Ok(block),
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// A decoded block has at least one record.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The content before compression.
    pub fn content(&self) -> &Bytes {
        &self.content
    }

    /// What the block takes in memory.
    pub fn weight(&self) -> usize {
        self.content.len() + self.rows.len() * size_of::<Span>() + 128
    }

    /// The row of an id, or where it would be.
    pub fn find(&self, id: &str) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| row.id(&self.content).cmp(id))
    }

    /// The id in a row; the row must exist.
    pub fn id(&self, row: usize) -> &str {
        self.rows[row].id(&self.content)
    }

    /// The body in a row, nothing if it is a tombstone; the row must exist.
    pub fn body(&self, row: usize) -> Option<Bytes> {
        self.rows[row].body(&self.content)
    }

    /// The change in a row; the row must exist.
    pub fn change(&self, row: usize) -> Change {
        Change { id: self.record_id(row), body: self.body(row) }
    }

    /// The record in a row, nothing if it is a tombstone; the row must exist.
    pub fn record(&self, row: usize) -> Option<Record> {
        Some(Record { id: self.record_id(row), body: self.body(row)? })
    }

    fn record_id(&self, row: usize) -> RecordId {
        self.id(row).parse().expect("the ids of a block were checked when it was decoded")
    }
}

/// Unpacks into exactly `raw` bytes, never more, whatever the packed bytes say.
fn unpack(packed: &[u8], raw: u32) -> Result<Vec<u8>, BlockError> {
    let mut content = vec![0; raw as usize];
    let input = std::iter::once(packed);
    let got =
        miniz_oxide::inflate::decompress_slice_iter_to_slice(&mut content, input, false, true);
    match got {
        Ok(len) if len == raw as usize => Ok(content),
        Ok(_) | Err(_) => Err(BlockError::Unpack { expected: raw }),
    }
}
