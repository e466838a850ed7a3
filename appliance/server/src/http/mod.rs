//! HTTP: routes are assembled here, handlers live in the files of their subject.

pub mod admin;
pub mod auth;
mod cursor;
mod etag;
pub mod events;
pub mod feeds;
mod guard;
pub mod health;
pub mod identity;
pub mod ledger;
pub mod masterdata;
pub mod openapi;
pub mod outbox;
pub mod page;
pub mod problem;
mod refusal;
pub mod server;
pub mod settle;
pub mod terminal;
pub mod traffic;
pub mod transactions;

#[cfg(test)]
mod tests;
