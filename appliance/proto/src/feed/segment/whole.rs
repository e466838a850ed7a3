//! A whole segment in memory, as it was fetched or read.

use bytes::Bytes;

use crate::feed::record::Change;
use crate::feed::segment::block::{Block, BlockError};
use crate::feed::segment::header::{Header, HeaderError};
use crate::ids::{Hash32, RecordId};

/// Why bytes are not a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The header cannot be used.
    #[error("the header cannot be used")]
    Header(#[from] HeaderError),
    /// The file is longer or shorter than its header says.
    #[error("{got} bytes where the header says {expected}")]
    Length {
        /// What the header says.
        expected: u32,
        /// What there is.
        got: usize,
    },
    /// A block cannot be used.
    #[error("block {block} cannot be used")]
    Block {
        /// Which block.
        block: usize,
        /// Why.
        #[source]
        source: BlockError,
    },
    /// The ids of two blocks overlap.
    #[error("block {block} does not come after the one before")]
    Order {
        /// Which block.
        block: usize,
    },
}

/// What the blocks of a segment hold, told by reading all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The digest of the content.
    pub digest: Hash32,
    /// The first id.
    pub first: RecordId,
    /// The last id.
    pub last: RecordId,
}

/// A whole segment in memory; its blocks are checked when they are decoded.
#[derive(Debug, Clone)]
pub struct Segment {
    header: Header,
    bytes: Bytes,
}

impl Segment {
    /// Reads the header and checks the length of the file.
    pub fn parse(bytes: Bytes) -> Result<Self, SegmentError> {
        let header = Header::parse(&bytes)?;
        if bytes.len() != header.file as usize {
            return Err(SegmentError::Length { expected: header.file, got: bytes.len() });
        }
        Ok(Self { header, bytes })
    }

    /// What is in it and where its blocks are.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header alone, when the bytes are no longer needed.
    pub fn into_header(self) -> Header {
        self.header
    }

    /// Decodes one block, which must exist.
    pub fn block(&self, block: usize) -> Result<Block, SegmentError> {
        let entry = &self.header.blocks[block];
        let start = entry.offset as usize;
        let packed = &self.bytes[start..start + entry.packed as usize];
        Block::decode(entry, self.header.kind, packed)
            .map_err(|source| SegmentError::Block { block, source })
    }

    /// Decodes every block, shows each to `visit` and tells what they hold together.
    pub fn verify(&self, mut visit: impl FnMut(&Block)) -> Result<Contents, SegmentError> {
        // Hashed in one piece: BLAKE3 is several times as fast on many kilobytes as on single blocks.
        let mut content = Vec::with_capacity(self.header.content as usize);
        let mut last: Option<String> = None;
        for number in 0..self.header.blocks.len() {
            let block = self.block(number)?;
            if last.as_deref().is_some_and(|last| last >= block.id(0)) {
                return Err(SegmentError::Order { block: number });
            }
            last = Some(block.id(block.len() - 1).to_owned());
            content.extend_from_slice(block.content());
            visit(&block);
        }
        let first = self.header.blocks.first().map(|entry| entry.first.clone());
        let last = last.and_then(|last| last.parse().ok());
        let (Some(first), Some(last)) = (first, last) else {
            return Err(HeaderError::Bounds("count").into());
        };
        Ok(Contents { digest: Hash32::of(&content), first, last })
    }

    /// Every record or tombstone, in order; bounded because a segment is.
    pub fn changes(&self) -> Result<(Contents, Vec<Change>), SegmentError> {
        let mut changes = Vec::with_capacity(self.header.count as usize);
        let contents = self.verify(|block| {
            changes.extend((0..block.len()).map(|row| block.change(row)));
        })?;
        Ok((contents, changes))
    }
}
