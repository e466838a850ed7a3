//! Finding records by an indexed field: exact and by prefix, in base and overlay together.
//!
//! A record that the overlay changes is found through the overlay only.

use std::collections::BTreeSet;

use storebox_proto::feed::{IndexKind, Record};
use storebox_proto::ids::{ModelName, RecordId};
use storebox_proto::limits::PAGE_RECORDS_MAX;

use super::base::IndexState;
use super::generation::{Generation, ReadError};
use super::index::{FieldIndex, KeyMap, Postings};
use super::model::ModelView;
use super::overlay::OverlayIndex;
use super::{field, text};

/// The index of a field over base and overlay.
pub(super) struct Searched<'a> {
    pub(super) view: &'a ModelView,
    pub(super) kind: IndexKind,
    pub(super) base: &'a FieldIndex,
    pub(super) overlay: &'a OverlayIndex,
}

/// What is looked for in an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Records whose value is this, in its searched form.
    Exact(String),
    /// Records whose whole value starts with this, in its searched form.
    Prefix(String),
}

impl Generation {
    /// The records whose field has a value, ascending by id.
    ///
    /// Text is compared in its searched form: lower case, punctuation as spaces.
    pub fn find(
        &self,
        model: &ModelName,
        field: &str,
        value: &str,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        self.find_up_to(model, field, value, limit.min(PAGE_RECORDS_MAX))
    }

    /// The records behind a key of an index, in no order that is promised; all of them if there are fewer than
    /// `limit`, which may be more than a page.
    pub fn candidates(
        &self,
        model: &ModelName,
        field: &str,
        probe: &Probe,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let prefix = match probe {
            Probe::Exact(value) => return self.find_up_to(model, field, value, limit),
            Probe::Prefix(prefix) => prefix,
        };
        let searched = self.searched(model, field)?;
        let wanted = searched.form(prefix);
        let (base, overlay) = (&searched.base.whole, &searched.overlay.whole);
        searched.starting(base, overlay, text::key(&wanted), limit, &mut BTreeSet::new())
    }

    fn find_up_to(
        &self,
        model: &ModelName,
        field: &str,
        value: &str,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let searched = self.searched(model, field)?;
        let wanted = searched.form(value);
        let key = text::key(&wanted);
        // A key that was cut stands for several values.
        let fits = |record: &Record| {
            key.len() == wanted.len()
                || field::get(&record.body, field).is_some_and(|v| searched.form(&v) == wanted)
        };
        let mut found = Vec::new();
        for position in searched.base.whole.get(key) {
            if found.len() == limit {
                break;
            }
            found.extend(searched.unchanged(position)?.filter(&fits));
        }
        let overlay = OverlayIndex::starting(&searched.overlay.whole, key);
        let overlay = overlay.take_while(|(other, _)| other == key);
        let changed = overlay.filter_map(|(_, id)| searched.changed(id)).filter(&fits).take(limit);
        found.extend(changed);
        found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        found.truncate(limit);
        Ok(found)
    }

    /// The records whose field starts with a prefix, in the order of the field.
    ///
    /// In text, whole values that start with it come first, then those in which a word does.
    pub fn prefix(
        &self,
        model: &ModelName,
        field: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let searched = self.searched(model, field)?;
        let wanted = searched.form(prefix);
        let key = text::key(&wanted);
        let limit = limit.min(PAGE_RECORDS_MAX);
        let mut seen = BTreeSet::new();
        let overlay = &searched.overlay;
        let mut found =
            searched.starting(&searched.base.whole, &overlay.whole, key, limit, &mut seen)?;
        if searched.kind == IndexKind::Text && found.len() < limit && !key.contains(' ') {
            let left = limit - found.len();
            let words =
                searched.starting(&searched.base.words, &overlay.words, key, left, &mut seen)?;
            found.extend(words);
        }
        Ok(found)
    }

    pub(super) fn searched(
        &self,
        model: &ModelName,
        field: &str,
    ) -> Result<Searched<'_>, ReadError> {
        let view = self.view(model)?;
        let unknown = || ReadError::IndexUnknown {
            model: model.clone(),
            field: field.chars().take(64).collect(),
        };
        let def = view.def.indexes.iter().find(|def| def.field == field).ok_or_else(unknown)?;
        let base = match view.base.indexes.get(field).ok_or_else(unknown)? {
            IndexState::Ready(index) => index,
            IndexState::Broken { segment } => {
                let (model, segment) = (model.clone(), *segment);
                return Err(ReadError::Damaged { model, segment, block: None });
            }
        };
        let overlay = view.overlay.index(field).ok_or_else(unknown)?;
        Ok(Searched { view, kind: def.kind, base, overlay })
    }
}

impl Searched<'_> {
    /// A value as its index has it.
    fn form(&self, value: &str) -> String {
        match self.kind {
            IndexKind::Exact => value.to_owned(),
            IndexKind::Text => text::normalise(value),
        }
    }

    /// The base's record at a position, unless the overlay changes it.
    pub(super) fn unchanged(&self, position: u32) -> Result<Option<Record>, ReadError> {
        let record = self.view.base.at(position)?;
        Ok(record.filter(|record| !self.view.overlay.contains(&record.id)))
    }

    /// The overlay's record of an id.
    pub(super) fn changed(&self, id: &RecordId) -> Option<Record> {
        let body = self.view.overlay.get(id)?.clone()?;
        Some(Record { id: id.clone(), body })
    }

    /// The first records by key and id, in base and overlay, that were not seen before.
    fn starting(
        &self,
        base: &KeyMap,
        overlay: &BTreeSet<(String, RecordId)>,
        prefix: &str,
        limit: usize,
        seen: &mut BTreeSet<RecordId>,
    ) -> Result<Vec<Record>, ReadError> {
        let mut found: Vec<(String, Record)> = Vec::new();
        let mut taken = seen.clone();
        base.prefix(prefix, |key, postings: Postings| {
            for position in postings {
                if found.len() == limit {
                    return Ok(false);
                }
                if let Some(record) = self.unchanged(position)?
                    && taken.insert(record.id.clone())
                {
                    found.push((key.to_owned(), record));
                }
            }
            Ok::<bool, ReadError>(found.len() < limit)
        })?;
        let changed = OverlayIndex::starting(overlay, prefix)
            .filter(|(_, id)| taken.insert(id.clone()))
            .filter_map(|(key, id)| Some((key.clone(), self.changed(id)?)));
        let changed: Vec<_> = changed.take(limit).collect();
        found.extend(changed);
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        found.truncate(limit);
        let records: Vec<Record> = found.into_iter().map(|(_, record)| record).collect();
        seen.extend(records.iter().map(|record| record.id.clone()));
        Ok(records)
    }
}
