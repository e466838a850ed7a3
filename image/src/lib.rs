//! A box's disk, from the layout to the last byte read back.
//!
//! The same crate runs in three places: where releases are built, on the laptop of the technician
//! who flashes a box, and on the box, which counts its starts and reads its provisioning file.
//! It talks to no network and decides nothing by a clock.
//!
//! In reading order: what a disk looks like, which slot starts, what a release is, how a disk is
//! put together, how it gets onto a real one, what the shop adds, and what the box does about itself.

pub mod guid;
pub mod layout;

pub mod gpt;

pub mod slot;

pub mod digest;

pub mod blockmap;
pub mod bundle;
pub mod manifest;
pub mod signature;

pub mod approval;

pub mod assemble;
pub mod build;
pub mod fat;

pub mod block;
pub mod flash;
pub mod medium;
pub mod verify;
pub mod words;

pub mod provision;

pub mod steward;

pub mod args;
pub mod commands;

#[cfg(test)]
mod testing;

/// Says why a test cannot run here; where everything should be there, that is a failure.
#[cfg(test)]
fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    eprintln!("skipped: {why}");
}
