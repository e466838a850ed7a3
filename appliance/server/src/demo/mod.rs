//! The main job shown live: a shop sells through an outage, on real data.
//!
//! The parts are public because the tests of real processes use the same stage, tills and comparison.

pub mod counter;
pub mod dataset;
pub mod device;
mod error;
pub mod ledger;
pub mod line;
pub mod options;
pub mod process;
mod report;
mod run;
mod show;
pub mod stage;
pub mod state;
mod story;
pub mod till;
pub mod verdict;

pub use error::Error;
pub use options::Options;
pub use run::run;
pub use show::say;
