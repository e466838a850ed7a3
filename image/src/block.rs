//! The disks of this computer, in words, and what speaks against flashing each.
//!
//! Everything is read from `/sys` and `/proc`: no ioctl, no root, no udev. The two roots are
//! parameters, so that tests describe a computer as a tree of files.
//!
//! A technician must never lose a disk to this program. A disk is refused if any part of it is in
//! use by anything, through any layer (LVM, RAID, encryption); a disk that is built in, or larger
//! than a stick or card usually is, needs the end of its serial number typed.

mod mounts;
mod sysfs;

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::stat::{major, minor};
pub use sysfs::{ListError, find, list};

use crate::words;

/// Larger than the sticks, cards and small disks that boxes are made of.
pub const USUAL_BYTES_MAX: u64 = 256_000_000_000;
/// Our boot loader's FAT volume has sectors of this size; other disks cannot start it.
const SECTOR_BYTES: u64 = 512;
/// How much of a serial number is typed to confirm.
const CONFIRM_CHARS: usize = 4;

/// Where the kernel tells about disks.
#[derive(Debug, Clone)]
pub struct Roots {
    pub sys: PathBuf,
    pub proc: PathBuf,
    /// The device of the file system that this program sees as `/`: in a chroot it is in no list of mounts.
    pub here: Option<(u64, u64)>,
}

impl Default for Roots {
    fn default() -> Self {
        let number = |root: fs::Metadata| (major(root.dev()), minor(root.dev()));
        let here = fs::metadata("/").ok().map(number);
        Self { sys: "/sys".into(), proc: "/proc".into(), here }
    }
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    Usb,
    SdCard,
    Emmc,
    Nvme,
    Ata,
    Virtio,
    Loop,
    Other,
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usb => "USB",
            Self::SdCard => "SD card",
            Self::Emmc => "eMMC",
            Self::Nvme => "NVMe",
            Self::Ata => "SATA",
            Self::Virtio => "virtual disk",
            Self::Loop => "loop device",
            Self::Other => "other",
        })
    }
}

/// What a disk is used for right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    System { at: String },
    Swap { device: String },
    Mounted { device: String, at: String },
    Held { device: String, by: String },
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name: `sdb`.
    pub name: String,
    /// The device number, which a reused name does not have.
    pub number: (u64, u64),
    pub bytes: u64,
    pub sector_bytes: u64,
    pub removable: bool,
    pub read_only: bool,
    pub bus: Bus,
    pub vendor: String,
    pub model: String,
    pub serial: String,
    pub uses: Vec<Use>,
}

/// Why a disk is not flashed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{name} is the disk this computer runs from ({at})")]
    SystemDisk { name: String, at: String },
    #[error("{device} is used as swap space")]
    Swap { device: String },
    #[error("{device} is mounted at {at}; unmount it first")]
    Mounted { device: String, at: String },
    #[error("{device} belongs to {by} (LVM, RAID or encryption); take it apart first")]
    Held { device: String, by: String },
    #[error("{name} is write-protected; look for a small switch on the card")]
    ReadOnly { name: String },
    #[error("{name} has no medium in it")]
    NoMedium { name: String },
    #[error("{name} has {}, a box needs {}", words::size(*has), words::size(*needs))]
    TooSmall { name: String, has: u64, needs: u64 },
    #[error("{name} has sectors of {bytes} bytes, a box starts only from sectors of 512")]
    SectorSize { name: String, bytes: u64 },
    #[error(
        "{name} is {why}; if you are sure, repeat with --confirm and the last characters of its \
         serial number as `list` shows it"
    )]
    Unconfirmed { name: String, why: Care },
    #[error("{typed:?} is not how the serial number of {name} ends")]
    WrongConfirmation { name: String, typed: String },
}

/// Why a disk needs a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    BuiltIn,
    Large,
}

impl fmt::Display for Care {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built into this computer",
            Self::Large => "larger than what boxes usually have",
        })
    }
}

impl Disk {
    /// What a person must confirm by typing, if anything.
    pub fn care(&self) -> Option<Care> {
        let portable = match self.bus {
            Bus::Usb | Bus::SdCard | Bus::Loop => true,
            Bus::Emmc | Bus::Nvme | Bus::Ata | Bus::Virtio | Bus::Other => self.removable,
        };
        if !portable {
            return Some(Care::BuiltIn);
        }
        (self.bytes > USUAL_BYTES_MAX).then_some(Care::Large)
    }

    /// What is typed to confirm: the end of the serial number, or the name if it has none.
    pub fn confirmation(&self) -> String {
        let known = if self.serial.is_empty() { &self.name } else { &self.serial };
        let skipped = known.chars().count().saturating_sub(CONFIRM_CHARS);
        known.chars().skip(skipped).collect()
    }

    /// Whether a release that needs `needs` bytes may be flashed onto this disk.
    pub fn admit(&self, needs: u64, confirmed: Option<&str>) -> Result<(), Refusal> {
        self.check_unused()?;
        let name = || self.name.clone();
        if self.bytes == 0 {
            return Err(Refusal::NoMedium { name: name() });
        }
        if self.read_only {
            return Err(Refusal::ReadOnly { name: name() });
        }
        if self.sector_bytes != SECTOR_BYTES {
            return Err(Refusal::SectorSize { name: name(), bytes: self.sector_bytes });
        }
        if self.bytes < needs {
            return Err(Refusal::TooSmall { name: name(), has: self.bytes, needs });
        }
        match (self.care(), confirmed) {
            (None, _) => Ok(()),
            (Some(why), None) => Err(Refusal::Unconfirmed { name: name(), why }),
            (Some(_), Some(typed)) if typed == self.confirmation() => Ok(()),
            (Some(_), Some(typed)) => {
                Err(Refusal::WrongConfirmation { name: name(), typed: typed.to_owned() })
            }
        }
    }

    fn check_unused(&self) -> Result<(), Refusal> {
        match self.uses.first().cloned() {
            None => Ok(()),
            Some(Use::System { at }) => Err(Refusal::SystemDisk { name: self.name.clone(), at }),
            Some(Use::Swap { device }) => Err(Refusal::Swap { device }),
            Some(Use::Mounted { device, at }) => Err(Refusal::Mounted { device, at }),
            Some(Use::Held { device, by }) => Err(Refusal::Held { device, by }),
        }
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/{}  {}", self.name, words::size(self.bytes))?;
        for part in [&self.vendor, &self.model] {
            if !part.is_empty() {
                write!(f, "  {part}")?;
            }
        }
        if !self.serial.is_empty() {
            write!(f, "  serial {}", self.serial)?;
        }
        write!(f, "  ({})", self.bus)
    }
}

#[cfg(test)]
mod tests;
