//! A port that misbehaves on purpose, around any other port.
//!
//! Faults are counted in bytes and waits, never drawn from chance or a clock, so a failing test
//! fails the same way again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Port, PortError, Want};

/// What goes wrong; everything off by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every n-th byte read from the device is lost.
    pub drop_every: Option<u64>,
    /// Every n-th byte read from the device has a bit flipped.
    pub corrupt_every: Option<u64>,
    /// A byte read from the device arrives this many waits late.
    pub delay_waits: u32,
    /// Reads return at most this many bytes.
    pub read_max: Option<usize>,
    /// Writes take at most this many bytes.
    pub write_max: Option<usize>,
    /// The device stops taking bytes.
    pub stalled: bool,
    /// The line is cut once this many bytes were written.
    pub cut_after_written: Option<u64>,
    /// The line is cut now.
    pub cut: bool,
}

/// Changes the faults of a port while it is in use.
#[derive(Debug, Clone)]
pub struct FaultHandle(Arc<Mutex<Faults>>);

impl FaultHandle {
    /// Replaces what goes wrong from now on.
    pub fn set(&self, faults: Faults) {
        *self.lock() = faults;
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port with faults in front of it.
#[derive(Debug)]
pub struct FaultPort<P> {
    inner: P,
    faults: FaultHandle,
    held: VecDeque<(u8, u32)>,
    read: u64,
    written: u64,
}

impl<P: Port> FaultPort<P> {
    /// Wraps a port; the handle changes its faults later.
    pub fn new(inner: P, faults: Faults) -> (Self, FaultHandle) {
        let handle = FaultHandle(Arc::new(Mutex::new(faults)));
        let port =
            Self { inner, faults: handle.clone(), held: VecDeque::new(), read: 0, written: 0 };
        (port, handle)
    }

    fn is_cut(&self, faults: &Faults) -> bool {
        faults.cut || faults.cut_after_written.is_some_and(|at| self.written >= at)
    }

    fn take_in(&mut self, faults: &Faults) -> Result<(), PortError> {
        let mut buffer = [0; 256];
        let count = self.inner.read(&mut buffer)?;
        for &byte in &buffer[..count] {
            self.read += 1;
            if faults.drop_every.is_some_and(|every| self.read.is_multiple_of(every.max(1))) {
                continue;
            }
            let flip = faults.corrupt_every.is_some_and(|n| self.read.is_multiple_of(n.max(1)));
            self.held.push_back((if flip { byte ^ 0x04 } else { byte }, faults.delay_waits));
        }
        Ok(())
    }
}

impl<P: Port> Port for FaultPort<P> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        let faults = self.faults.lock().clone();
        if self.is_cut(&faults) {
            return Err(PortError::HungUp);
        }
        if self.held.is_empty() {
            self.take_in(&faults)?;
        }
        let most = into.len().min(faults.read_max.unwrap_or(usize::MAX));
        let mut count = 0;
        while count < most
            && let Some(&(byte, 0)) = self.held.front()
        {
            into[count] = byte;
            count += 1;
            self.held.pop_front();
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        let faults = self.faults.lock().clone();
        if self.is_cut(&faults) {
            return Err(PortError::HungUp);
        }
        if faults.stalled {
            return Ok(0);
        }
        let until_cut = faults.cut_after_written.map_or(u64::MAX, |at| at - self.written);
        let most = bytes
            .len()
            .min(faults.write_max.unwrap_or(usize::MAX))
            .min(usize::try_from(until_cut).unwrap_or(usize::MAX));
        let count = self.inner.write(&bytes[..most])?;
        self.written += count as u64;
        Ok(count)
    }

    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        let faults = self.faults.lock().clone();
        for (_, waits) in &mut self.held {
            *waits = waits.saturating_sub(1);
        }
        if !self.held.is_empty() || self.is_cut(&faults) {
            return Ok(());
        }
        self.inner.wait(Want { write: want.write && !faults.stalled, ..want }, up_to)
    }

    fn undelivered(&mut self) -> Option<usize> {
        self.inner.undelivered()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::pair;
    use super::*;

    #[test]
    fn lost_and_flipped_bytes_are_the_counted_ones() {
        let (mut device, host) = pair(64);
        let faults = Faults { drop_every: Some(3), corrupt_every: Some(4), ..Faults::default() };
        let (mut port, _) = FaultPort::new(host, faults);
        device.write(b"abcde").unwrap();
        let mut seen = [0; 8];
        let count = port.read(&mut seen).unwrap();
        assert_eq!(&seen[..count], [b'a', b'b', b'd' ^ 0x04, b'e']);
    }

    #[test]
    fn a_cut_line_lets_exactly_so_many_bytes_through() {
        let (mut device, host) = pair(64);
        let (mut port, _) =
            FaultPort::new(host, Faults { cut_after_written: Some(3), ..Faults::default() });
        assert_eq!(port.write(b"abcdef").unwrap(), 3);
        assert!(matches!(port.write(b"def"), Err(PortError::HungUp)));
        let mut seen = [0; 8];
        assert_eq!(device.read(&mut seen).unwrap(), 3);
    }

    #[test]
    fn a_late_byte_comes_after_its_waits() {
        let (mut device, host) = pair(64);
        let (mut port, _) = FaultPort::new(host, Faults { delay_waits: 2, ..Faults::default() });
        device.write(b"a").unwrap();
        let mut seen = [0; 8];
        let want = Want { read: true, write: false };
        assert_eq!(port.read(&mut seen).unwrap(), 0);
        port.wait(want, Duration::ZERO).unwrap();
        assert_eq!(port.read(&mut seen).unwrap(), 0);
        port.wait(want, Duration::ZERO).unwrap();
        assert_eq!(port.read(&mut seen).unwrap(), 1);
    }
}
