//! Records that a target refused: they wait for a person.

use serde::{Deserialize, Serialize};

use super::{DEAD, Happened, RECORD, Record, Store, key, read, write};
use crate::db::DiskError;

#[derive(Serialize, Deserialize)]
struct Dead {
    record: Record,
    error: String,
}

impl Store {
    /// The target refuses this one: it waits for a person.
    pub(in crate::channel::push) fn bury(
        &self,
        push: &str,
        record: &Record,
        error: &str,
    ) -> Result<(), DiskError> {
        let _turn = self.turn();
        self.take(push, record)?;
        let mut record = record.clone();
        if self.dead_count(push) >= self.bounds.dead {
            self.clear_dead(push)?;
            (record.id, record.event) = (String::new(), Happened::Reset);
        }
        let dead = Dead { record, error: error.to_owned() };
        let name = key(push, dead.record.id.as_bytes());
        if self.keyed.get(DEAD, &name)?.is_none() {
            *self.known().dead.entry(push.to_owned()).or_default() += 1;
        }
        self.keyed.put(DEAD, &name, &write(&dead))?;
        self.keyed.commit()
    }

    /// The dead records.
    pub(in crate::channel::push) fn dead(
        &self,
        push: &str,
        count_max: usize,
    ) -> Result<Vec<(Record, String)>, DiskError> {
        let mut found = Vec::new();
        self.keyed.scan(DEAD, &key(push, &[]), None, &mut |_, value| {
            found.extend(read::<Dead>(value).map(|dead| (dead.record, dead.error)));
            found.len() < count_max
        })?;
        Ok(found)
    }

    /// The dead records wait again; how many there were.
    pub(in crate::channel::push) fn revive(&self, push: &str) -> Result<usize, DiskError> {
        let _turn = self.turn();
        let dead = self.dead(push, usize::MAX)?;
        for (record, _) in &dead {
            if record.event == Happened::Reset {
                self.reset_in_turn(push, record.at)?;
            } else if self.keyed.get(RECORD, &key(push, record.id.as_bytes()))?.is_none() {
                self.note_in_turn(push, &record.id, record.event, record.at)?;
            }
        }
        self.clear_dead(push)?;
        self.keyed.commit()?;
        Ok(dead.len())
    }

    /// The dead records are no more; how many there were.
    pub(in crate::channel::push) fn give_up(&self, push: &str) -> Result<usize, DiskError> {
        let _turn = self.turn();
        let count = self.clear_dead(push)?;
        self.keyed.commit()?;
        Ok(count)
    }

    /// How many dead records there are.
    pub(in crate::channel::push) fn dead_count(&self, push: &str) -> u64 {
        self.known().dead.get(push).copied().unwrap_or(0)
    }

    /// What was refused before of the same thing is out of date once something newer was taken.
    pub(super) fn bygones(&self, push: &str, taken: &Record) -> Result<(), DiskError> {
        if self.dead_count(push) == 0 {
            return Ok(());
        }
        if taken.event == Happened::Reset {
            return self.clear_dead(push).map(drop);
        }
        let name = key(push, taken.id.as_bytes());
        if self.keyed.get(DEAD, &name)?.is_some() {
            self.keyed.remove(DEAD, &name)?;
            if let Some(count) = self.known().dead.get_mut(push) {
                *count = count.saturating_sub(1);
            }
        }
        Ok(())
    }

    fn clear_dead(&self, push: &str) -> Result<usize, DiskError> {
        let dead = self.dead(push, usize::MAX)?;
        for (record, _) in &dead {
            self.keyed.remove(DEAD, &key(push, record.id.as_bytes()))?;
        }
        self.known().dead.remove(push);
        Ok(dead.len())
    }
}
