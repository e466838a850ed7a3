//! Drills: the line to head office is cut on purpose, to see that the shop sells without it.
//!
//! The line is cut inside the box, at the valve that every client of another place has, and never by a firewall: what
//! cuts it can always mend it, and a restart is enough.
//! Every drill is written down before the line is cut, with who wanted it, and again when it is over.

mod desk;
mod diary;

pub use desk::{DrillError, Drills};
pub use diary::FILE;
