//! What is flashed: a disk, or a file that stands for one.
//!
//! Reading back must ask the medium and not the page cache, or every fake card passes. So reads go
//! around the cache (`O_DIRECT`); where a file system does not offer that, what was flushed is
//! dropped from the cache first. [`Medium::read_mode`] says which it was.
//!
//! [`Medium`] is a trait because media fail in ways that no healthy disk shows: pulled out half way,
//! forgetting what they were given. Those are played by a medium of their own in the tests.

pub(crate) mod reader;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::sys::stat::{major, minor};

use crate::block::{Disk, Roots};
use crate::blockmap::BLOCK_SIZE;

/// Direct reads need memory at such a boundary.
const ALIGN: usize = BLOCK_SIZE;

/// How the medium is asked what it kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMode {
    /// Around the page cache.
    Direct,
    /// From the medium, after the cache was told to forget.
    CacheDropped,
}

/// Something that can be flashed.
pub trait Medium {
    fn bytes(&self) -> u64;
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything written is on the medium.
    fn flush(&mut self) -> io::Result<()>;
    /// What the medium holds, not what we remember of it.
    fn read_back(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>>;
    fn read_mode(&self) -> ReadMode;
    /// Whether the device is no longer there.
    fn is_gone(&self) -> bool;
}

/// A block device or a plain file.
#[derive(Debug)]
pub struct DiskMedium {
    path: PathBuf,
    file: File,
    direct: Option<File>,
    bytes: u64,
    /// Where the kernel lists the device while it is there.
    listed: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    #[error("{what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is in use by another program or mounted")]
    Busy { path: PathBuf },
    #[error("{path} is no longer the device that was looked at; look again with `list`")]
    Replaced { path: PathBuf },
    #[error("{path} is not a plain file")]
    NotAFile { path: PathBuf },
    #[error("{path} has {has} bytes, {needs} are needed; name another file or remove it")]
    FileTooSmall { path: PathBuf, has: u64, needs: u64 },
}

impl DiskMedium {
    /// Opens a disk for itself alone. The number must still be the one that was looked at: names
    /// are given anew when devices come and go.
    pub fn open_disk(disk: &Disk, dev: &Path, roots: &Roots) -> Result<Self, MediumError> {
        let path = dev.join(&disk.name);
        let file = Self::options(true).open(&path).map_err(|source| {
            let path = path.clone();
            if source.raw_os_error() == Some(Errno::EBUSY as i32) {
                return MediumError::Busy { path };
            }
            MediumError::Io { what: "open", path, source }
        })?;
        let metadata = file.metadata().map_err(|source| MediumError::Io {
            what: "look at",
            path: path.clone(),
            source,
        })?;
        let number = (major(metadata.rdev()), minor(metadata.rdev()));
        if !metadata.file_type().is_block_device() || number != disk.number {
            return Err(MediumError::Replaced { path });
        }
        let bytes = device_bytes(&file).map_err(|source| MediumError::Io {
            what: "measure",
            path: path.clone(),
            source,
        })?;
        if bytes != disk.bytes {
            return Err(MediumError::Replaced { path });
        }
        let listed = Some(roots.sys.join("block").join(&disk.name));
        Ok(Self { direct: direct(&path), path, file, bytes, listed })
    }

    /// Opens a plain file, making it if it is not there, with room for `needs` bytes.
    pub fn open_file(path: &Path, needs: u64) -> Result<Self, MediumError> {
        let io_error = |what| move |source| MediumError::Io { what, path: path.to_owned(), source };
        let file = Self::options(false).create(true).open(path).map_err(io_error("open"))?;
        let metadata = file.metadata().map_err(io_error("look at"))?;
        if !metadata.is_file() {
            return Err(MediumError::NotAFile { path: path.to_owned() });
        }
        let has = metadata.len();
        if has == 0 {
            file.set_len(needs).map_err(io_error("make room in"))?;
        } else if has < needs {
            return Err(MediumError::FileTooSmall { path: path.to_owned(), has, needs });
        }
        let bytes = has.max(needs);
        Ok(Self { direct: direct(path), path: path.to_owned(), file, bytes, listed: None })
    }

    fn options(exclusive: bool) -> OpenOptions {
        let flags = if exclusive { OFlag::O_EXCL } else { OFlag::empty() };
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(flags.bits());
        options
    }

    /// Flushes and makes the next reading through the page cache ask the medium.
    pub fn forget_cache(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        Ok(posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
    }

    /// The file behind the medium, for what goes through the page cache.
    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A second look at the same device; nothing if it cannot be read directly.
fn direct(path: &Path) -> Option<File> {
    OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECT.bits()).open(path).ok()
}

fn device_bytes(mut file: &File) -> io::Result<u64> {
    io::Seek::seek(&mut file, io::SeekFrom::End(0))
}

impl Medium for DiskMedium {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn read_back(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        if let Some(file) = &self.direct {
            match read_direct(file, at, len) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                answer => return answer,
            }
        }
        self.file.sync_all()?;
        // All of it: a place beyond 2 GB has no number here where the C library counts by 32 bits.
        posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    fn read_mode(&self) -> ReadMode {
        if self.direct.is_some() { ReadMode::Direct } else { ReadMode::CacheDropped }
    }

    fn is_gone(&self) -> bool {
        self.listed.as_ref().is_some_and(|listed| !listed.exists())
    }
}

/// Reads into aligned memory. A place that is not aligned itself is refused by the kernel, and then
/// read through the cache.
fn read_direct(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut memory = vec![0; len + ALIGN];
    let offset = memory.as_ptr().align_offset(ALIGN);
    if offset >= ALIGN {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    file.read_exact_at(&mut memory[offset..offset + len], at)?;
    memory.copy_within(offset..offset + len, 0);
    memory.truncate(len);
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_with_room_and_reads_back_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.raw");
        let mut medium = DiskMedium::open_file(&path, 1 << 20).unwrap();
        assert_eq!(medium.bytes(), 1 << 20);
        medium.write_at(8192, &[7; 4096]).unwrap();
        medium.flush().unwrap();
        assert_eq!(medium.read_back(8192, 4096).unwrap(), [7; 4096]);
        assert_eq!(medium.read_back(4096, 5000).unwrap()[4095..4097], [0, 7]);
        assert!(!medium.is_gone());
    }

    #[test]
    fn what_is_no_file_or_too_small_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let small = dir.path().join("small");
        std::fs::write(&small, "x").unwrap();
        let error = DiskMedium::open_file(&small, 4096).unwrap_err();
        assert!(matches!(error, MediumError::FileTooSmall { has: 1, needs: 4096, .. }));
        let error = DiskMedium::open_file(Path::new("/dev/null"), 4096).unwrap_err();
        assert!(matches!(error, MediumError::NotAFile { .. }));
    }
}
