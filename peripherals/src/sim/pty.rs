//! A pseudo-terminal: the simulator holds one end, a driver opens the other by its path.
//!
//! The simulator keeps the driver's end open too, so that a driver may come and go without the
//! simulator seeing a hang-up; dropping the pseudo-terminal is pulling the plug.
//! A driver that is killed leaves a real port free (its last close does that), but not one that is kept open here:
//! what it took for itself (`TIOCEXCL`, ioctl_tty(2)) is given back.
//!
//! The kernel forces eight bits without parity here, and there are no modem wires; wrong parity is
//! simulated in the bytes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;

use crate::port::{Port, PortError, Want, descriptor};

/// A pseudo-terminal, as a port for a simulator.
#[derive(Debug)]
pub struct Pty {
    near: File,
    /// Held open, never read.
    far: File,
    path: PathBuf,
}

impl Pty {
    /// Opens a new pseudo-terminal.
    pub fn open() -> io::Result<Self> {
        let pair = openpty(None, None)?;
        let mut settings = tcgetattr(&pair.slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
        let path = ttyname(&pair.slave)?;
        fcntl(&pair.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // A program that is started meanwhile must not keep the plug in.
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        Ok(Self { near: File::from(pair.master), far: File::from(pair.slave), path })
    }

    /// The path a driver opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Port for Pty {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        descriptor::read(&mut self.near, into)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        descriptor::write(&mut self.near, bytes)
    }

    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        rustix::termios::ioctl_tiocnxcl(&self.far)
            .map_err(|error| PortError::Io { doing: "configure", source: error.into() })?;
        descriptor::wait(&self.near, want, up_to)
    }
}
