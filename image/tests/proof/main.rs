//! The program as a technician runs it, on files and on loop devices.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod depot;

mod bus;
mod damage;
mod files;
mod loops;
mod rauc;
mod sealed;
mod slots;
mod tables;
mod units;
mod yocto;
