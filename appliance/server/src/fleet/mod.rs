//! All boxes of a chain on one page: each tells head office how it is, and head office remembers the latest.
//!
//! For people alone, like the console that shows it.
//! What a box said last is told with when it said it; a box that never spoke is unknown, not well.

mod pulse;
mod roll;

pub use pulse::{EVERY, Pulse};
pub use roll::{FILE, Heard, Roll};
