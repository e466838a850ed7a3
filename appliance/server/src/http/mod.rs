//! HTTP: routes are assembled here, handlers live in the files of their subject.

pub mod identity;
pub mod outbox;
pub mod problem;
pub mod settle;
pub mod transactions;
