//! The box: everything that runs as `storebox.service`.

pub mod discovery;
pub mod env;
pub mod http;
