//! What describes a chain of shops, as records of the feed `estate`.
//!
//! A definition is checked where it is authored, so that a typing error is refused by name there and never arrives
//! in a shop; a box that meets a definition of a newer version passes over it and says so.

pub mod channel;
pub mod definition;

pub use definition::{DefinitionFault, check};
