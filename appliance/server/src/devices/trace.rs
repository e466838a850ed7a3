//! The bytes between the box and a device, for a technician who listens; nobody listening costs one look.
//!
//! Everything is shown but a scale's approval.

use std::sync::Arc;
use std::time::Duration;

use storebox_peripherals::port::{Port, PortError, Want};
use storebox_proto::time::Timestamp;
use tokio::sync::broadcast;

use crate::env;

/// Pieces that a slow listener may be behind; what is older is lost to it, never to the device.
const BEHIND_MAX: usize = 256;

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the device.
    Sent,
    /// From the device.
    Received,
}

/// Bytes on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// When.
    pub at: Timestamp,
    /// Which way.
    pub way: Way,
    /// What.
    pub bytes: Arc<[u8]>,
}

/// Where a line can be listened to; cheap to clone.
#[derive(Debug, Clone)]
pub struct Tap(broadcast::Sender<Piece>);

impl Default for Tap {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }
}

impl Tap {
    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Piece> {
        self.0.subscribe()
    }

    fn note(&self, way: Way, bytes: &[u8]) {
        if self.0.receiver_count() > 0 && !bytes.is_empty() {
            let bytes = public(bytes);
            // Fails only when the last listener has just gone.
            let _ = self.0.send(Piece { at: env::timestamp(), way, bytes: bytes.into() });
        }
    }
}

/// The proof of a Dialog 06 approval goes out as one piece; its numbers are nobody's to see.
fn public(bytes: &[u8]) -> &[u8] {
    const PROOF: &[u8] = b"\x04\x0210\x1b";
    if bytes.starts_with(PROOF) { PROOF } else { bytes }
}

/// A port that can be listened to.
pub(super) struct Traced<P> {
    port: P,
    tap: Tap,
}

impl<P> Traced<P> {
    pub(super) fn new(port: P, tap: Tap) -> Self {
        Self { port, tap }
    }
}

impl<P: Port> Port for Traced<P> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        let count = self.port.read(into)?;
        self.tap.note(Way::Received, &into[..count]);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        let count = self.port.write(bytes)?;
        self.tap.note(Way::Sent, &bytes[..count]);
        Ok(count)
    }

    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        self.port.wait(want, up_to)
    }

    fn undelivered(&mut self) -> Option<usize> {
        self.port.undelivered()
    }

    fn discard_input(&mut self) -> Result<(), PortError> {
        self.port.discard_input()
    }
}
