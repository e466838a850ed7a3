//! Programs of others read what this crate writes, and write what it reads.
//!
//! `peripherals/tests/setup` installs them; each test starts what it needs and ends it.
//! A test whose peer is missing says so and passes, but not with `CI=true`.

mod client;
mod codes;
mod emupos;
mod labels;
mod layouts;
mod process;
mod receipts;
mod star;
