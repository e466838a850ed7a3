//! Measurements of the machine that this runs on; no test depends on them.
//!
//! Each part runs in a process of its own, so that memory is that part's and no cache is warm by accident.

mod accepts;
mod catalogue;
mod channels;
mod devices;
mod error;
mod floor;
mod hooks;
mod load;
mod lookups;
mod machine;
mod options;
mod replica;
mod run;
mod table;

pub use error::Error;
pub use options::Options;
pub use run::run;
