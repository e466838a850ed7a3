//! Machines that decide, without doing: which refresh, when at a till, what to fetch, what to send.
//!
//! Each takes `now` and events as arguments and is drained by its caller; none reads a clock, a disk or a socket.

pub mod decide;
pub mod deferral;
pub mod fetch;
pub mod outbox;
