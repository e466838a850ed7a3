//! Head office looks at a box, while somebody at the store lets it.
//!
//! The box calls (`desk`), over its own line to head office and with its own identity; head office waits for calls
//! (`hall`) and never connects to a shop.
//! What is shown is what the box's operator would read at one of a few paths; all else is refused at the box.

mod audit;
mod desk;
mod hall;

pub use audit::FILE;
pub use desk::{Desk, Ground, OpenError};
pub use hall::{Hall, LookError};
