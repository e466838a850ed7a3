//! What waits, in memory: which hook, in which state, and for how many of each there is room.
//!
//! Half of the room is everybody's, the other half is shared out among the hooks that are defined: one whose target
//! is dead takes what is everybody's and its own share, and every other one still has its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use storebox_proto::ids::TxKey;
use storebox_proto::time::Timestamp;

/// What waits at most: a week of a shop that sells 7,000 times a day.
pub(super) const WAITING_MAX: usize = 50_000;
/// Hooks that run at the same time, each of another definition.
const AT_ONCE: usize = 16;
/// The longest pause before it is looked again.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The commit is under way.
    Open,
    /// The commit is over; whether the transaction is there is to be proven.
    Committed,
    /// The transaction is there: to be run from then on.
    Due { at: Instant },
    /// Waits for a person.
    Dead,
}

pub(super) struct Slot {
    pub(super) key: TxKey,
    pub(super) hook: String,
    pub(super) at: Timestamp,
    pub(super) state: State,
}

/// No room for one more of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{of_hook} of this hook and {all} of all hooks wait already")]
pub(super) struct Full {
    of_hook: usize,
    all: usize,
}

/// Everything that waits, by its id.
pub(super) struct Slots {
    by_id: BTreeMap<String, Slot>,
    /// How many wait, by hook.
    counts: BTreeMap<String, usize>,
    waiting_max: usize,
}

impl Slots {
    /// What waited at the start stays, however much it is.
    pub(super) fn new(
        waiting: impl IntoIterator<Item = (String, Slot)>,
        waiting_max: usize,
    ) -> Self {
        let mut slots = Self { by_id: BTreeMap::new(), counts: BTreeMap::new(), waiting_max };
        waiting.into_iter().for_each(|(id, slot)| slots.put(id, slot));
        slots
    }

    /// Takes one more, where so many hooks are defined.
    pub(super) fn admit(&mut self, id: String, slot: Slot, hooks: usize) -> Result<(), Full> {
        let own = |count: usize| count.saturating_sub(self.share(hooks));
        let of_hook = self.counts.get(&slot.hook).copied().unwrap_or(0);
        let common: usize = self.counts.values().copied().map(own).sum();
        let all = self.by_id.len();
        let has_room = of_hook < self.share(hooks) || common < self.waiting_max.div_ceil(2);
        if !self.by_id.contains_key(&id) && (!has_room || all >= self.waiting_max) {
            return Err(Full { of_hook, all });
        }
        self.put(id, slot);
        Ok(())
    }

    /// What is one hook's alone.
    fn share(&self, hooks: usize) -> usize {
        self.waiting_max / 2 / hooks.max(1)
    }

    fn put(&mut self, id: String, slot: Slot) {
        self.remove(&id);
        *self.counts.entry(slot.hook.clone()).or_default() += 1;
        self.by_id.insert(id, slot);
    }

    pub(super) fn remove(&mut self, id: &str) {
        let Some(slot) = self.by_id.remove(id) else { return };
        let count = self.counts.get_mut(&slot.hook).map(|count| {
            *count -= 1;
            *count
        });
        if count == Some(0) {
            self.counts.remove(&slot.hook);
        }
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        self.by_id.keys()
    }

    /// Those that wait, and those of them that wait for a person.
    pub(super) fn count(&self) -> (usize, usize) {
        let dead = self.by_id.values().filter(|slot| slot.state == State::Dead).count();
        (self.by_id.len(), dead)
    }

    /// When the oldest of them was written down.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.by_id.values().map(|slot| slot.at).min()
    }

    pub(super) fn set(&mut self, id: &str, state: State) {
        if let Some(slot) = self.by_id.get_mut(id) {
            slot.state = state;
        }
    }

    /// A person wants it to run now, whatever it waited for.
    pub(super) fn hasten(&mut self, id: &str, now: Instant) {
        let is_over = |slot: &&mut Slot| matches!(slot.state, State::Due { .. } | State::Dead);
        if let Some(slot) = self.by_id.get_mut(id).filter(is_over) {
            slot.state = State::Due { at: now };
        }
    }

    /// The commit is over of all whose ids begin so; whether there are any.
    pub(super) fn committed(&mut self, beginning: &str) -> bool {
        let own = self
            .by_id
            .range_mut(beginning.to_owned()..)
            .take_while(|(id, _)| id.starts_with(beginning))
            .filter(|(_, slot)| slot.state == State::Open);
        let mut is_any = false;
        for (_, slot) in own {
            slot.state = State::Committed;
            is_any = true;
        }
        is_any
    }

    /// What else waits for a hook that is away rests with it.
    pub(super) fn rest(&mut self, hook: &str, until: Instant) {
        for slot in self.by_id.values_mut().filter(|slot| slot.hook == hook) {
            if let State::Due { at } = &mut slot.state {
                *at = (*at).max(until);
            }
        }
    }

    /// What is committed and not proven.
    pub(super) fn unproven(&self) -> Vec<(String, TxKey)> {
        let unproven = self.by_id.iter().filter(|(_, slot)| slot.state == State::Committed);
        unproven.map(|(id, slot)| (id.clone(), slot.key)).collect()
    }

    /// The oldest that is due of each of a few hooks that are not busy.
    pub(super) fn due(
        &self,
        now: Instant,
        busy: &BTreeSet<String>,
    ) -> Vec<(String, TxKey, String)> {
        let (mut found, mut hooks) = (Vec::new(), BTreeSet::new());
        for (id, slot) in &self.by_id {
            if busy.len() + found.len() >= AT_ONCE {
                break;
            }
            if let State::Due { at } = slot.state
                && at <= now
                && !busy.contains(&slot.hook)
                && hooks.insert(&slot.hook)
            {
                found.push((id.clone(), slot.key, slot.hook.clone()));
            }
        }
        found
    }

    /// How long nothing becomes due of a hook that is not busy.
    pub(super) fn pause(&self, now: Instant, busy: &BTreeSet<String>) -> Duration {
        if busy.len() >= AT_ONCE {
            return PAUSE_MAX;
        }
        let due = self.by_id.values().filter_map(|slot| match slot.state {
            State::Due { at } if !busy.contains(&slot.hook) => Some(at),
            State::Due { .. } | State::Open | State::Committed | State::Dead => None,
        });
        let next = due.min().map(|at| at.saturating_duration_since(now));
        next.map_or(PAUSE_MAX, |pause| pause.min(PAUSE_MAX))
    }

    #[cfg(test)]
    pub(super) fn any(&self, holds: impl FnMut(&Slot) -> bool) -> bool {
        self.by_id.values().any(holds)
    }
}
