//! Deterministic simulation of the pure machines: see `world.rs` for what happens, `check.rs` for what must hold.
//!
//! `SEED=n` replays one seed and prints its trace; `SEEDS=n` tries that many.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped has failed")]

mod author;
mod check;
mod defects;
mod desk;
mod faults;
mod guests;
mod keys;
mod ledger;
mod mirror;
mod net;
mod queue;
mod relay;
mod replica;
mod sales;
mod scale;
mod seeds;
mod store;
mod tiers;
mod tills;
mod trace;
mod world;

mod meta;
mod outages;
