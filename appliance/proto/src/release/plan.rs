//! In which order a box asks for the blocks that it lacks.
//!
//! Every box of a store has an order of its own, so that at any moment they ask the line for different blocks and find
//! the others at their neighbours: a store costs the line little more than one bundle, and nobody has to agree with
//! anybody.

use std::collections::{BTreeSet, VecDeque};

use super::index::{Block, Index};
use crate::ids::{Hash32, NodeId};

/// What is still to be asked for.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    missing: VecDeque<Block>,
}

impl Plan {
    /// All blocks that are not here, in the order of this box.
    pub fn new(index: &Index, node: &NodeId, mut is_here: impl FnMut(&Hash32) -> bool) -> Self {
        let mut seen = BTreeSet::new();
        let missing = index.blocks().iter().filter(|block| seen.insert(block.name));
        let mut missing: Vec<Block> =
            missing.filter(|block| !is_here(&block.name)).copied().collect();
        missing.sort_by_cached_key(|block| {
            Hash32::of(&[node.as_str().as_bytes(), &block.name.0].concat())
        });
        Self { missing: missing.into() }
    }

    /// The next block to ask for.
    pub fn next_block(&mut self) -> Option<Block> {
        self.missing.pop_front()
    }

    /// Nobody gave it: it is asked for again after all others.
    pub fn put_back(&mut self, block: Block) {
        self.missing.push_back(block);
    }

    /// How many blocks nobody was asked for yet.
    pub fn len(&self) -> usize {
        self.missing.len()
    }

    /// Whether all blocks were asked for.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.missing.iter().map(|block| u64::from(block.bytes)).sum()
    }
}
