//! The sealed transport, version 1: what travels through caches, proxies and storage that may not read it.
//!
//! The specification, byte by byte, is `SEALED.md` beside this crate; the vectors are in `tests/vectors/sealed/v1`.
//!
//! - A **site key** belongs to a site and a scope: those who may share answers. It becomes a [`Ring`]: a chain of
//!   epoch keys, one a day, each made from the one before, so that a stolen box does not open last month's traffic.
//! - A **read** seals to the same URL for everybody who has the ring, so that a cache can answer it ([`read`]).
//! - An **answer** is bound to the request that it answers and carries its age and its revision inside ([`answer`]).
//! - A **write** is different each time and is taken once ([`write`], [`window`]).
//! - What **storage** keeps is sealed for the life of a generation, under an opaque name ([`store`]).
//!
//! A sealed read is no proof of who reads: it may only ask for what everybody in the scope may see.
//! Which paths these are is the box's table of doors, not decided here.

pub mod answer;
mod derive;
mod error;
mod frame;
mod keyring;
pub mod read;
mod ring;
pub mod store;
pub mod window;
pub mod write;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use derive::Secret;
pub use error::SealError;
pub use keyring::{Keyring, Moment};
pub use ring::{EPOCH, KeyId, Keys, Ring, RingState, Scope, SiteKey};

/// The first part of every sealed URL.
pub const PATH_PREFIX: &str = "/x/";
/// A nonce of XChaCha20-Poly1305.
pub const NONCE_BYTES: usize = 24;
/// A nonce; the caller's random generator makes it.
pub type Nonce = [u8; NONCE_BYTES];
