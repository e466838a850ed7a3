//! What the journal's records add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use storebox_peripherals::spool::{Change, Spool};
use tokio::sync::watch;

use super::super::stored::{self, Entry, Job};
use super::{Held, Keeper};
use crate::journal::{Journal, Location, Replayed};

/// Collects the records of the journal.
#[derive(Default)]
pub(in super::super) struct Replay {
    jobs: BTreeMap<u64, (Job, Location)>,
    entries: BTreeMap<u64, (Entry, Location)>,
}

impl Replay {
    /// Takes the next record; what cannot be read is skipped, the journal's checksum vouches for the rest.
    pub(in super::super) fn take(&mut self, record: &Replayed<'_>) {
        match record.kind {
            stored::JOB => {
                if let Some((job, _)) = stored::parse(record.body) {
                    self.jobs.insert(job.record.number, (job, record.location));
                }
            }
            stored::CHANGE => {
                let change = stored::parse(record.body).map(|(job, _)| job);
                if let Some(change) = change
                    && let Some((job, _)) = self.jobs.get_mut(&change.record.number)
                {
                    *job = change;
                }
            }
            stored::FORGET => {
                if let Ok(number) = record.body.try_into().map(u64::from_le_bytes) {
                    self.jobs.remove(&number);
                }
            }
            stored::ENTRY => {
                if let Ok(entry) = serde_json::from_slice::<Entry>(record.body) {
                    self.entries.insert(entry.number, (entry, record.location));
                }
            }
            _ => {}
        }
    }
}

impl Keeper {
    /// A keeper of what the journal holds, and the printers that a job was under way to.
    pub(in super::super) fn restore(
        replay: Replay,
        journal: &mut Journal,
        news: Arc<AtomicU64>,
    ) -> (Self, BTreeSet<String>) {
        let records = replay.jobs.values().map(|(job, _)| job.record.clone());
        let (spool, changes) = Spool::restore(records);
        let mut held = Held::default();
        for (number, (mut job, location)) in replay.jobs {
            // What was in memory alone is gone.
            job.bytes = if job.secret { 0 } else { job.bytes };
            held.put(job);
            held.place(number, location, journal);
        }
        for (number, (entry, location)) in replay.entries {
            held.put_entry(entry);
            held.place_entry(number, location, journal);
        }
        let reader = journal.reader();
        let (pending, unwritten, later) = (Vec::new(), Vec::new(), Vec::new());
        let turn = watch::Sender::new(0);
        let mut keeper = Self {
            spool,
            held,
            reader,
            news,
            turn,
            pending,
            unwritten,
            later,
            changes: false,
            is_stopping: false,
        };
        let mut interrupted = BTreeSet::new();
        for change in changes {
            match change {
                Change::Write(record) => {
                    tracing::warn!(
                        job = record.key.as_str(),
                        device = record.printer,
                        "nobody knows whether this job was printed"
                    );
                    keeper.refresh(record.number);
                    keeper.unwritten.push(record.number);
                    interrupted.insert(record.printer);
                }
                Change::Forget { number } => keeper.held.forget(number),
            }
        }
        keeper.take_back_secrets();
        keeper.held.let_go(journal);
        (keeper, interrupted)
    }

    /// A slip that still waited went with the memory: its job is taken back, and a person asks for another.
    fn take_back_secrets(&mut self) {
        for number in self.held.without_their_secret() {
            if let Ok(record) = self.spool.cancel(number) {
                let (job, device) = (record.key.as_str(), &record.printer);
                tracing::warn!(job, device, "a slip was not printed before the restart; ask again");
                self.refresh(number);
                self.unwritten.push(number);
            }
        }
    }
}
