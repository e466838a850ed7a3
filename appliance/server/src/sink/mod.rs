//! Settled transactions on their way to the company's systems (role `main`).
//!
//! ```text
//! ledger ─▶ runner ─▶ PostgreSQL | NATS JetStream | HTTP | files
//!             └─ cursor
//! ```
//!
//! Each sink goes through the ledger by itself, in the order of settling, at its own pace.
//!
//! Invariants:
//! - A cursor moves only when the other side has said that it has everything up to there.
//! - What was under way when either side died is delivered again, and has its effect once: each target either
//!   recognises the key of a transaction or is asked before it is told again.
//! - No sink holds up another one, a shop, or the ledger; back-pressure ends at the cursor.
//! - What a target will never take is set aside on the disk and counted, never dropped.

mod aside;
mod cursor;
mod files;
mod http;
mod nats;
mod postgres;
mod rotation;
mod runner;
mod target;

pub use aside::Aside;
pub use runner::{Figures, Runner, RunnerOptions};
pub use target::{Target, TargetError, TargetSetUpError};
