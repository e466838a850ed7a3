//! Which writes of a caller were taken: each counter once, and none that comes too late to be known.

use super::SealError;

/// Writes that may overtake each other.
pub const WIDTH: u64 = 64;

/// The counters of one caller during one life of a box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    top: u64,
    /// Bit n: `top - n` was taken.
    taken: u64,
}

impl Window {
    /// The newest counter that was taken.
    pub fn top(&self) -> u64 {
        self.top
    }

    /// Takes a counter, once.
    pub fn take(&mut self, counter: u64) -> Result<(), SealError> {
        if counter > self.top {
            let ahead = counter - self.top;
            self.taken = if ahead >= WIDTH { 0 } else { self.taken << ahead };
            self.taken |= 1;
            self.top = counter;
            return Ok(());
        }
        let behind = self.top - counter;
        if behind >= WIDTH {
            return Err(SealError::Reordered { counter, top: self.top });
        }
        if self.taken & (1 << behind) != 0 || counter == 0 {
            return Err(SealError::Replayed { counter });
        }
        self.taken |= 1 << behind;
        Ok(())
    }
}
