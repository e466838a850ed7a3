//! The box: everything that runs as `storebox.service`.

pub mod env;
pub mod http;

pub mod demo;
