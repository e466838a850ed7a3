//! Till devices for a shop: printers, scales, cash drawers, customer displays, barcode scanners.
//!
//! Nothing here is asynchronous and nothing here touches a disk, so the crate serves any program
//! that owns a device, not only the box.
//! Every protocol is a [`line::Line`]: bytes and times in, bytes and events out.
//! A [`runner::Runner`] joins a line and a [`port::Port`].
//!
//! What this crate promises a shop:
//! - a weight is never a number unless the scale said it is settled and in range;
//! - a receipt is never called printed without saying how that is known;
//! - an identifier never prints twice, and a second print says that it is a copy;
//! - garbage on a line ends in a state or an error, never in a panic or in growing memory.
#![warn(missing_docs)]

pub mod display;
pub mod drawer;
pub mod identify;
pub mod line;
pub mod port;
pub mod printer;
pub mod receipt;
pub mod runner;
pub mod scale;
pub mod scanner;
pub mod sim;
pub mod spool;
