//! What a box remembers of its last day, for charts: a point a minute in a ring of fixed size.
//!
//! Nothing is decided by it and nobody waits for it; a point that is lost is a gap in a line.
//! What was not known in a minute is absent, never zero.
//! [`Gatherer`] makes points of samples, [`Ring`] keeps them, [`Waits`] counts how long clients waited.

mod gather;
mod point;
mod waits;

pub use gather::{Gatherer, Sample};
pub use point::{POINT_BYTES, Point};
pub use waits::{BUCKETS, Waits, bucket_of};

use crate::time::Timestamp;

/// Points of the ring: a day.
pub const MINUTES: usize = 24 * 60;
const MINUTE_MS: i64 = 60_000;

/// The minute in which a time is, counted from 1970.
pub fn minute_of(at: Timestamp) -> u32 {
    u32::try_from(at.unix_ms() / MINUTE_MS).unwrap_or(u32::MAX)
}

/// The beginning of a minute.
pub fn start_of(minute: u32) -> Timestamp {
    Timestamp::from_unix_ms(i64::from(minute) * MINUTE_MS)
}

/// The points of the last day, each in the place of its minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    slots: Vec<Option<Point>>,
}

impl Default for Ring {
    fn default() -> Self {
        Self { slots: vec![None; MINUTES] }
    }
}

impl Ring {
    /// The bytes of a ring, all of them.
    pub const BYTES: usize = MINUTES * POINT_BYTES;

    /// Reads what is left of a ring: a piece that is damaged, missing or in a foreign place is a gap.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut ring = Self::default();
        for (slot, piece) in bytes.chunks_exact(POINT_BYTES).take(MINUTES).enumerate() {
            let point = piece.try_into().ok().and_then(Point::decode);
            ring.slots[slot] = point.filter(|point| slot_of(point.minute) == slot);
        }
        ring
    }

    /// Puts a point in the place of its minute and tells which that is.
    pub fn put(&mut self, point: Point) -> usize {
        let slot = slot_of(point.minute);
        self.slots[slot] = Some(point);
        slot
    }

    /// The points of the last so many minutes up to this one, in order.
    pub fn last(&self, minutes: usize, now: u32) -> Vec<Point> {
        let minutes = u32::try_from(minutes.min(MINUTES)).unwrap_or(0);
        let first = now.saturating_sub(minutes.saturating_sub(1));
        let within = |point: &&Point| minutes > 0 && (first..=now).contains(&point.minute);
        let mut points: Vec<Point> = self.slots.iter().flatten().filter(within).copied().collect();
        points.sort_by_key(|point| point.minute);
        points
    }
}

fn slot_of(minute: u32) -> usize {
    minute as usize % MINUTES
}

#[cfg(test)]
mod tests;
