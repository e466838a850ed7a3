//! What a technician names: a disk by any of its names, or a plain file.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::{Failure, io_error};
use crate::block::{self, Disk, Roots};
use crate::medium::DiskMedium;

/// What is behind a path.
pub(super) enum Target {
    Disk { disk: Disk, dev: PathBuf },
    File { path: PathBuf, is_new: bool },
}

impl Target {
    /// Looks behind links such as those in /dev/disk/by-id.
    pub(super) fn find(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            // A name under /dev that is not there is a disk that was pulled out, not a new file.
            if path.starts_with("/dev") {
                return Err(
                    block::ListError::NoSuchDisk { name: path.display().to_string() }.into()
                );
            }
            return Ok(Self::File { path: path.to_owned(), is_new: true });
        }
        let path = fs::canonicalize(path).map_err(io_error("find", path))?;
        let metadata = fs::metadata(&path).map_err(io_error("look at", &path))?;
        if metadata.file_type().is_block_device() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let disk = block::find(&Roots::default(), &name)?;
            let dev = path.parent().unwrap_or(Path::new("/dev")).to_owned();
            return Ok(Self::Disk { disk, dev });
        }
        if metadata.is_file() {
            let is_new = metadata.len() == 0;
            return Ok(Self::File { path, is_new });
        }
        Err(Failure::NotADisk { path })
    }

    /// Opens it for writing, refusing every disk that must not be written.
    pub(super) fn open(&self, needs: u64, confirm: Option<&str>) -> Result<DiskMedium, Failure> {
        match self {
            Self::Disk { disk, dev } => {
                disk.admit(needs, confirm)?;
                Ok(DiskMedium::open_disk(disk, dev, &Roots::default())?)
            }
            Self::File { path, .. } => Ok(DiskMedium::open_file(path, needs)?),
        }
    }

    /// Opens what must be there already.
    pub(super) fn open_existing(&self) -> Result<DiskMedium, Failure> {
        match self {
            Self::Disk { disk, dev } => {
                // A flashed disk is no danger to what is flashed; its serial need not be typed.
                disk.admit(0, Some(&disk.confirmation()))?;
                Ok(DiskMedium::open_disk(disk, dev, &Roots::default())?)
            }
            Self::File { path, is_new: true } => Err(Failure::NotADisk { path: path.clone() }),
            Self::File { path, is_new: false } => Ok(DiskMedium::open_file(path, 0)?),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk { disk, .. } => disk.fmt(f),
            Self::File { path, .. } => path.display().fmt(f),
        }
    }
}
