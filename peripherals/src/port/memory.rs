//! A port that is two queues in memory: a driver on one end, a simulator or a test on the other.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Port, PortError, Want};

#[derive(Debug, Default)]
struct Wire {
    /// Bytes on their way to each end.
    to: [VecDeque<u8>; 2],
    /// An end that was dropped is a peer that hung up.
    gone: [bool; 2],
}

/// One end of a wire in memory.
#[derive(Debug)]
pub struct MemoryPort {
    shared: Arc<(Mutex<Wire>, Condvar)>,
    end: usize,
    capacity: usize,
}

/// Two ends joined by a wire that holds `capacity` bytes each way.
#[must_use]
pub fn pair(capacity: usize) -> (MemoryPort, MemoryPort) {
    let shared = Arc::new((Mutex::new(Wire::default()), Condvar::new()));
    (
        MemoryPort { shared: Arc::clone(&shared), end: 0, capacity },
        MemoryPort { shared, end: 1, capacity },
    )
}

impl MemoryPort {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        // A poisoned wire holds bytes like any other: no step leaves it half changed.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Port for MemoryPort {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, PortError> {
        let mut wire = self.wire();
        let count = wire.to[self.end].len().min(into.len());
        if count == 0 && !into.is_empty() && wire.gone[1 - self.end] {
            return Err(PortError::HungUp);
        }
        for slot in &mut into[..count] {
            *slot = wire.to[self.end].pop_front().expect("count is no more than what is queued");
        }
        self.shared.1.notify_all();
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, PortError> {
        let mut wire = self.wire();
        if wire.gone[1 - self.end] {
            return Err(PortError::HungUp);
        }
        let queue = &mut wire.to[1 - self.end];
        let count = bytes.len().min(self.capacity.saturating_sub(queue.len()));
        queue.extend(&bytes[..count]);
        self.shared.1.notify_all();
        Ok(count)
    }

    fn wait(&mut self, want: Want, up_to: Duration) -> Result<(), PortError> {
        let wire = self.wire();
        let (end, capacity) = (self.end, self.capacity);
        let idle = |wire: &mut Wire| {
            !wire.gone[1 - end]
                && (!want.read || wire.to[end].is_empty())
                && (!want.write || wire.to[1 - end].len() >= capacity)
        };
        drop(
            self.shared
                .1
                .wait_timeout_while(wire, up_to, idle)
                .unwrap_or_else(PoisonError::into_inner),
        );
        Ok(())
    }

    fn undelivered(&mut self) -> Option<usize> {
        Some(self.wire().to[1 - self.end].len())
    }
}

impl Drop for MemoryPort {
    fn drop(&mut self) {
        self.wire().gone[self.end] = true;
        self.shared.1.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cross_in_order_and_stop_at_the_capacity() {
        let (mut left, mut right) = pair(4);
        assert_eq!(left.write(b"abcdef").unwrap(), 4);
        assert_eq!(left.undelivered(), Some(4));
        let mut seen = [0; 8];
        assert_eq!(right.read(&mut seen).unwrap(), 4);
        assert_eq!(&seen[..4], b"abcd");
        assert_eq!(right.read(&mut seen).unwrap(), 0);
    }

    #[test]
    fn what_was_sent_before_a_hang_up_is_still_read() {
        let (mut left, mut right) = pair(16);
        left.write(b"x").unwrap();
        drop(left);
        let mut seen = [0; 8];
        assert_eq!(right.read(&mut seen).unwrap(), 1);
        assert!(matches!(right.read(&mut seen), Err(PortError::HungUp)));
        assert!(matches!(right.write(b"y"), Err(PortError::HungUp)));
    }
}
