//! Finding text that was mistyped: every word of the query within an edit or two.

use storebox_proto::feed::{IndexKind, Record};
use storebox_proto::ids::{ModelName, RecordId};
use storebox_proto::limits::PAGE_RECORDS_MAX;

use super::generation::{Generation, ReadError};
use super::index::KeyMap;
use super::overlay::OverlayIndex;
use super::query::Searched;
use super::text;
use super::typo::Typo;

/// Words of a query that are looked for; the rest is ignored.
const QUERY_WORDS_MAX: usize = 4;
/// Different spellings in the index that one word of the query may stand for.
const SPELLINGS_MAX: usize = 256;
/// Positions that one word of the query may stand for; the nearest spellings come first.
const POSITIONS_MAX: usize = 200_000;

/// What was found, ascending, and how far each is from the query.
type Hits<K> = Vec<(K, u8)>;

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
        let mut positions: Option<Hits<u32>> = None;
        let mut changed: Option<Hits<&RecordId>> = None;
        for word in words.into_iter().filter(|word| !word.is_empty()) {
            let typo = Typo::new(word);
            positions = Some(both(positions, positions_near(&typo, base)));
            let entries = OverlayIndex::starting(overlay, "");
            changed = Some(both(changed, ids_near(&typo, entries)));
        }
        nearest(&searched, &positions.unwrap_or_default(), &changed.unwrap_or_default(), limit)
    }
}

/// The records behind the hits, nearest first, then by id.
fn nearest(
    searched: &Searched<'_>,
    positions: &Hits<u32>,
    changed: &Hits<&RecordId>,
    limit: usize,
) -> Result<Vec<Record>, ReadError> {
    let farthest = positions.iter().map(|hit| hit.1).chain(changed.iter().map(|hit| hit.1)).max();
    let mut found = Vec::new();
    for far in 0..=farthest.unwrap_or_default() {
        let mut tier = Vec::new();
        for (position, _) in positions.iter().filter(|hit| hit.1 == far) {
            if found.len() + tier.len() >= limit {
                break;
            }
            tier.extend(searched.unchanged(*position)?);
        }
        let here = changed.iter().filter(|hit| hit.1 == far);
        tier.extend(here.filter_map(|(id, _)| searched.changed(id)));
        tier.sort_unstable_by(|a: &Record, b| a.id.cmp(&b.id));
        found.extend(tier);
        if found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// What two words have in common, with the sum of the distances.
fn both<K: Ord>(before: Option<Hits<K>>, now: Hits<K>) -> Hits<K> {
    let Some(before) = before else { return now };
    let mut now = now.into_iter().peekable();
    let common = before.into_iter().filter_map(|(key, far)| {
        while now.next_if(|(other, _)| *other < key).is_some() {}
        let (_, other) = now.next_if(|(other, _)| *other == key)?;
        Some((key, far + other))
    });
    common.collect()
}

fn positions_near(typo: &Typo, map: &KeyMap) -> Hits<u32> {
    let accepted = map.accepted(typo, SPELLINGS_MAX).into_iter();
    let mut spellings: Vec<_> =
        accepted.filter_map(|(key, list)| Some((typo.distance(&key)?, list))).collect();
    spellings.sort_by_key(|(far, _)| *far);
    let all = spellings.into_iter().flat_map(|(far, list)| list.map(move |at| (at, far)));
    distinct(all.take(POSITIONS_MAX).collect())
}

fn ids_near<'a>(
    typo: &Typo,
    entries: impl Iterator<Item = &'a (String, RecordId)>,
) -> Hits<&'a RecordId> {
    distinct(entries.filter_map(|(key, id)| Some((id, typo.distance(key)?))).collect())
}

/// Each key once, with its least distance.
fn distinct<K: Ord>(mut hits: Hits<K>) -> Hits<K> {
    // The hits are a few ascending lists one after the other, which a merging sort makes use of.
    hits.sort();
    hits.dedup_by(|later, kept| later.0 == kept.0);
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_words_share_is_kept_with_both_distances() {
        let first = vec![(1, 0), (3, 1), (7, 2)];
        assert_eq!(
            both(Some(first.clone()), vec![(2, 0), (3, 1), (7, 0), (9, 0)]),
            [(3, 2), (7, 2)]
        );
        assert_eq!(both(None, first.clone()), first);
        assert_eq!(distinct(vec![(4, 1), (2, 2), (4, 0), (2, 1)]), [(2, 1), (4, 0)]);
    }
}
