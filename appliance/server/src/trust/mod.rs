//! Who belongs to the site: keys, certificates, TLS, and the box's side of enrolment.
//!
//! The rules of enrolment are in `storebox_proto::trust`; here they get a disk, certificates and a network.
//!
//! - A certificate is believed only after [`judge`] has walked its chain to head office and looked at the list of
//!   what was struck off; TLS itself accepts any certificate, so that the refusal can say what is wrong.
//! - Head office keeps the keys of root and site; a box holds its own key and that of its door, which certifies
//!   terminals and peers of its own site and nothing else. The theft of a box is mended by striking off two keys.
//! - Secret keys are files of mode 0600 and are not kept in memory longer than the signer needs them.

pub mod audit;
pub mod authorities;
mod bridge;
pub mod call;
pub mod client;
pub mod customer;
pub mod house;
pub mod join;
pub mod judge;
mod keepalive;
pub mod line;
pub mod mint;
pub mod office;
pub mod paper;
pub mod places;
pub mod porch;
pub mod proxy;
mod signatures;
pub mod strikes;
pub mod tls;

#[cfg(test)]
mod tests;
