//! The outbox after a start: what the journal's records add up to.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use storebox_proto::sync::outbox::{Event, Outbox, Record};

use super::documents::document_id_in;
use super::keeper::RECORD;
use crate::journal::record::CHECKPOINT;
use crate::journal::{Disk, Journal, Location, OpenError, Options, Replayed};

/// An outbox as it was when the journal was last written.
pub(super) struct Recovered {
    pub(super) machine: Outbox,
    /// Where each held envelope is.
    pub(super) locations: BTreeMap<u64, Location>,
    /// Under which id other tills find what each held envelope creates.
    pub(super) documents: BTreeMap<u64, String>,
    /// Where each contradicting envelope is.
    pub(super) conflicts: BTreeMap<u64, Location>,
    pub(super) journal: Journal,
    /// What was wrong; what is readable is there.
    pub(super) incidents: Vec<String>,
}

/// Opens the journal and applies its records to an empty machine.
pub(super) fn recover(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    machine: Outbox,
) -> Result<Recovered, OpenError> {
    let mut replay = Replay::new(machine);
    let opened = Journal::open(disk, dir, options, 0, &mut |record| replay.take(&record))?;
    let mut incidents = opened.told();
    let Replay { machine, locations, documents, conflicts, incidents: mut misread } = replay;
    incidents.append(&mut misread);
    let journal = opened.journal;
    Ok(Recovered { machine, locations, documents, conflicts, journal, incidents })
}

struct Replay {
    machine: Outbox,
    locations: BTreeMap<u64, Location>,
    documents: BTreeMap<u64, String>,
    conflicts: BTreeMap<u64, Location>,
    incidents: Vec<String>,
}

impl Replay {
    fn new(machine: Outbox) -> Self {
        let (locations, documents, conflicts) = Default::default();
        Self { machine, locations, documents, conflicts, incidents: Vec::new() }
    }

    fn take(&mut self, replayed: &Replayed<'_>) {
        let sequence = replayed.location.sequence;
        if replayed.kind == CHECKPOINT {
            if let Err(error) = self.machine.restore(replayed.body) {
                self.incidents.push(format!("outbox record {sequence}: {error}"));
            }
            return;
        }
        let record = match Record::decode(replayed.body) {
            Ok(record) if replayed.kind == RECORD => record,
            Ok(_) => return,
            Err(error) => {
                self.incidents.push(format!("outbox record {sequence}: {error}"));
                return;
            }
        };
        self.machine.apply(&record);
        match &record.event {
            Event::Held(slot) => {
                self.locations.insert(slot.position, replayed.location);
                let envelope = Record::envelope(replayed.body).unwrap_or_default();
                if let Some(id) = document_id_in(envelope) {
                    self.documents.insert(slot.position, id);
                }
            }
            Event::Repaired { position, .. } => {
                self.locations.insert(*position, replayed.location);
            }
            Event::Conflicted { number, .. } => {
                self.conflicts.insert(*number, replayed.location);
            }
            Event::Settled { .. }
            | Event::Returned { .. }
            | Event::Quarantined { .. }
            | Event::Retried { .. }
            | Event::GivenUp { .. }
            | Event::Delivered { .. }
            | Event::LeftBehind { .. }
            | Event::Dismissed { .. } => {}
        }
        for position in self.machine.poll_released() {
            self.locations.remove(&position);
            self.documents.remove(&position);
        }
    }
}
