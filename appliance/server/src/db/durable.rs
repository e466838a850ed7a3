//! Files that survive a power cut: written beside, synced, renamed, and the directory synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file in one step; after this returns, the new bytes are on the medium.
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = dir.join(format!("{name}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, dir.join(name))?;
    sync_dir(dir)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes everything on the file system of this directory durable: one barrier for many files.
pub(super) fn sync_file_system(dir: &Path) -> io::Result<()> {
    nix::unistd::syncfs(File::open(dir)?).map_err(io::Error::from)
}
