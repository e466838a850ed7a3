//! The box: everything that runs as `storebox.service`.

pub mod args;
pub mod bench;
pub mod cli;
pub mod config;
pub mod db;
pub mod demo;
pub mod devices;
pub mod discovery;
pub mod env;
pub mod files;
pub mod http;
pub mod journal;
pub mod key;
pub mod logging;
pub mod masterdata;
pub mod metrics;
pub mod node;
pub mod notify;
pub mod replica;
pub mod role;
pub mod signal;
pub mod status;
pub mod supervise;
pub mod terminal;
pub mod trust;
pub mod uplink;
