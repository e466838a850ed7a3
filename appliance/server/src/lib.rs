//! The box: everything that runs as `storebox.service`.

pub mod args;
pub mod cli;
pub mod config;
pub mod demo;
pub mod db;
pub mod env;
pub mod files;
pub mod http;
pub mod key;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod notify;
pub mod role;
pub mod signal;
pub mod status;
pub mod supervise;
pub mod terminal;
pub mod journal;
pub mod replica;
