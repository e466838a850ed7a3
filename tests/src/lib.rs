//! What the tests share.

pub mod shop;
pub mod wait;
