//! Building indexes: keys are taken from records by the threads that decode them and merged in order.

use std::borrow::Cow;

use storebox_proto::feed::{Block, IndexDef, IndexKind};
use storebox_proto::ids::Hash32;

use super::FieldIndex;
use super::dictionary::Dictionary;
use crate::db::{field, text};

/// Keys of one segment, one after the other.
#[derive(Debug, Default)]
struct Keys {
    arena: Vec<u8>,
    /// Where a key ends, and its row in the segment.
    uses: Vec<(u32, u32)>,
}

impl Keys {
    fn push(&mut self, key: &str, row: u32) {
        self.arena.extend_from_slice(key.as_bytes());
        let end = u32::try_from(self.arena.len()).expect("a segment is far below 4 GB");
        self.uses.push((end, row));
    }
}

/// What the indexed fields of one segment's records hold.
#[derive(Debug)]
pub(in crate::db) struct Extract {
    fields: Vec<(Keys, Keys)>,
    rows: u32,
}

impl Extract {
    pub(in crate::db) fn new(indexes: &[IndexDef]) -> Self {
        Self {
            fields: indexes.iter().map(|_| (Keys::default(), Keys::default())).collect(),
            rows: 0,
        }
    }

    /// Takes the records of the segment's next block.
    pub(in crate::db) fn take(&mut self, indexes: &[IndexDef], block: &Block) {
        for row in 0..block.len() {
            if !indexes.is_empty()
                && let Some(body) = block.body(row)
            {
                self.record(indexes, &body);
            }
            self.rows += 1;
        }
    }

    fn record(&mut self, indexes: &[IndexDef], body: &[u8]) {
        let (fields, row) = (&mut self.fields, self.rows);
        field::each(body, |name, value: Cow<'_, str>| {
            for (def, (whole, words)) in indexes.iter().zip(fields.iter_mut()) {
                if def.field.as_bytes() != name || value.is_empty() {
                    continue;
                }
                match def.kind {
                    IndexKind::Exact => whole.push(text::key(&value), row),
                    IndexKind::Text => {
                        let normal = text::normalise(&value);
                        if !normal.is_empty() {
                            whole.push(text::key(&normal), row);
                            text::words(&normal).for_each(|word| words.push(word, row));
                        }
                    }
                }
            }
        });
    }
}

/// The index of one field in the making.
#[derive(Default)]
pub(in crate::db) struct FieldBuilder {
    whole: Dictionary,
    words: Dictionary,
}

impl FieldBuilder {
    /// Takes the keys of the next segment; its first record is at `start`.
    pub(in crate::db) fn add(&mut self, extract: &Extract, field: usize, start: u32) {
        let (whole, words) = &extract.fields[field];
        for (keys, dictionary) in [(whole, &mut self.whole), (words, &mut self.words)] {
            let mut from = 0;
            for (end, row) in &keys.uses {
                dictionary.add(&keys.arena[from..*end as usize], start + row);
                from = *end as usize;
            }
        }
    }

    pub(in crate::db) fn finish(self, base: Hash32) -> FieldIndex {
        FieldIndex::assemble(base, &self.whole.finish(), &self.words.finish())
    }
}
