//! Where a model is cut into segments.
//!
//! A boundary depends on the records before it in the same segment alone, mostly on the id of one record:
//! so a changed record changes its own segment and the cut finds back to the old boundaries soon after.
//! Author and replica cut with the same function; this is why their digests can be compared at all.

use crate::feed::record::{Change, Record};
use crate::feed::segment::rows;
use crate::ids::RecordId;
use crate::limits::{SEGMENT_CONTENT_MAX, SEGMENT_RECORDS_MAX, SEGMENT_RECORDS_MEAN};

/// Tells after which record a segment ends.
#[derive(Debug, Clone, Default)]
pub struct Cutter {
    records: usize,
    content: usize,
}

impl Cutter {
    /// Takes the next record; true if the segment ends after it.
    pub fn ends_after(&mut self, id: &RecordId, body: &[u8]) -> bool {
        self.records += 1;
        self.content += rows::len(id.as_str(), Some(body));
        let ends = self.records >= SEGMENT_RECORDS_MAX
            || self.content >= SEGMENT_CONTENT_MAX
            || is_boundary(id);
        if ends {
            *self = Self::default();
        }
        ends
    }
}

/// One id in [`SEGMENT_RECORDS_MEAN`] is a boundary.
fn is_boundary(id: &RecordId) -> bool {
    let hash = blake3::hash(id.as_str().as_bytes());
    let bytes = hash.as_bytes();
    let low = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    low as usize & (SEGMENT_RECORDS_MEAN - 1) == 0
}

/// A piece of the new cut of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The segment of this number in the old cut, as it was.
    Kept(usize),
    /// A new segment with these records.
    Cut(Vec<Record>),
}

/// Cuts a model again after changes, reading only the segments that the changes touch and those after,
/// until the cut is back at an old boundary.
///
/// - `lasts`: the last id of each segment of the old cut, ascending;
/// - `changes`: ascending by id, each id once;
/// - `load`: the records of a segment of the old cut;
/// - `emit`: takes the pieces of the new cut, in order.
///
/// The result is the cut that all records together would get from the start.
pub fn recut<E>(
    lasts: &[&RecordId],
    changes: &[Change],
    mut load: impl FnMut(usize) -> Result<Vec<Record>, E>,
    mut emit: impl FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    let mut changes = changes;
    let mut cutter = Cutter::default();
    let mut open: Vec<Record> = Vec::new();
    for (number, last) in lasts.iter().enumerate() {
        let is_end = number + 1 == lasts.len();
        let here = if is_end { changes.len() } else { up_to(changes, last) };
        if here == 0 && open.is_empty() {
            emit(Piece::Kept(number))?;
            continue;
        }
        let (touching, after) = changes.split_at(here);
        changes = after;
        for record in merge(load(number)?, touching) {
            let ends = cutter.ends_after(&record.id, &record.body);
            open.push(record);
            if ends {
                emit(Piece::Cut(std::mem::take(&mut open)))?;
            }
        }
    }
    for record in merge(Vec::new(), changes) {
        let ends = cutter.ends_after(&record.id, &record.body);
        open.push(record);
        if ends {
            emit(Piece::Cut(std::mem::take(&mut open)))?;
        }
    }
    if open.is_empty() { Ok(()) } else { emit(Piece::Cut(open)) }
}

fn up_to(changes: &[Change], last: &RecordId) -> usize {
    changes.partition_point(|change| change.id <= *last)
}

/// The records after the changes; both ascend.
fn merge(records: Vec<Record>, changes: &[Change]) -> impl Iterator<Item = Record> {
    let mut records = records.into_iter().peekable();
    let mut changes = changes.iter().peekable();
    std::iter::from_fn(move || {
        loop {
            match (records.peek(), changes.peek()) {
                (Some(record), Some(change)) if record.id < change.id => return records.next(),
                (Some(_), None) => return records.next(),
                (None, None) => return None,
                (record, Some(change)) => {
                    if record.is_some_and(|record| record.id == change.id) {
                        records.next();
                    }
                    let body = change.body.clone();
                    let id = change.id.clone();
                    changes.next();
                    if let Some(body) = body {
                        return Some(Record { id, body });
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    type Cut = Vec<Vec<Record>>;

    fn apply(cut: &Cut, changes: &[Change]) -> (Cut, usize) {
        let lasts: Vec<&RecordId> =
            cut.iter().map(|segment| &segment[segment.len() - 1].id).collect();
        let (mut next, mut loaded) = (Cut::new(), 0);
        let load = |number: usize| {
            loaded += 1;
            Ok::<_, Infallible>(cut[number].clone())
        };
        let emit = |piece| {
            next.push(match piece {
                Piece::Kept(number) => cut[number].clone(),
                Piece::Cut(records) => records,
            });
            Ok(())
        };
        let Ok(()) = recut(&lasts, changes, load, emit);
        (next, loaded)
    }

    fn change(id: u32, body: Option<u8>) -> Change {
        let id = format!("{id:06}").parse().unwrap();
        Change { id, body: body.map(|byte| Bytes::from(vec![byte; 3])) }
    }

    #[test]
    fn one_changed_record_touches_few_segments() {
        let all: Vec<Change> = (0..30_000).map(|id| change(id * 2, Some(1))).collect();
        let (cut, _) = apply(&Cut::new(), &all);
        assert!((10..60).contains(&cut.len()), "{} segments", cut.len());
        let (next, loaded) = apply(&cut, &[change(30_001, Some(2))]);
        assert_eq!(loaded, 1);
        let differing = next.iter().filter(|segment| !cut.contains(segment)).count();
        assert!(differing <= 2);
    }

    #[test]
    fn a_removed_boundary_joins_two_segments() {
        let all: Vec<Change> = (0..10_000).map(|id| change(id, Some(1))).collect();
        let (cut, _) = apply(&Cut::new(), &all);
        let last = &cut[0][cut[0].len() - 1];
        let (next, loaded) = apply(&cut, &[Change { id: last.id.clone(), body: None }]);
        assert!(loaded >= 2);
        assert_eq!(next.last(), cut.last());
        assert_eq!(next.iter().map(Vec::len).sum::<usize>(), 9_999);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn cutting_again_equals_cutting_from_the_start(
            sets in prop::collection::vec(
                prop::collection::btree_map(0u32..20_000, prop::option::weighted(0.7, any::<u8>()), 0..3000),
                1..5,
            )
        ) {
            let mut cut = Cut::new();
            let mut all = BTreeMap::new();
            for set in sets {
                let changes: Vec<Change> =
                    set.into_iter().map(|(id, body)| change(id, body)).collect();
                for change in &changes {
                    all.insert(change.id.clone(), change.body.clone());
                }
                cut = apply(&cut, &changes).0;
                let whole: Vec<Change> =
                    all.iter().map(|(id, body)| Change { id: id.clone(), body: body.clone() }).collect();
                prop_assert_eq!(&cut, &apply(&Cut::new(), &whole).0);
            }
        }
    }
}
