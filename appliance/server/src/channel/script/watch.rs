//! Watches a run from the inside: how long it takes, and what the box holds in memory meanwhile.
//!
//! The language bounds each value, not their sum, and the names of fields not at all.
//! So a run that takes longer than a moment is held against what matters in the end: the resident memory of the box.
//! It is read once a millisecond, and one step of a script cannot make more of it than a single value may be.
//! Runs that follow each other are held against what the first of them found, because memory that a run gave back may
//! stay with the process.
//! Another part of the box that grows as much in the same seconds stops the script too; that errs on the safe side.

use std::cell::Cell;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rhai::Dynamic;

use super::{CLOCK_EVERY, MEMORY_BYTES_MAX};
use crate::env;

/// How often memory is looked at; a run that ends before is never looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// For so long, runs are held against what the first of them found.
const TOGETHER: Duration = Duration::from_secs(10);

/// Why a run was ended, as the language hands it back.
pub(super) const TIME: &str = "time";
/// Likewise.
pub(super) const MEMORY: &str = "memory";

/// The run on this thread.
#[derive(Debug, Clone, Copy)]
struct Run {
    ends: Instant,
    look_at: Instant,
    /// What the box held when it was looked at first.
    held: Option<u64>,
}

/// What the box held when it was looked at first, and when that was.
static HELD: Mutex<Option<(u64, Instant)>> = Mutex::new(None);

thread_local! {
    static RUN: Cell<Option<Run>> = const { Cell::new(None) };
}

/// A run begins on this thread.
pub(super) fn begin(time_max: Duration) {
    let now = env::instant();
    RUN.set(Some(Run { ends: now + time_max, look_at: now + LOOK_EVERY, held: None }));
}

/// The run on this thread is over.
pub(super) fn end() {
    RUN.set(None);
}

/// Called for each step: why the run must end, if it must.
pub(super) fn step(operations: u64) -> Option<Dynamic> {
    if !operations.is_multiple_of(CLOCK_EVERY) {
        return None;
    }
    let mut run = RUN.get()?;
    let now = env::instant();
    if now < run.look_at {
        return None;
    }
    if now > run.ends {
        return Some(Dynamic::from(TIME));
    }
    let holds = resident_bytes()?;
    let held = *run.held.get_or_insert_with(|| held_before(holds, now));
    run.look_at = now + LOOK_EVERY;
    RUN.set(Some(run));
    (holds.saturating_sub(held) > MEMORY_BYTES_MAX).then(|| Dynamic::from(MEMORY))
}

/// What the box held when the first of the runs of these seconds was looked at.
fn held_before(holds: u64, now: Instant) -> u64 {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    match *held {
        Some((before, at)) if now.saturating_duration_since(at) < TOGETHER => before.min(holds),
        Some(_) | None => {
            *held = Some((holds, now));
            holds
        }
    }
}

/// What this process holds in memory; nothing where the system does not say.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_box_holds_is_known() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
