//! What boxes agree on and decide.
//!
//! Everything here is a value or a pure machine: no socket, no file, no clock, no randomness of its own.
//! Time and random generators are arguments, so that a test can run many boxes a million times.
//! What crosses the network or rests on disk is defined here, once, with its version.
#![warn(missing_docs)]

pub mod beacon;
pub mod chronicle;
pub mod heartbeat;
pub mod ids;
pub mod limits;
pub mod order;
pub mod problem;
pub mod skew;
pub mod time;

pub mod drill;
pub mod estate;
pub mod feed;
pub mod query;
pub mod release;
pub mod rings;
pub mod seal;
pub mod settings;
pub mod sync;
pub mod ticket;
pub mod token;
pub mod trust;
pub mod visit;
