//! Masterdata out of the company's databases (role `main`).
//!
//! ```text
//! table ─▶ changed rows ──────▶ changes ─▶ office (import, author)
//!       └▶ keys and digests ─▶ what differs, what is gone ─┘
//! ```
//!
//! Rows that say when they were updated are read again and again from a little before the newest one that was seen
//! (the overlap), because a long transaction commits with an early time.
//! What that misses (a commit later than the overlap, a deletion, a row without a time) is found by comparing the keys
//! and digests of the whole table, once a day.
//!
//! Invariants:
//! - what was seen is written down after it was published and never before;
//! - a record is removed only if this intake has brought it and its row is gone in a snapshot of the whole table;
//! - a failing database changes nothing here, and is tried again for ever.

mod book;
mod gather;
mod reader;
mod runner;
mod statement;

pub use reader::IntakeError;
pub use runner::{Figures, Runner, RunnerOptions};
