//! The changes of a model since its base, in memory, with an index of their own.
//!
//! A reader's generation holds one `Arc` of it; the owner changes a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use storebox_proto::feed::{Change, IndexDef, IndexKind, segment};
use storebox_proto::ids::RecordId;

use super::{field, text};

/// The changes, ascending by id; a removed record has no body.
#[derive(Debug, Clone, Default)]
pub(super) struct Overlay {
    changes: BTreeMap<RecordId, Option<Bytes>>,
    indexes: BTreeMap<String, OverlayIndex>,
    sum: u64,
}

/// Keys of one field and who has them.
#[derive(Debug, Clone, Default)]
pub(super) struct OverlayIndex {
    pub(super) whole: BTreeSet<(String, RecordId)>,
    pub(super) words: BTreeSet<(String, RecordId)>,
}

impl Overlay {
    pub(super) fn new(indexes: &[IndexDef]) -> Self {
        let indexes =
            indexes.iter().map(|def| (def.field.clone(), OverlayIndex::default())).collect();
        Self { changes: BTreeMap::new(), indexes, sum: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn get(&self, id: &RecordId) -> Option<&Option<Bytes>> {
        self.changes.get(id)
    }

    pub(super) fn contains(&self, id: &RecordId) -> bool {
        self.changes.contains_key(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&RecordId, &Option<Bytes>)> {
        self.changes.iter()
    }

    pub(super) fn range(
        &self,
        from: Bound<&RecordId>,
    ) -> std::collections::btree_map::Range<'_, RecordId, Option<Bytes>> {
        self.changes.range((from.cloned(), Bound::Unbounded))
    }

    pub(super) fn index(&self, field: &str) -> Option<&OverlayIndex> {
        self.indexes.get(field)
    }

    /// A number that depends on every change and not on their order: it tells whether one got lost on disk.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    pub(super) fn set(&mut self, defs: &[IndexDef], change: &Change) {
        let before = self.changes.insert(change.id.clone(), change.body.clone());
        if let Some(before) = before {
            self.sum = self.sum.wrapping_sub(fingerprint(&change.id, before.as_deref()));
            if let Some(body) = before {
                self.each_key(defs, &body, |set, key| {
                    set.remove(&(key.to_owned(), change.id.clone()));
                });
            }
        }
        self.sum = self.sum.wrapping_add(fingerprint(&change.id, change.body.as_deref()));
        if let Some(body) = &change.body {
            self.each_key(defs, body, |set, key| {
                set.insert((key.to_owned(), change.id.clone()));
            });
        }
    }

    fn each_key(
        &mut self,
        defs: &[IndexDef],
        body: &[u8],
        mut act: impl FnMut(&mut BTreeSet<(String, RecordId)>, &str),
    ) {
        field::each(body, |name, value| {
            for def in defs.iter().filter(|def| def.field.as_bytes() == name) {
                let Some(index) = self.indexes.get_mut(&def.field) else { continue };
                match def.kind {
                    IndexKind::Exact if value.is_empty() => {}
                    IndexKind::Exact => act(&mut index.whole, text::key(&value)),
                    IndexKind::Text => {
                        let normal = text::normalise(&value);
                        if !normal.is_empty() {
                            act(&mut index.whole, text::key(&normal));
                            text::words(&normal).for_each(|word| act(&mut index.words, word));
                        }
                    }
                }
            }
        });
    }
}

impl OverlayIndex {
    /// The entries of a set whose key starts with a prefix, ascending.
    pub(super) fn starting<'a>(
        set: &'a BTreeSet<(String, RecordId)>,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a (String, RecordId)> {
        // The least text that is a record id: what is less than a space is a control character.
        let least = (prefix.to_owned(), " ".parse().expect("a space is a record id"));
        set.range(least..).take_while(move |(key, _)| key.starts_with(prefix))
    }
}

fn fingerprint(id: &RecordId, body: Option<&[u8]>) -> u64 {
    let mut row = Vec::with_capacity(256);
    segment::rows::write(&mut row, id.as_str(), body);
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(&row).as_bytes()[..8]);
    u64::from_le_bytes(first)
}
