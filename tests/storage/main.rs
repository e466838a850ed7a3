//! Feeds on storage: published to real servers of others and read from them, and sources that mean no good.

mod chain;
mod hostile;
mod reading;
mod sealed;
mod secure;
mod servers;
