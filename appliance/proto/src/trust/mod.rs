//! Who belongs to a site, and how a newcomer becomes one of them.
//!
//! A site is known by its certificate authority; a member (box, terminal, peer) by a certificate whose only identity is
//! a DNS name below the site's own ([`Member`]), so that the name constraints of the authority bind it to its site.
//! A newcomer enrols by a slip (128 bits, scanned), by a code of eight digits (typed, [`cpace`]) or by a request that a
//! person approves after comparing a number; all three are bound to the TLS channel on which they happen, so that
//! whoever stands in between is left with nothing.
//! What was struck off travels as a signed list ([`strike`]).
//!
//! Nothing here reads a clock, a certificate or a socket: [`Porter`] is the box's side of enrolment and [`joiner`] the
//! newcomer's, both plain machines that a test can run against an attacker.

pub mod cpace;
pub mod joiner;
pub mod key;
pub mod name;
pub mod porter;
pub mod proof;
pub mod secret;
pub mod slip;
pub mod strike;
pub mod words;

#[cfg(test)]
mod tests;

pub use key::{Fingerprint, MemberKey};
pub use name::{Kind, Member, MemberName};
pub use porter::{Approved, Event, Porter, Refused, Wish};
pub use secret::Secret;
pub use slip::Slip;
