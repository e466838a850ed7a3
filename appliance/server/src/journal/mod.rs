//! Append-only log with group commit: what money stands on.
//!
//! One owner thread writes; everybody else has a handle with a queue.
//! What waits in the queue goes to disk in one write and one `fdatasync`, and only then is anybody answered.
//!
//! Invariants:
//! - A record that was answered for is read back after any power cut, or its loss is reported by name.
//! - A record that nobody wrote is never read back: checksum, nonce of the segment and a sequence without
//!   gaps have to agree.
//! - Opening succeeds with a damaged segment and on a full disk.
//! - After a failed `fdatasync` nothing is written any more: the kernel may have dropped what it could not
//!   write, so only a new start can tell what is there.
//! - A full disk is an answer, not an end: what was half written is cut off and the journal stays usable.
//!   Two reserves are kept: a spare segment for further records, and a small file that is given up for
//!   records which set space free.
//! - Segments go oldest first, so that a record which ends the life of another one outlives it.
//!
//! Rejected: sled and other key-value stores for accepted transactions (they lost acknowledged writes in power
//! cuts, or refuse to delete on a full disk), and memory mapping (a full disk would be a signal).

pub mod committer;
pub mod disk;
pub mod log;
pub mod mailbox;
pub mod reader;
pub mod record;
pub mod segment;
pub mod trail;

mod recovery;
mod shelf;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

pub use committer::{Owner, start};
pub use disk::{Disk, DiskFile, RealDisk};
pub use log::{CommitError, GROUP_BYTES_TARGET, Group, Journal, Location, Options, Usage};
pub use mailbox::{Look, ask, look};
pub use reader::{ReadError, Reader};
pub use recovery::{Incident, OpenError, Opened, Replayed};
pub use trail::{Spot, Step};
