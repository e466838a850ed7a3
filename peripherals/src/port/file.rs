//! A character device that needs no settings: `/dev/usb/lp*`, the kernel's USB printer class.
//!
//! The kernel driver lets one opener in at a time and reads status back, so nothing is detached
//! from it and no USB library is needed.
//! Opened non-blocking; a printer that reads nothing takes about 90 KB and then refuses more.
//!
//! Unlike a terminal, this driver may return nothing at all without a hang-up: printers end their
//! answers with empty packets.
//! An unplugged printer fails with `EIO`; only endless emptiness is taken for one too.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::libc::{O_NOCTTY, O_NONBLOCK};

use super::{OpenError, Port, PortError, Want, descriptor};

/// An opened device file.
#[derive(Debug)]
pub struct FilePort {
    file: File,
    readable: bool,
    /// Empty reads in a row.
    empty: u32,
}

/// So many empty reads in a row are no empty packets any more.
const EMPTY_MAX: u32 = 64;

impl FilePort {
    /// Opens a device file, for writing only where the device cannot talk back.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        match options().read(true).write(true).open(path) {
            Ok(file) => Ok(Self { file, readable: true, empty: 0 }),
            // A one-way printer (usblp protocol 1) refuses to be opened for reading.
            Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => options()
                .write(true)
                .open(path)
                .map(|file| Self { file, readable: false, empty: 0 })
                .map_err(|error| OpenError::from_io(&name, error)),
            Err(error) => Err(OpenError::from_io(&name, error)),
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(O_NONBLOCK | O_NOCTTY);
    options
}

impl Port for FilePort {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        if !self.readable {
            return Ok(0);
        }
        match self.file.read(into) {
            Ok(0) if self.empty >= EMPTY_MAX => Err(PortError::HungUp),
            Ok(0) => {
                self.empty += 1;
                Ok(0)
            }
            Ok(count) => {
                self.empty = 0;
                Ok(count)
            }
            Err(error) => {
                self.empty = 0;
                descriptor::nothing_or_fail("read", error)
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        descriptor::write(&mut self.file, bytes)
    }

    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        descriptor::wait(&self.file, Want { read: want.read && self.readable, ..want }, up_to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_told_apart_from_one_that_is_refused() {
        let error = FilePort::open(Path::new("/dev/usb/no-such-printer"));
        assert!(matches!(error, Err(OpenError::Missing { .. })));
    }

    #[test]
    fn emptiness_is_no_hang_up_until_it_never_ends() {
        let mut port = FilePort::open(Path::new("/dev/null")).unwrap();
        for _ in 0..EMPTY_MAX {
            assert_eq!(port.read(&mut [0; 8]).unwrap(), 0);
        }
        assert!(matches!(port.read(&mut [0; 8]), Err(PortError::HungUp)));
    }

    #[test]
    fn a_named_pipe_carries_bytes_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lp0");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut port = FilePort::open(&path).unwrap();
        let mut seen = [0; 8];
        assert_eq!(port.read(&mut seen).unwrap(), 0);
        assert_eq!(port.write(b"\x1b@").unwrap(), 2);
        port.wait(Want { read: true, write: false }, Duration::from_secs(1)).unwrap();
        assert_eq!(port.read(&mut seen).unwrap(), 2);
    }
}
