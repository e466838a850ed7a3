//! Accepting, sending up and settling together, on good days and bad ones.

mod hop;
mod power_loss;
mod routes;
mod samples;
