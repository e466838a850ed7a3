//! Settings that head office sets: checked here, tried, proven, or taken back.
//!
//! What arrives with the estate is held against the box's own configuration before it is used; what the box cannot
//! run with is refused by name, and nothing changes.
//! What passes is tried: the box begins again with it, and the ones before are in force again if it does not start, is
//! not well, or a person says so.
//! A box without head office, without an estate or without a readable book runs with what it has.

mod book;
mod desk;

pub use book::{FILE, begin, fall_back};
pub use desk::{Desk, Settings};
