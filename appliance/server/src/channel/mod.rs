//! Channels: how programs other than a till's own use a store.
//!
//! Two layers: what is here takes JSON and a context and gives JSON back, without knowing HTTP; `http::channels` turns a
//! request into that call.
//!
//! Invariants:
//! - nobody does anything without a right on the channel of the terminal;
//! - every call has a correlation id, which is in its spans, its log entry and its answer;
//! - what a call changed is in the journal before the call is answered;
//! - every question is bounded: rows looked at, time, rows and bytes of the answer.

pub mod access;
pub mod afterwards;
pub mod book;
pub mod context;
pub mod desk;
pub mod engine;
pub mod fault;
pub mod hooks;
#[cfg(test)]
mod peer;
pub mod push;
pub mod query;
pub mod request_log;
pub mod save;
pub mod script;
pub mod tally;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

pub use afterwards::Afterwards;
pub use context::{Caller, Context};
pub use desk::{Channels, Parts, Reply, Wish};
pub use engine::Engine;
pub use hooks::{Hooks, NoHooks, Point};
pub use request_log::{LogEntry, NoLog, RequestLog, Step};
