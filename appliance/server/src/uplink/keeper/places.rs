//! Where the envelopes are: every held one has a place in the journal, and gives it up when it is released.

use std::collections::BTreeMap;

use bytes::Bytes;
use storebox_proto::sync::outbox::{Event, Record};

use super::Keeper;
use crate::journal::{Journal, Location, ReadError, Reader};

impl Keeper {
    /// Takes over what the journal's records added up to.
    pub(in crate::uplink) fn find(
        &mut self,
        locations: BTreeMap<u64, Location>,
        mut documents: BTreeMap<u64, String>,
        conflicts: BTreeMap<u64, Location>,
        journal: &mut Journal,
    ) {
        for (position, location) in locations {
            let Some(event) = self.outbox.carry(position) else { continue };
            journal.claim(&location);
            self.locations.insert(position, location);
            if let (Event::Held(slot), Some(id)) = (event, documents.remove(&position))
                && !slot.given_up
                && let Some((meta, _, _)) = self.outbox.entry(position)
            {
                self.documents.insert(meta, &slot, id, location);
            }
        }
        for (number, location) in conflicts {
            if self.outbox.carry_conflict(number).is_some() {
                journal.claim(&location);
                self.conflict_locations.insert(number, location);
            }
        }
        self.usage = journal.usage();
    }

    /// Where the envelope of a record is from now on.
    pub(super) fn place(
        &mut self,
        record: &Record,
        location: Location,
        journal: &mut Journal,
        document: Option<String>,
    ) {
        match &record.event {
            Event::Held(slot) => {
                self.move_to(slot.position, location, journal);
                if let (Some(id), Some(meta)) = (document, &record.meta) {
                    self.documents.insert(meta, slot, id, location);
                }
            }
            Event::Repaired { position, .. } => self.move_to(*position, location, journal),
            Event::Conflicted { number, .. } => {
                let old = self.conflict_locations.insert(*number, location);
                replace(old, location, journal);
            }
            Event::Dismissed { number, .. } => {
                if let Some(old) = self.conflict_locations.remove(number) {
                    journal.forget(&old);
                }
            }
            Event::GivenUp { position, forgets, .. } => {
                self.documents.remove(*position);
                if let Some(position) = forgets {
                    tracing::warn!(
                        position,
                        "given-up transaction is no longer kept: there are too many"
                    );
                }
            }
            Event::Settled { .. }
            | Event::Returned { .. }
            | Event::Quarantined { .. }
            | Event::Retried { .. }
            | Event::Delivered { .. }
            | Event::LeftBehind { .. } => {}
        }
    }

    pub(super) fn move_to(&mut self, position: u64, location: Location, journal: &mut Journal) {
        let old = self.locations.insert(position, location);
        replace(old, location, journal);
        self.documents.moved(position, location);
    }

    pub(super) fn let_go(&mut self, journal: &mut Journal) {
        while let Some(record) = self.outbox.overdue() {
            tracing::error!(event = ?record.event, "sink was left behind: it is too far back");
            self.outbox.apply(&record);
            self.unwritten.push(record);
        }
        for position in self.outbox.poll_released() {
            self.documents.remove(position);
            if let Some(location) = self.locations.remove(&position) {
                journal.forget(&location);
            }
        }
    }
}

/// The envelope at this location.
pub(in crate::uplink) fn read_envelope(reader: &Reader, location: &Location) -> Option<Bytes> {
    let body = match reader.read(location) {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(%error, "transaction cannot be read from the journal");
            return None;
        }
    };
    let envelope = Record::envelope(&body).ok()?;
    Some(body.slice_ref(envelope))
}

/// The envelope at this location, or nothing if it is damaged there; an error may pass.
pub(in crate::uplink) fn read_if_whole(
    reader: &Reader,
    location: Option<&Location>,
) -> Result<Option<Bytes>, ReadError> {
    let Some(location) = location else { return Ok(None) };
    match reader.read(location) {
        Ok(body) => Ok(Record::envelope(&body).ok().map(|envelope| body.slice_ref(envelope))),
        Err(error) if error.is_damage() => {
            tracing::warn!(%error, "transaction cannot be read from the journal");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn replace(old: Option<Location>, new: Location, journal: &mut Journal) {
    journal.claim(&new);
    if let Some(old) = old {
        journal.forget(&old);
    }
}
