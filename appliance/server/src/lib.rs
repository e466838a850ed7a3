//! The box: everything that runs as `storebox.service`.

pub mod db;
pub mod env;
pub mod http;
pub mod journal;
pub mod uplink;
