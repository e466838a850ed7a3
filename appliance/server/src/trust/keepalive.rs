//! A connection whose far side is gone without a word ends by itself: a router that forgot it says nothing.

use std::io;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::TcpStream;

/// After so long without a byte the far side is asked whether it is there.
const AFTER: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(3);
const MISSED_MAX: u32 = 3;

/// Lets the kernel ask, as long as the connection is open.
pub(super) fn keep(stream: &TcpStream) -> io::Result<()> {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &seconds(AFTER))?;
    setsockopt(stream, sockopt::TcpKeepInterval, &seconds(EVERY))?;
    setsockopt(stream, sockopt::TcpKeepCount, &MISSED_MAX)?;
    Ok(())
}
