//! How masterdata moves: imports become revisions at head office, revisions become generations in the shop.
//!
//! `import` checks and `author` publishes; `source` fetches and `sources` knows where from, `storage` is one of them and `publisher`
//! writes it, `refresher` brings replicas
//! up to date, `scrub` looks for damage, `sweep` takes away what nobody needs; `board` says what is on offer, `readers` what is in service,
//! `till_changes` what changed since; `history` and `status` are for people.

pub mod author;
pub mod board;
mod definitions;
pub mod history;
pub mod import;
pub mod office;
pub mod publisher;
pub mod readers;
pub mod refresher;
pub mod reporter;
pub mod scrub;
pub mod source;
pub mod sources;
pub mod status;
pub mod storage;
pub mod sweep;
pub mod till_changes;
pub mod wording;
