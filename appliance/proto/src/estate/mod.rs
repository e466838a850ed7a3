//! What describes a chain of shops, as records of the feed `estate`.
//!
//! A definition is checked where it is authored, so that a typing error is refused by name there and never arrives
//! in a shop; a box that meets a definition of a newer version passes over it and says so.

pub mod channel;
pub mod definition;
pub mod excerpt;

mod lint;
mod organisation;
mod reading;
mod roster;
mod server;
mod service;
mod switch;
mod token;
mod view;

#[cfg(test)]
mod tests;

pub use definition::{DefinitionFault, check};
pub use excerpt::{EXCERPT, Excerpt, Sieve};
pub use lint::{Finding, Rule};
pub use organisation::Organisations;
pub use roster::{ENABLEMENT, Estate, MODELS};
pub use server::{Selection, Server, ServerType};
pub use service::{Catalogue, Concern, GENERIC, Routing, Service, TRANSACTIONS, Timeouts};
pub use switch::{Route, Switch};
pub use token::refresh_after_ms;
pub use view::{View, ViewServer, ViewService};
