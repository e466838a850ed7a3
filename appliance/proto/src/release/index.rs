//! The object that names the blocks of a bundle, in their order.
//!
//! ```text
//! "SBXR" 1   then for each block: length u32, hash [32]
//! ```

use crate::ids::Hash32;
use crate::limits::{RELEASE_BLOCK_BYTES_MAX, RELEASE_BYTES_MAX, RELEASE_INDEX_BYTES_MAX};

const MAGIC: &[u8; 5] = b"SBXR\x01";
const ENTRY_BYTES: usize = 4 + 32;

/// A piece of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub name: Hash32,
    /// Its length.
    pub bytes: u32,
}

/// The blocks of a bundle; one may come several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    blocks: Vec<Block>,
}

/// The bytes are no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIndex {
    /// It begins or ends otherwise.
    #[error("this is no index of a release")]
    Format,
    /// A block is empty or larger than any.
    #[error("block {at} has {bytes} bytes")]
    Block {
        /// Which.
        at: usize,
        /// Its length.
        bytes: u32,
    },
    /// All blocks together are larger than any bundle.
    #[error("the blocks are larger than any release")]
    TooLarge,
}

impl Index {
    /// An index of these blocks.
    pub fn new(blocks: Vec<Block>) -> Result<Self, InvalidIndex> {
        let is_sized = |block: &Block| (1..=RELEASE_BLOCK_BYTES_MAX).contains(&block.bytes);
        if let Some(at) = blocks.iter().position(|block| !is_sized(block)) {
            return Err(InvalidIndex::Block { at, bytes: blocks[at].bytes });
        }
        let index = Self { blocks };
        let is_small = MAGIC.len() + index.blocks.len() * ENTRY_BYTES
            <= usize::try_from(RELEASE_INDEX_BYTES_MAX).unwrap_or(usize::MAX);
        if !is_small || index.bytes() > RELEASE_BYTES_MAX {
            return Err(InvalidIndex::TooLarge);
        }
        Ok(index)
    }

    /// Reads what [`Index::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidIndex> {
        let entries = bytes.strip_prefix(MAGIC).ok_or(InvalidIndex::Format)?;
        if entries.is_empty() || !entries.len().is_multiple_of(ENTRY_BYTES) {
            return Err(InvalidIndex::Format);
        }
        let block = |entry: &[u8]| {
            let (length, name) = entry.split_at(4);
            let length = length.try_into().expect("a chunk was split after its fourth byte");
            let name = name.try_into().expect("a chunk has 36 bytes");
            Block { name: Hash32(name), bytes: u32::from_le_bytes(length) }
        };
        Self::new(entries.chunks_exact(ENTRY_BYTES).map(block).collect())
    }

    /// The bytes of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for block in &self.blocks {
            bytes.extend_from_slice(&block.bytes.to_le_bytes());
            bytes.extend_from_slice(&block.name.0);
        }
        bytes
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The bundle, in bytes.
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.bytes)).sum()
    }
}
