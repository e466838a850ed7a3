//! How much room there is for files, and what is left alone of it.

use std::io;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

/// What a start may need of a full disk; nobody takes the last of it for what can wait.
pub const START_BYTES: u64 = 8 * 1024 * 1024;

/// The file system of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that an ordinary user may still write.
    pub free_bytes: u64,
    /// Bytes of all of it.
    pub total_bytes: u64,
    /// Whether nothing can be written at all.
    pub is_read_only: bool,
}

/// Looks at the file system of this directory.
pub fn around(dir: &Path) -> io::Result<Room> {
    let disk = statvfs(dir).map_err(io::Error::from)?;
    Ok(Room {
        free_bytes: product(disk.blocks_available(), disk.fragment_size()),
        total_bytes: product(disk.blocks(), disk.fragment_size()),
        is_read_only: disk.flags().contains(FsFlags::ST_RDONLY),
    })
}

/// Whether an error means that there is none left.
pub fn is_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The width of the fields of `statvfs` differs between platforms.
fn product(blocks: impl Into<u64>, size: impl Into<u64>) -> u64 {
    blocks.into().saturating_mul(size.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_disk_of_a_32_bit_processor_is_as_large_as_it_is() {
        assert_eq!(product(2_000_000_u32, 4_096_u32), 8_192_000_000);
    }
}
