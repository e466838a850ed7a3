//! A network printer's raw port (9100).
//!
//! Connected does not mean able to print: many printers accept several hosts and print for the
//! first only, so the protocol above must see a status answer before it trusts the connection.
//!
//! The kernel would take a whole receipt at once, long before a printer without paper does; then
//! nobody could say what is on its way.
//! So it is told to take more only when everything before is on the wire: a byte that was not sent
//! makes the port unwritable, and that is what [`Port::undelivered`] looks at.
//!
//! What is on the wire gives up after [`UNSENT_MAX`], so a pulled cable is noticed.
//! While the printer takes nothing there is no such limit: it may stand without paper for a night,
//! and its buffer with the receipt in it goes with the connection.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::{OpenError, Port, PortError, Want, descriptor};

/// The kernel takes bytes while fewer than this are unsent.
const UNSENT_BYTES: u32 = 1;
/// How long sent data may stay unacknowledged before the system calls the connection dead.
const UNSENT_MAX: Duration = Duration::from_secs(20);

/// An open connection to a device's raw TCP port.
#[derive(Debug)]
pub struct TcpPort {
    stream: TcpStream,
    /// Whether the peer takes nothing now, and the connection waits for it without end.
    waits: bool,
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
        let socket = SockRef::from(&stream);
        socket.set_keepalive(true)?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
        socket.set_tcp_user_timeout(Some(UNSENT_MAX))?;
        Ok(Self { stream, waits: false })
    }

    fn note_taken(&mut self, is_taken: bool) {
        if self.waits != is_taken {
            return;
        }
        let limit = if is_taken { UNSENT_MAX } else { Duration::ZERO };
        match SockRef::from(&self.stream).set_tcp_user_timeout(Some(limit)) {
            Ok(()) => self.waits = !is_taken,
            Err(error) => tracing::debug!(%error, "set how long a printer may take nothing"),
        }
    }
}

impl Port for TcpPort {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        descriptor::read(&mut self.stream, into)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        let count = descriptor::write(&mut self.stream, bytes)?;
        if count < bytes.len() {
            self.note_taken(false);
        }
        Ok(count)
    }

    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        descriptor::wait(&self.stream, want, up_to)
    }

    fn undelivered(&mut self) -> Option<usize> {
        let is_taken = descriptor::is_writable(&self.stream);
        self.note_taken(is_taken);
        Some(usize::from(!is_taken))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
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

    #[test]
    fn what_a_printer_does_not_take_is_undelivered_and_waits_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut port =
            TcpPort::connect(listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let limit = |port: &TcpPort| SockRef::from(&port.stream).tcp_user_timeout().unwrap();
        assert_eq!((port.undelivered(), limit(&port)), (Some(0), Some(UNSENT_MAX)));
        let mut taken = 0;
        loop {
            match port.write(&[0; 1024]).unwrap() {
                0 => break,
                count => taken += count,
            }
        }
        assert_eq!((port.undelivered(), port.waits), (Some(1), true));
        assert!(limit(&port).is_none_or(|limit| limit.is_zero()));
        let mut sink = vec![0; 1 << 16];
        while taken > 0 {
            taken -= peer.read(&mut sink).unwrap();
        }
        port.wait(Want { read: false, write: true }, Duration::from_secs(30)).unwrap();
        assert_eq!((port.undelivered(), limit(&port)), (Some(0), Some(UNSENT_MAX)));
    }
}
