//! The machines that decide what is fetched, shown and sent; none of them does it.

pub mod book;
