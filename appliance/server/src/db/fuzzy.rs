//! Finding text that was mistyped: every word of the query within a small edit distance.

use std::collections::BTreeMap;

use fst::Automaton;
use fst::automaton::Levenshtein;
use storebox_proto::feed::{IndexKind, Record};
use storebox_proto::ids::{ModelName, RecordId};
use storebox_proto::limits::PAGE_RECORDS_MAX;

use super::generation::{Generation, ReadError};
use super::index::KeyMap;
use super::overlay::OverlayIndex;
use super::query::Searched;
use super::text;

/// Words of a query that are looked for; the rest is ignored.
const QUERY_WORDS_MAX: usize = 4;
/// A word up to this length may differ by one edit, a longer one by two.
const SHORT_CHARS_MAX: usize = 5;
/// Longer words of a query are cut, so that the automaton stays small.
const QUERY_WORD_CHARS_MAX: usize = 32;
/// Different spellings in the index that one word of the query may stand for.
const SPELLINGS_MAX: usize = 256;
/// Positions that one word of the query may stand for; the nearest spellings come first.
const POSITIONS_MAX: usize = 200_000;

impl Generation {
    /// The records in whose text every word of the query occurs, give or take an edit or two; nearest first.
    ///
    /// A field with an exact index is compared as a whole.
    pub fn fuzzy(
        &self,
        model: &ModelName,
        field: &str,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let searched = self.searched(model, field)?;
        let limit = limit.min(PAGE_RECORDS_MAX);
        let (base, overlay) = match searched.kind {
            IndexKind::Exact => (&searched.base.whole, &searched.overlay.whole),
            IndexKind::Text => (&searched.base.words, &searched.overlay.words),
        };
        let normal = text::normalise(text);
        let words: Vec<&str> = match searched.kind {
            IndexKind::Exact => vec![text::key(text)],
            IndexKind::Text => text::words(&normal).take(QUERY_WORDS_MAX).collect(),
        };
        let mut positions: Option<BTreeMap<u32, usize>> = None;
        let mut changed: Option<BTreeMap<&RecordId, usize>> = None;
        for word in words.into_iter().filter(|word| !word.is_empty()) {
            let Some(near) = Near::new(word) else { continue };
            positions = Some(both(positions, near.positions(base)));
            let overlay = OverlayIndex::starting(overlay, "");
            changed = Some(both(changed, near.ids(overlay)));
        }
        nearest(&searched, positions.unwrap_or_default(), &changed.unwrap_or_default(), limit)
    }
}

/// The records behind positions and changed ids, nearest first, then by id.
fn nearest(
    searched: &Searched<'_>,
    positions: BTreeMap<u32, usize>,
    changed: &BTreeMap<&RecordId, usize>,
    limit: usize,
) -> Result<Vec<Record>, ReadError> {
    let mut order: Vec<(usize, u32)> =
        positions.into_iter().map(|(position, distance)| (distance, position)).collect();
    order.sort_unstable();
    let mut found: Vec<(usize, Record)> = Vec::new();
    for (distance, position) in order {
        if found.len() == limit {
            break;
        }
        found.extend(searched.unchanged(position)?.map(|record| (distance, record)));
    }
    let changed = changed
        .iter()
        .filter_map(|(id, distance)| searched.changed(id).map(|record| (*distance, record)));
    found.extend(changed);
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, record)| record).collect())
}

/// What two words have in common, with the sum of the distances.
fn both<K: Ord>(
    before: Option<BTreeMap<K, usize>>,
    mut now: BTreeMap<K, usize>,
) -> BTreeMap<K, usize> {
    let Some(before) = before else { return now };
    let common = before
        .into_iter()
        .filter_map(|(key, distance)| now.remove(&key).map(|other| (key, distance + other)));
    common.collect()
}

/// One word of a query and everything near it.
struct Near {
    word: String,
    automaton: Levenshtein,
}

impl Near {
    /// Nothing if the automaton of the word would be too large even for a single edit.
    fn new(word: &str) -> Option<Self> {
        let word: String = word.chars().take(QUERY_WORD_CHARS_MAX).collect();
        let edits = if word.chars().count() <= SHORT_CHARS_MAX { 1 } else { 2 };
        let automaton = (1..=edits).rev().find_map(|edits| Levenshtein::new(&word, edits).ok())?;
        Some(Self { word, automaton })
    }

    fn positions(&self, map: &KeyMap) -> BTreeMap<u32, usize> {
        let accepted = map.accepted(&self.automaton, SPELLINGS_MAX);
        let mut spellings: Vec<_> = accepted
            .into_iter()
            .map(|(key, postings)| (distance(&self.word, &key), postings))
            .collect();
        spellings.sort_by_key(|(distance, _)| *distance);
        let mut positions = BTreeMap::new();
        let all = spellings.into_iter().flat_map(|(far, list)| list.map(move |at| (at, far)));
        for (position, far) in all.take(POSITIONS_MAX) {
            positions.entry(position).or_insert(far);
        }
        positions
    }

    fn ids<'a>(
        &self,
        entries: impl Iterator<Item = &'a (String, RecordId)>,
    ) -> BTreeMap<&'a RecordId, usize> {
        let mut ids = BTreeMap::new();
        for (key, id) in entries.filter(|(key, _)| self.accepts(key)) {
            let far = distance(&self.word, key);
            let nearest = ids.entry(id).or_insert(far);
            *nearest = far.min(*nearest);
        }
        ids
    }

    fn accepts(&self, key: &str) -> bool {
        let mut state = self.automaton.start();
        for byte in key.bytes() {
            state = self.automaton.accept(&state, byte);
            if !self.automaton.can_match(&state) {
                return false;
            }
        }
        self.automaton.is_match(&state)
    }
}

/// Edits between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_edits() {
        for (a, b, expected) in [
            ("milk", "milk", 0),
            ("milk", "mlik", 2),
            ("milk", "silk", 1),
            ("", "ab", 2),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_word_accepts_what_is_near() {
        let near = Near::new("crushed").unwrap();
        assert!(near.accepts("crushd"));
        assert!(near.accepts("crusher"));
        assert!(!near.accepts("brushes ice"));
        assert!(!Near::new("milk").unwrap().accepts("mlik"));
    }
}
