//! Transactions: taken from tills, kept, sent up, and settled at head office.
//!
//! ```text
//! till ─▶ accept ─▶ journal ─▶ outbox ─▶ shipper ─▶ settle ─▶ ledger
//! ```
//!
//! Invariants:
//! - Nobody is answered before what the answer says is on the disk.
//! - What is accepted leaves the journal only when the authoritative sink has taken it.
//! - sled remembers here only what the journal knows too, or what does no harm when it is forgotten.

pub mod accept;
pub mod documents;
pub mod follow;
pub mod ledger;
pub mod routes;
pub mod settle;
pub mod settled;
pub mod shipper;
pub mod signers;
pub mod steps;
pub mod takeover;

mod bookkeeper;
mod command;
pub mod copies;
mod index;
mod keeper;
mod line;
pub mod mirror;
mod refusals;
mod reindex;
pub mod relay;
mod replay;
#[cfg(test)]
pub(crate) mod tests;

pub use accept::{Outbox, OutboxOpenError, OutboxOpened, OutboxOptions};
pub use command::{ConflictView, Entry, Known, OutboxFigures, Progress};
pub use copies::{Copies, CopiesOpenError, CopiesOpened, Copy};
#[cfg(test)]
pub(crate) use documents::LOADED;
pub use documents::{Document, LocalDocuments};
pub use follow::{LedgerCursor, LedgerPage};
pub use ledger::{
    Ledger, LedgerEntry, LedgerFigures, LedgerList, LedgerOpenError, LedgerOpened, LedgerOptions,
    Refusal, Unreadable,
};
pub use mirror::{Mirror, MirrorState};
pub use relay::Relay;
pub use routes::{Route, Routes};
pub use settle::{Objection, Rules};
pub use shipper::{Shipper, ShipperOptions};
pub use signers::{Signed, Signers};
