//! Which numbers of a terminal have arrived, and which are missing in between.

use serde::{Deserialize, Serialize};

use super::{Epoch, Outbox, record::Meta};
use crate::ids::TerminalId;
use crate::limits;

/// Numbers from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// What has arrived of one terminal in one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The terminal.
    pub terminal: TerminalId,
    /// Its epoch.
    pub epoch: u32,
    /// What has arrived, ascending and apart from each other.
    pub have: Vec<Range>,
    /// What is missing in between: the terminal has to send it (again).
    pub want: Vec<Range>,
}

/// Numbers as ascending ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sequences(Vec<Range>);

impl Sequences {
    /// Whether the number was new.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let at = self.0.partition_point(|range| range.to < number);
        if self.0.get(at).is_some_and(|range| range.from <= number) {
            return false;
        }
        let joins_before = at > 0 && self.0[at - 1].to + 1 == number;
        let joins_after = self.0.get(at).is_some_and(|range| range.from - 1 == number);
        match (joins_before, joins_after) {
            (true, true) => {
                self.0[at - 1].to = self.0[at].to;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].to = number,
            (false, true) => self.0[at].from = number,
            (false, false) => self.0.insert(at, Range { from: number, to: number }),
        }
        if self.0.len() > limits::SEQUENCE_RANGES_MAX {
            self.0[1].from = self.0[0].from;
            self.0.remove(0);
        }
        true
    }

    pub(super) fn remove(&mut self, number: u64) {
        let at = self.0.partition_point(|range| range.to < number);
        let Some(range) = self.0.get_mut(at).filter(|range| range.from <= number) else { return };
        let after = Range { from: number + 1, to: range.to };
        let before = Range { from: range.from, to: number - 1 };
        let rest = [before, after].into_iter().filter(|range| range.from <= range.to);
        self.0.splice(at..=at, rest);
    }

    /// Whether a number between the first that arrived and this one is missing.
    pub(super) fn has_gap_below(&self, number: u64) -> bool {
        match self.0.first() {
            Some(first) => first.to + 1 < number,
            None => false,
        }
    }

    fn gaps(&self) -> Vec<Range> {
        let pairs = self.0.windows(2);
        pairs.map(|pair| Range { from: pair[0].to + 1, to: pair[1].from - 1 }).collect()
    }
}

impl Outbox {
    /// What has arrived of a terminal, by epoch.
    pub fn have(&self, terminal: &TerminalId) -> Vec<Have> {
        let epochs = self.terminals.get(terminal).into_iter().flatten();
        let have = epochs.map(|(epoch, known)| Have {
            terminal: terminal.clone(),
            epoch: *epoch,
            have: known.seen.0.clone(),
            want: known.seen.gaps(),
        });
        have.collect()
    }

    pub(super) fn epoch(&self, meta: &Meta) -> Option<&Epoch> {
        self.terminals.get(&meta.terminal)?.get(&meta.epoch)
    }

    /// Notes a number; true if it was new.
    ///
    /// What was accepted `elsewhere` has neighbours of its own there: here its number makes no gap.
    pub(super) fn see_number(&mut self, meta: &Meta, position: u64, elsewhere: bool) -> bool {
        let full = self.terminals.len() >= limits::SEQUENCE_TERMINALS_MAX;
        if full && !self.terminals.contains_key(&meta.terminal) {
            return false;
        }
        let epochs = self.terminals.entry(meta.terminal.clone()).or_default();
        let epoch = epochs.entry(meta.epoch).or_default();
        epoch.held.insert(meta.sequence, position);
        let is_new = !elsewhere && epoch.seen.insert(meta.sequence);
        while epochs.len() > limits::SEQUENCE_EPOCHS_MAX
            && epochs.first_key_value().is_some_and(|(_, oldest)| oldest.held.is_empty())
        {
            epochs.pop_first();
        }
        is_new
    }

    pub(super) fn forget_held_number(&mut self, meta: &Meta, position: u64) {
        let epochs = self.terminals.get_mut(&meta.terminal);
        if let Some(epoch) = epochs.and_then(|epochs| epochs.get_mut(&meta.epoch))
            && epoch.held.get(&meta.sequence) == Some(&position)
        {
            epoch.held.remove(&meta.sequence);
        }
    }

    pub(super) fn forget_number(&mut self, meta: &Meta) {
        let Some(epochs) = self.terminals.get_mut(&meta.terminal) else { return };
        let Some(epoch) = epochs.get_mut(&meta.epoch) else { return };
        epoch.seen.remove(meta.sequence);
        if epoch.seen.0.is_empty() {
            epochs.remove(&meta.epoch);
        }
        if epochs.is_empty() {
            self.terminals.remove(&meta.terminal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_equal_a_set_of_numbers(changes: Vec<(bool, u8)>) {
            let mut ranges = Sequences::default();
            let mut model = BTreeSet::new();
            for (insert, number) in changes {
                let number = u64::from(number % 60) + 1;
                if insert {
                    prop_assert_eq!(ranges.insert(number), model.insert(number));
                } else {
                    ranges.remove(number);
                    model.remove(&number);
                }
                for probe in 0..=61 {
                    let mut found = ranges.0.iter();
                    let has = found.any(|range| (range.from..=range.to).contains(&probe));
                    prop_assert_eq!(has, model.contains(&probe));
                    let first = model.first().copied().unwrap_or(u64::MAX);
                    let gap = (first..probe).any(|number| !model.contains(&number));
                    prop_assert_eq!(ranges.has_gap_below(probe), gap, "below {}", probe);
                }
            }
        }
    }

    #[test]
    fn a_terminal_with_endless_gaps_costs_bounded_memory() {
        let mut ranges = Sequences::default();
        for number in 1..1000 {
            ranges.insert(number * 2);
        }
        assert_eq!(ranges.0.len(), limits::SEQUENCE_RANGES_MAX);
        assert_eq!(ranges.0.last().unwrap().to, 1998);
    }
}
