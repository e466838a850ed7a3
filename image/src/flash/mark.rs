//! The mark of a flash that is going on, in the otherwise empty space behind the partition table.

use std::io;

use crate::blockmap::{BLOCK_BYTES, BLOCK_SIZE};
use crate::digest::Digest;
use crate::medium::Medium;

/// Behind the table and before the first partition.
pub(super) const MARK_AT: u64 = 64 << 10;
const WORD: &[u8; 16] = b"SBX UNFINISHED 1";

/// The mark of a release: one block.
pub(super) fn mark(release: Digest) -> Vec<u8> {
    let mut block = [&WORD[..], release.bytes()].concat();
    block.resize(BLOCK_SIZE, 0);
    block
}

/// Whether a flash of some release onto this medium was not finished.
pub fn unfinished(medium: &mut dyn Medium) -> io::Result<bool> {
    if medium.bytes() < MARK_AT + BLOCK_BYTES {
        return Ok(false);
    }
    Ok(medium.read_back(MARK_AT, BLOCK_SIZE)?.starts_with(WORD))
}
