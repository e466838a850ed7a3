//! The box's side of devices: which there are, a thread for each, and the durable spool of print jobs.
//!
//! ```text
//! configuration, estate ─▶ catalogue ─▶ yard ─▶ bay (a thread per device) ─▶ port
//! till ─▶ spool (journal) ─▶ bay ─▶ printer          scale ─▶ bay ─▶ till
//! ```
//! Invariants:
//! - What is not configured is never opened, and finding a device never sends it a byte.
//! - A device that is stuck costs its own thread and nothing else.
//! - The first byte of a job leaves the box after the spool has on disk that the job began.
//! - A weight is a number only when the scale said that it is settled.

mod approval;
pub mod bay;
pub mod catalogue;
pub mod definition;
pub mod lease;
pub mod place;
pub mod rendering;
pub mod slip;
pub mod spool;
pub mod trace;
pub mod yard;
