//! Accepting, sending up and settling together, on good days and bad ones.

mod following;
mod grades;
mod hop;
pub(crate) mod long_life;
mod mirror;
mod power_loss;
mod promises;
mod reindex;
mod relay;
mod routes;
pub(super) mod samples;
mod second_sink;
