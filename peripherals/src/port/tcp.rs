//! A network printer's raw port (9100).
//!
//! Connected does not mean able to print: many printers accept several hosts and print for the
//! first only, so the protocol above must see a status answer before it trusts the connection.
//! Unsent data gives up after [`UNSENT_MAX`], so a pulled cable is noticed.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::{OpenError, Port, PortError, Want, descriptor};

/// How long sent data may stay unacknowledged before the system calls the connection dead.
const UNSENT_MAX: Duration = Duration::from_secs(20);

/// An open connection to a device's raw TCP port.
#[derive(Debug)]
pub struct TcpPort {
    stream: TcpStream,
}

impl TcpPort {
    /// Connects, waiting no longer than `up_to`.
    pub fn connect(to: SocketAddr, up_to: Duration) -> Result<Self, OpenError> {
        let stream = TcpStream::connect_timeout(&to, up_to)
            .map_err(|error| OpenError::from_io(&to.to_string(), error))?;
        Self::from_stream(stream).map_err(|error| OpenError::from_io(&to.to_string(), error))
    }

    /// Takes over a stream that is already connected, such as one a simulator accepted.
    pub fn from_stream(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        setsockopt(&stream, sockopt::KeepAlive, &true)?;
        let millis = u32::try_from(UNSENT_MAX.as_millis()).unwrap_or(u32::MAX);
        setsockopt(&stream, sockopt::TcpUserTimeout, &millis)?;
        Ok(Self { stream })
    }
}

impl Port for TcpPort {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        descriptor::read(&mut self.stream, into)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        descriptor::write(&mut self.stream, bytes)
    }

    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        descriptor::wait(&self.stream, want, up_to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_closed_peer_is_a_hang_up_and_not_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut port =
            TcpPort::connect(listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut seen = [0; 4];
        assert_eq!(port.read(&mut seen).unwrap(), 0);
        peer.write_all(b"\x12").unwrap();
        port.wait(Want { read: true, write: false }, Duration::from_secs(5)).unwrap();
        assert_eq!(port.read(&mut seen).unwrap(), 1);
        drop(peer);
        port.wait(Want { read: true, write: false }, Duration::from_secs(5)).unwrap();
        assert!(matches!(port.read(&mut seen), Err(PortError::HungUp)));
    }

    #[test]
    fn a_printer_that_never_reads_blocks_no_thread() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut port =
            TcpPort::connect(listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        let (_peer, _) = listener.accept().unwrap();
        let block = vec![0u8; 1 << 16];
        let mut taken = 0usize;
        while taken < 1 << 28 {
            match port.write(&block).unwrap() {
                0 => break,
                count => taken += count,
            }
        }
        assert!(taken > 0 && taken < 1 << 28, "took {taken} bytes and still asked for more");
    }
}
