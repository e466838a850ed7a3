//! Non-blocking reading, writing and waiting on an open file descriptor.
//!
//! Shared by serial ports, `/dev/usb/lp*`, sockets and the simulators' pseudo-terminals.
//! Measured on a real kernel: after an unplug, a terminal answers `Ok(0)` or `EIO` at once and for
//! ever; taken for "nothing yet" it burns a core, so both mean hang-up here.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{PortError, Want};

pub(crate) fn read(source: &mut impl Read, into: &mut [u8]) -> Result<usize, PortError> {
    if into.is_empty() {
        return Ok(0);
    }
    match source.read(into) {
        Ok(0) => Err(PortError::HungUp),
        Ok(count) => Ok(count),
        Err(error) => nothing_or_fail("read", error),
    }
}

pub(crate) fn write(sink: &mut impl Write, bytes: &[u8]) -> Result<usize, PortError> {
    match sink.write(bytes) {
        Ok(count) => Ok(count),
        Err(error) => nothing_or_fail("write", error),
    }
}

pub(crate) fn wait(fd: impl AsFd, want: Want, up_to: Duration) -> Result<(), PortError> {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::POLLIN, want.read);
    flags.set(PollFlags::POLLOUT, want.write);
    // Rounded up: rounding 0.4 ms down to 0 would spin until the timer is due.
    let millis = u16::try_from(up_to.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
    let mut fds = [PollFd::new(fd.as_fd(), flags)];
    match poll(&mut fds, PollTimeout::from(millis)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(PortError::Io { doing: "wait on", source: errno.into() }),
    }
}

/// Whether a write would be taken now.
pub(crate) fn is_writable(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut fds, PollTimeout::ZERO) {
        // A broken connection is found by the next write.
        Ok(count) => count > 0,
        Err(_) => true,
    }
}

pub(crate) fn nothing_or_fail(
    doing: &'static str,
    error: std::io::Error,
) -> Result<usize, PortError> {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
        return Ok(0);
    }
    match error.raw_os_error().map(Errno::from_raw) {
        Some(
            Errno::EIO
            | Errno::ENODEV
            | Errno::ENXIO
            | Errno::EPIPE
            | Errno::ECONNRESET
            | Errno::ECONNABORTED
            | Errno::ETIMEDOUT
            | Errno::ENOTCONN
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH,
        ) => Err(PortError::HungUp),
        Some(_) | None => Err(PortError::Io { doing, source: error }),
    }
}
