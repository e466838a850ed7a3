//! Transactions: what a till hands over, and what it is told about it.

pub mod envelope;
pub mod merkle;
pub mod receipt;
pub mod settle;

pub use envelope::{Envelope, EnvelopeError};
pub use receipt::{Grade, Receipt, Signed, Statement};
pub use settle::{Answer, SettleAnswer, SettleRequest};
