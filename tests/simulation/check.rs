//! The invariants, looked at after every step.

use storebox_proto::ids::TxKey;

use crate::author::digests;
use crate::world::World;

impl World {
    /// After every step: what a till was told to be held is on a disk, somewhere.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        self.check_mirrors()?;
        for (number, store) in self.stores.iter_mut().enumerate() {
            if !store.sales.take_changed() {
                continue;
            }
            // What burned is with its mirror until it is back.
            let safe = |key: &&TxKey| {
                store.sales.holds(key) || self.ledger.holds(key) || store.mirrored.contains(key)
            };
            if let Some(lost) = store.confirmed.iter().find(|key| !safe(key)) {
                return Err(format!("store {number} confirmed {lost} and has lost it"));
            }
            if let Some(false_claim) = store.sales.settled().find(|key| !self.ledger.holds(key)) {
                return Err(format!("store {number} takes {false_claim} for settled, it is not"));
            }
        }
        Ok(())
    }

    /// A generation that came into service has the author's digests at its position.
    pub(crate) fn check_flip(&mut self, number: usize, flipped: bool) -> Result<(), String> {
        if !flipped {
            return Ok(());
        }
        let store = &mut self.stores[number];
        let generation = store.disk.generation.as_ref().expect("it has just come into service");
        let position = generation.position;
        if store.highest.is_some_and(|highest| highest > position) {
            return Err(format!("store {number} went back to {position}"));
        }
        store.highest = Some(position);
        if self.author.digests_at(position) != Some(&digests(&generation.models)) {
            return Err(format!("store {number} at {position} differs from the author"));
        }
        self.note(format_args!("store {number} is at {position}"));
        Ok(())
    }

    /// Whether everything has arrived everywhere.
    pub(crate) fn is_settled(&self) -> bool {
        let settled = |store: &crate::store::Store| {
            let position = store.disk.generation.as_ref().map(|generation| generation.position);
            store.is_done() && position == Some(self.author.position())
        };
        self.stores.iter().all(settled)
    }

    /// What has not arrived, for the message.
    pub(crate) fn unsettled(&self) -> String {
        let state = |store: &crate::store::Store| {
            let position = store.disk.generation.as_ref().map(|generation| generation.position);
            format!("at {position:?}, {}", store.sales.summary())
        };
        self.stores.iter().map(state).collect::<Vec<_>>().join("; ")
    }

    /// At the end: every confirmed transaction is settled once, every replica equals the author.
    pub(crate) fn check_end(&self) -> Result<(), String> {
        for (number, store) in self.stores.iter().enumerate() {
            if let Some(lost) = store.confirmed.iter().find(|key| !self.ledger.holds(key)) {
                return Err(format!("{lost} was confirmed by store {number} and never settled"));
            }
            let told = |key: &&TxKey| store.sales.archived(key) || store.burnt.contains(*key);
            if let Some(missing) = store.confirmed.iter().find(|key| !told(key)) {
                return Err(format!("{missing} never reached the second sink of store {number}"));
            }
            let generation = store.disk.generation.as_ref().expect("it is settled");
            if self.author.digests_at(generation.position) != Some(&digests(&generation.models)) {
                return Err(format!("store {number} differs from the author at the end"));
            }
        }
        let confirmed: usize = self.stores.iter().map(|store| store.confirmed.len()).sum();
        if confirmed != self.ledger.entries.len() {
            let entries = self.ledger.entries.len();
            return Err(format!("{confirmed} were confirmed, the ledger holds {entries}"));
        }
        Ok(())
    }
}
