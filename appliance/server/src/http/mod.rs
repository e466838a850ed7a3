//! HTTP: routes are assembled here, handlers live in the files of their subject.

pub mod feeds;
pub mod identity;
pub mod problem;
