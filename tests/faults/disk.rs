//! A small disk of its own, which can be filled; gone with its owner.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Enough for a box that works, little enough to be filled in a moment.
const SIZE: &str = "size=160m";

pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: &Path) -> anyhow::Result<Self> {
        Self::mount_sized(at, SIZE)
    }

    pub(crate) fn mount_sized(at: &Path, size: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(at)?;
        mount(&["-t", "tmpfs", "-o", size, "tmpfs", &at.to_string_lossy()])?;
        Ok(Self(at.to_owned()))
    }

    /// Fills all space that is left.
    pub(crate) fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::options().create(true).append(true).open(self.filler())?;
        for size in [1 << 20, 4096, 1] {
            let part = vec![b'x'; size];
            while file.write_all(&part).is_ok() {}
        }
        Ok(())
    }

    /// Gives it back.
    pub(crate) fn clear(&self) {
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Calls `mount`.
pub(crate) fn mount(words: &[&str]) -> anyhow::Result<()> {
    let mounted = Command::new("mount").args(words).output().context("start mount")?;
    let said = String::from_utf8_lossy(&mounted.stderr);
    ensure!(mounted.status.success(), "mount {words:?}; this needs root: {said}");
    Ok(())
}

/// Bytes and files below a folder.
pub(crate) fn size_of(folder: &Path) -> (u64, usize) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(bytes, files), entry| match entry.metadata() {
        Ok(about) if about.is_dir() => {
            let (more, others) = size_of(&entry.path());
            (bytes + more, files + others)
        }
        Ok(about) => (bytes + about.len(), files + 1),
        Err(_) => (bytes, files),
    })
}
