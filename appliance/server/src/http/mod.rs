//! HTTP: routes are assembled here, handlers live in the files of their subject.

pub mod admin;
pub mod adopt;
pub mod auth;
pub mod channels;
pub mod chronicle;
mod cursor;
pub mod devices;
pub mod displays;
pub mod drawers;
pub mod enrol;
pub mod enrolment;
mod etag;
pub mod events;
pub mod feeds;
pub mod fleet;
pub mod gate;
mod guard;
pub mod health;
pub mod hooks;
pub mod identity;
pub mod jobs;
pub mod ledger;
pub mod live;
pub mod log;
pub mod masterdata;
pub mod mirror;
pub mod openapi;
pub mod outbox;
pub mod page;
pub mod printers;
pub mod problem;
pub mod pushes;
mod refusal;
pub mod relay;
pub mod requests;
pub mod scales;
pub mod scanners;
pub mod server;
pub mod settle;
pub mod shown;
pub mod terminal;
pub mod traffic;
pub mod transactions;
pub mod whoami;

#[cfg(test)]
mod tests;
