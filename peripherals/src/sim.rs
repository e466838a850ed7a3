//! Devices that are not there: for tests, demonstrations and people who write tills.
//!
//! A simulator is a [`crate::line::Line`] like a driver, seen from the other end of the wire, so
//! the same runner and the same ports carry it.
//! It behaves badly when told to: a [`script::Script`] runs out of paper, jams the knife or pulls
//! the plug after so many bytes or so much time.

pub mod display;
pub mod printer;
mod pty;
pub mod scale;
pub mod scanner;
pub mod script;

pub use pty::Pty;
