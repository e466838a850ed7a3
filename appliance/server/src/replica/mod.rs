//! How masterdata moves: imports become revisions at head office, revisions become generations in the shop.
//!
//! `import` checks, `author` publishes, `source` fetches, `refresher` brings a replica up to date, `scrub` looks for
//! damage, `history` remembers, `feed_changes` tells tills what changed.

pub mod author;
pub mod board;
pub mod history;
pub mod import;
pub mod source;
pub mod sweep;
