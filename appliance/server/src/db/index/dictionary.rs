//! The distinct keys of a field while its index is built, with the positions of each.
//!
//! Keys lie one after the other in one buffer and are found by hash, so that a million records
//! with few distinct values cost little more than a list of numbers.

use std::hash::{BuildHasher, RandomState};

use super::write;

#[derive(Default)]
pub(super) struct Dictionary {
    arena: Vec<u8>,
    /// Where each key ends.
    ends: Vec<u32>,
    hashes: Vec<u32>,
    /// Open addressing: the number of a key plus one, 0 if free; a power of two.
    slots: Vec<u32>,
    /// (key, position); positions ascend.
    uses: Vec<(u32, u32)>,
    hasher: RandomState,
}

impl Dictionary {
    /// Notes that the record at a position has a key; positions come ascending.
    pub(super) fn add(&mut self, key: &[u8], position: u32) {
        let number = self.number_of(key);
        self.uses.push((number, position));
    }

    fn key(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.arena[start as usize..self.ends[number] as usize]
    }

    fn number_of(&mut self, key: &[u8]) -> u32 {
        if self.ends.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let bytes = self.hasher.hash_one(key).to_le_bytes();
        let hash = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while let Some(number) = self.slots[slot].checked_sub(1) {
            if self.hashes[number as usize] == hash && self.key(number) == key {
                return number;
            }
            slot = (slot + 1) & mask;
        }
        let number = count(self.ends.len());
        self.arena.extend_from_slice(key);
        self.ends.push(count(self.arena.len()));
        self.hashes.push(hash);
        self.slots[slot] = number + 1;
        number
    }

    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(1024);
        let mask = len - 1;
        self.slots = vec![0; len];
        for (number, hash) in self.hashes.iter().enumerate() {
            let mut slot = *hash as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = count(number) + 1;
        }
    }

    /// The finite-state map and the lists of positions.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        self.slots = Vec::new();
        self.hashes = Vec::new();
        let (starts, positions) = self.by_key();
        let mut order: Vec<(u64, u32)> =
            (0..count(self.ends.len())).map(|number| (head(self.key(number)), number)).collect();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| self.key(a.1).cmp(self.key(b.1))));
        let mut map = fst::MapBuilder::memory();
        let mut postings = Vec::new();
        for (_, number) in order {
            let at = number as usize;
            let list = &positions[starts[at] as usize..starts[at + 1] as usize];
            let value = match list {
                [one] => u64::from(*one) << 1,
                _ => {
                    let value = (postings.len() as u64) << 1 | 1;
                    write_list(&mut postings, list);
                    value
                }
            };
            map.insert(self.key(number), value).expect("distinct keys were sorted");
        }
        (map.into_inner().expect("memory does not fail"), postings)
    }

    /// The positions of all keys, key after key, and where each key's start.
    fn by_key(&mut self) -> (Vec<u32>, Vec<u32>) {
        let uses = std::mem::take(&mut self.uses);
        let mut starts = vec![0u32; self.ends.len() + 1];
        for (number, _) in &uses {
            starts[*number as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut positions = vec![0; uses.len()];
        for (number, position) in uses {
            let at = &mut next[number as usize];
            positions[*at as usize] = position;
            *at += 1;
        }
        (starts, positions)
    }
}

/// The first eight bytes as a number that sorts like them: most comparisons end here.
fn head(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = key.len().min(8);
    first[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(first)
}

fn write_list(postings: &mut Vec<u8>, list: &[u32]) {
    write(postings, count(list.len()));
    let mut last = 0;
    for position in list {
        write(postings, position - last);
        last = *position;
    }
}

/// Distinct keys of more than 4 GB would need a model of 16 million records with the longest keys,
/// whose dictionary no box has the memory for.
fn count(len: usize) -> u32 {
    u32::try_from(len).expect("an index has less than 4 GB of distinct keys")
}
