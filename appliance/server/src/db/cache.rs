//! Decoded blocks that were read lately, for all feeds together, bounded by bytes.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use storebox_proto::feed::Block;
use storebox_proto::ids::Hash32;

/// What a block of ordinary records weighs; only the first guess of how many entries there will be.
const BLOCK_BYTES_USUAL: u64 = 20 * 1024;

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<(Hash32, u32), Arc<Block>> for ByBytes {
    fn weight(&self, _: &(Hash32, u32), block: &Arc<Block>) -> u64 {
        block.weight() as u64
    }
}

/// The cache; a cheap handle.
#[derive(Clone)]
pub struct BlockCache(Arc<Cache<(Hash32, u32), Arc<Block>, ByBytes>>);

impl BlockCache {
    /// A cache that keeps at most about so many bytes.
    pub fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / BLOCK_BYTES_USUAL).unwrap_or(usize::MAX).max(16);
        Self(Arc::new(Cache::with_weighter(items, bytes, ByBytes)))
    }

    pub(super) fn get(&self, segment: Hash32, block: u32) -> Option<Arc<Block>> {
        self.0.get(&(segment, block))
    }

    pub(super) fn insert(&self, segment: Hash32, block: u32, decoded: Arc<Block>) {
        self.0.insert((segment, block), decoded);
    }

    /// Forgets everything, so that the next reads come from disk.
    pub fn clear(&self) {
        self.0.clear();
    }
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockCache({} of {} bytes)", self.0.weight(), self.0.capacity())
    }
}
