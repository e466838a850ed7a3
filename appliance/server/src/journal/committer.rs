//! The one thread that owns a journal: many callers, one flush.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::log::{CommitError, GROUP_BYTES_TARGET, Group, Journal, Location};

/// Commands that may wait for the thread; a caller beyond them waits too.
pub const QUEUE_MAX: usize = 1024;
/// Commands in one group: enough to share a flush among all tills of a large shop.
pub const GROUP_COMMANDS_MAX: usize = 256;

/// The state that a journal makes durable.
///
/// The thread calls [`Owner::take`] for each command of a group, writes the group, and calls [`Owner::done`].
/// Nobody is answered in between.
pub trait Owner: Send + 'static {
    /// What callers ask for; carries the way back.
    type Command: Send + 'static;

    /// Decides one command and adds what has to be on disk before its answer.
    fn take(&mut self, command: Self::Command, group: &mut Group);

    /// The group is on disk, each record at its location, or it is not; now answers go out.
    fn done(&mut self, written: Result<Vec<Location>, CommitError>, journal: &mut Journal);

    /// The small state at the start of a segment; called between groups only.
    fn checkpoint(&mut self) -> Vec<u8>;

    /// Adds what is alive in this segment once more, so that the segment can go; no more than fits into a group, as it
    /// is called again.
    fn rewrite(&mut self, segment: u64, group: &mut Group);

    /// A new segment was started.
    fn rolled(&mut self, _journal: &Journal) {}

    /// Whether the thread should end after this group.
    fn is_stopping(&self) -> bool {
        false
    }
}

/// Starts the thread; it ends when the last sender is gone or the owner says so.
pub fn start<O: Owner>(
    name: &str,
    mut owner: O,
    mut journal: Journal,
) -> io::Result<(mpsc::Sender<O::Command>, JoinHandle<()>)> {
    let (sender, mut queue) = mpsc::channel(QUEUE_MAX);
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        journal.refill();
        let mut room = 0;
        while let Some(command) = queue.blocking_recv() {
            if journal.begin(&mut || owner.checkpoint()) {
                owner.rolled(&journal);
            }
            room = run_group(&mut owner, &mut journal, command, &mut queue, room);
            tidy(&mut owner, &mut journal);
            if queue.is_empty() {
                journal.refill();
            }
            if owner.is_stopping() {
                return;
            }
        }
    })?;
    Ok((sender, thread))
}

/// Takes what is there and writes it; how many bytes it was, for the room of the next group.
fn run_group<O: Owner>(
    owner: &mut O,
    journal: &mut Journal,
    first: O::Command,
    queue: &mut mpsc::Receiver<O::Command>,
    room: usize,
) -> usize {
    let mut group = Group::with_room(room);
    owner.take(first, &mut group);
    for _ in 1..GROUP_COMMANDS_MAX {
        if group.bytes() >= GROUP_BYTES_TARGET {
            break;
        }
        match queue.try_recv() {
            Ok(command) => owner.take(command, &mut group),
            Err(_) => break,
        }
    }
    let bytes = group.bytes();
    let written = if group.is_empty() { Ok(Vec::new()) } else { journal.commit(group) };
    owner.done(written, journal);
    bytes
}

/// Gives space back: whole segments first, then one whose live records are written again, a group at a time.
fn tidy<O: Owner>(owner: &mut O, journal: &mut Journal) {
    journal.reclaim();
    let Some(segment) = journal.straggling() else { return };
    if journal.begin(&mut || owner.checkpoint()) {
        owner.rolled(journal);
    }
    let mut group = Group::new();
    let before = journal.alive_in(segment);
    owner.rewrite(segment, &mut group);
    if group.is_empty() {
        journal.leave_straggling(segment);
        return;
    }
    let written = journal.commit(group);
    if written.is_err() {
        journal.leave_straggling(segment);
    }
    owner.done(written, journal);
    journal.reclaim();
    if journal.straggling() == Some(segment) && journal.alive_in(segment) >= before {
        journal.leave_straggling(segment);
    }
}
