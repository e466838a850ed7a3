//! The chronicle of the box: its last day in points of a minute, within a fixed size on disk and in memory.
//!
//! For charts alone: it samples the status like any other onlooker, decides nothing, and every failure of it is a gap.
//! Invariants:
//! - The file never grows: its size is set when it is made.
//! - A point is written without a flush: a minute that a power cut takes is not worth a write to flash.

mod clock;
mod file;
mod keeper;

pub use clock::WaitClock;
pub use file::{FILE, RingFile};
pub use keeper::{Chronicle, Keeper};
