//! The machines that decide what is fetched, shown and sent; none of them does it.

pub mod absence;
pub mod book;
pub mod decide;
pub mod deferral;
pub mod election;
pub mod fetch;
pub mod ladder;
pub mod outbox;
pub mod pace;
