//! HTTP: routes are assembled here, handlers live in the files of their subject.

pub mod admin;
pub mod auth;
mod guard;
pub mod health;
pub mod identity;
pub mod openapi;
pub mod page;
pub mod problem;
mod refusal;
pub mod server;
pub mod traffic;
