//! The services that change something: each makes one transaction of its request and hands it to the outbox.
//!
//! ```text
//! request ─▶ before-hooks ─▶ draft (ids, codes resolved) ─▶ on-save ─▶ after-hooks on the answer ─▶ journal ─▶ completed
//! ```
//!
//! Invariants:
//! - what is minted follows from the key of the transaction, so the same request under the same key is the same
//!   transaction;
//! - a refusal before the journal has stored nothing.

mod cash;
mod customer;
mod draft;
mod fulfil;
mod input;
mod inventory;
mod numbers;
pub mod stock;
#[cfg(test)]
mod tests;
mod ticket;
mod writer;

pub(super) use writer::Writer;
