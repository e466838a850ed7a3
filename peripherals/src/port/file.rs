//! A character device that needs no settings: `/dev/usb/lp*`, the kernel's USB printer class.
//!
//! The kernel driver lets one opener in at a time and reads status back, so nothing is detached
//! from it and no USB library is needed.
//! Opened non-blocking; a printer that reads nothing takes about 90 KB and then refuses more.

use std::fs::{File, OpenOptions};
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
}

impl FilePort {
    /// Opens a device file, for writing only where the device cannot talk back.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        match options().read(true).write(true).open(path) {
            Ok(file) => Ok(Self { file, readable: true }),
            // A one-way printer (usblp protocol 1) refuses to be opened for reading.
            Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => options()
                .write(true)
                .open(path)
                .map(|file| Self { file, readable: false })
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
        if self.readable { descriptor::read(&mut self.file, into) } else { Ok(0) }
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
