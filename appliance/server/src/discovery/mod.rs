//! How boxes and tills find each other on the LAN.
//!
//! Discovery gives hints and nothing else: whoever answers must still prove who it is.
//! It must never decide that a box is gone; that is the address book's own liveness
//! (`storebox_proto::sync::book`), because mDNS notices a pulled plug after two minutes and believes a
//! forged goodbye at once.
//!
//! - `advertise`: a box announces itself ([`Announcer`]);
//! - `browse`: who announces itself ([`Browser`], [`discover`]);
//! - `seek`: the task that keeps the address book ([`Seeker`]), with `probe`, `tongue`, `resolve`, `unicast` and `memory`;
//! - `electing`: which box of a store is in charge, and who else says it is this one ([`Elector`]);
//! - `sweep`: every address of a network, on command ([`sweep()`]);
//! - `daemon`: what is common to both sides of the mDNS library.

mod advertise;
mod browse;
mod daemon;
mod electing;
mod memory;
mod probe;
mod resolve;
mod seek;
mod sweep;
mod tongue;
mod unicast;

pub use advertise::{AnnounceConfig, Announcer};
pub use browse::{BrowseConfig, Browser, Found, Sighting, discover};
pub use daemon::{DaemonError, Interfaces, Service, panic_is_contained};
pub use electing::{ElectConfig, Elector, Namesake, Told};
pub use seek::{SeekConfig, Seeker, SeekerHandle, View};
pub use sweep::sweep;
pub use tongue::Greeting;
