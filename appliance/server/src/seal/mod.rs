//! Sealing on this box: the rings it holds, its life, and which writes it has taken; how rings come.
//!
//! The formats and rules are `storebox_proto::seal`; here they meet the vault, the clock and the callers.
//! Keys are derived by the believable clock, but forgotten only up to a time that is proven to have come.

mod callers;
mod courier;
mod keeper;

pub use callers::{Callers, Given, Taken};
pub use courier::Courier;
pub use keeper::{RingListed, Seals, SealsError};
