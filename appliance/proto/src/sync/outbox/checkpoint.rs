//! The small state at the start of each journal segment: what must outlive the records that made it.

use serde::{Deserialize, Serialize};

use super::record::By;
use super::sequences::Sequences;
use super::sink::Progress;
use super::{Audit, Outbox};
use crate::ids::TerminalId;

/// The small state; entries and conflicts have records of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    next: u64,
    next_conflict: u64,
    #[serde(default)]
    given_up_total: u64,
    terminals: Vec<Known>,
    sinks: Vec<Progress>,
    audit: Vec<Audit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    terminal: TerminalId,
    epoch: u32,
    seen: Sequences,
}

/// The bytes are not a checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("checkpoint is not understood")]
pub struct RestoreError(#[from] serde_json::Error);

impl Outbox {
    /// The small state as bytes.
    pub fn checkpoint(&self) -> Vec<u8> {
        let terminals = self.terminals.iter().flat_map(|(terminal, epochs)| {
            epochs.iter().map(|(epoch, known)| Known {
                terminal: terminal.clone(),
                epoch: *epoch,
                seen: known.seen.clone(),
            })
        });
        let checkpoint = Checkpoint {
            next: self.next,
            next_conflict: self.next_conflict,
            given_up_total: self.given_up_total,
            terminals: terminals.collect(),
            sinks: self.sinks.iter().filter_map(|sink| sink.progress()).collect(),
            audit: self.audit.iter().cloned().collect(),
        };
        serde_json::to_vec(&checkpoint).expect("a checkpoint is plain data with string keys")
    }

    /// Takes the small state over; what it says is newer than all records applied so far.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let checkpoint: Checkpoint = serde_json::from_slice(bytes)?;
        self.next = self.next.max(checkpoint.next);
        self.next_conflict = self.next_conflict.max(checkpoint.next_conflict);
        self.given_up_total = checkpoint.given_up_total;
        for Known { terminal, epoch, seen } in checkpoint.terminals {
            let epochs = self.terminals.entry(terminal).or_default();
            epochs.entry(epoch).or_default().seen = seen;
        }
        for progress in &checkpoint.sinks {
            if let Some(sink) = self.sinks.iter_mut().find(|sink| sink.id == progress.sink) {
                sink.restore(progress);
            }
        }
        self.audit = checkpoint.audit.into();
        let positions = if self.settled > 0 { self.positions().collect() } else { Vec::new() };
        positions.into_iter().for_each(|position| self.release_if_done(position));
        Ok(())
    }
}

impl By {
    /// Who did it, and when.
    pub fn new(who: impl Into<String>, at: crate::time::Timestamp) -> Self {
        Self { who: who.into(), at, reason: String::new() }
    }
}
