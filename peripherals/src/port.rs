//! Ports: the places a device's bytes come from and go to.
//!
//! A port never blocks except in [`Port::wait`], and there never longer than it was told.
//! A device that stops reading must cost its own line's patience, not a thread.
//!
//! Rejected: `serialport`'s own `write`, which polls and then blocks in `write(2)`; with a device
//! that does not read, it was seen to hang past its time-out until the device drained.

pub(crate) mod descriptor;
pub mod fault;
mod file;
pub mod memory;
mod serial;
mod tcp;

use std::io;
use std::time::Duration;

pub use file::FilePort;
pub use serial::{DataBits, FlowControl, Parity, SerialPort, SerialSettings, StopBits};
pub use tcp::TcpPort;

/// Why bytes could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The device or its peer went away; close the port at once, then look for the device again.
    #[error("reach the device: it hung up")]
    HungUp,
    /// The operating system refused for another reason.
    #[error("{doing} the port")]
    Io {
        /// What was being done: "read", "write", "wait on", "configure".
        doing: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing by that name exists, now.
    #[error("open {name}: no such device")]
    Missing {
        /// The path or address.
        name: String,
    },
    /// Another program, or another driver of this one, holds it.
    #[error("open {name}: another program holds it")]
    Busy {
        /// The path or address.
        name: String,
    },
    /// This user may not open it.
    #[error("open {name}: not permitted for this user")]
    Denied {
        /// The path.
        name: String,
    },
    /// The system refused for another reason.
    #[error("open {name}")]
    Io {
        /// The path or address.
        name: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn from_io(name: &str, source: io::Error) -> Self {
        let name = name.to_owned();
        match source.raw_os_error().map(nix::errno::Errno::from_raw) {
            Some(nix::errno::Errno::EBUSY | nix::errno::Errno::EAGAIN) => Self::Busy { name },
            Some(nix::errno::Errno::EACCES | nix::errno::Errno::EPERM) => Self::Denied { name },
            Some(
                nix::errno::Errno::ENOENT | nix::errno::Errno::ENODEV | nix::errno::Errno::ENXIO,
            ) => Self::Missing { name },
            Some(_) | None => Self::Io { name, source },
        }
    }
}

/// What a wait should end for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Wake when bytes can be read.
    pub read: bool,
    /// Wake when bytes can be written.
    pub write: bool,
}

/// A two-way stream of bytes to one device.
pub trait Port: Send {
    /// Reads what is there; `0` means nothing is there now, never that the device went away.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError>;

    /// Writes what fits; `0` means nothing fits now.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError>;

    /// Waits until something wanted is possible or `up_to` has passed.
    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError>;

    /// How many written bytes have not left this host, where the port can tell; one, if it can
    /// tell only that there are some.
    fn undelivered(&mut self) -> Option<usize> {
        None
    }

    /// Throws away input that waits unread.
    fn discard_input(&mut self) -> Result<(), PortError> {
        let mut sink = [0; 512];
        for _ in 0..DISCARD_READS_MAX {
            if self.read(&mut sink)? == 0 {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Bounds the throwing away, so that a device that never stops talking cannot hold its driver.
const DISCARD_READS_MAX: usize = 128;

impl Port for Box<dyn Port> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        (**self).read(into)
    }
    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        (**self).write(bytes)
    }
    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        (**self).wait(want, up_to)
    }
    fn undelivered(&mut self) -> Option<usize> {
        (**self).undelivered()
    }
    fn discard_input(&mut self) -> Result<(), PortError> {
        (**self).discard_input()
    }
}
