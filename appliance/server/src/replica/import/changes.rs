//! Changes, one a line.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value};
use storebox_proto::ids::ModelName;

use super::fault::RowFault;
use super::lines;
use super::row::{self, Row};
use super::spool::{Entry, ModelRows};
use super::{ImportError, Reading};

/// Which lines are taken; a line without a week always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weeks {
    /// The first week.
    pub first: u32,
    /// The last week.
    pub last: u32,
}

impl Weeks {
    /// Every line.
    pub const ALL: Self = Self { first: 0, last: u32::MAX };
}

/// Reads changes from a file, or from the file of changes in a directory.
pub(super) fn read_file(
    reading: &mut Reading,
    path: &Path,
    weeks: Weeks,
) -> Result<(), ImportError> {
    let inside = ["changes.ndjson.zst", "changes.ndjson"].map(|name| path.join(name));
    let path = inside.iter().find(|file| file.is_file()).map_or(path, |file| file);
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut source = lines::open(path, reading.limits.bytes_max)
        .map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    read(reading, &file, &mut source, weeks)
}

/// Reads changes; where a record occurs twice, the later line holds.
pub(super) fn read(
    reading: &mut Reading,
    file: &str,
    source: &mut impl BufRead,
    weeks: Weeks,
) -> Result<(), ImportError> {
    let mut models: BTreeMap<ModelName, Vec<Entry>> = BTreeMap::new();
    let mut count = 0;
    reading.each_line(file, source, |reading, line, number| {
        match change(reading, line, weeks) {
            Ok(None) => {}
            Ok(Some((model, row))) => {
                if Reading::is_model_of_models(&model) {
                    reading.define(file, number, &row);
                }
                let entry = reading.keep(row, number)?;
                models.entry(model).or_default().push(entry);
                count += 1;
            }
            Err(fault) => reading.faults.add(fault.at(file, number)),
        }
        Ok(count)
    })?;
    for (model, mut rows) in models {
        rows.sort_by(|a, b| a.id.cmp(&b.id).then(b.line.cmp(&a.line)));
        rows.dedup_by(|later, first| later.id == first.id);
        reading.models.insert(model, ModelRows { rows, whole: false });
    }
    Ok(())
}

fn change(
    reading: &Reading,
    line: &[u8],
    weeks: Weeks,
) -> Result<Option<(ModelName, Row)>, RowFault> {
    let mut fields = row::object(line)?;
    match fields.remove("week") {
        None => {}
        Some(week) => {
            let number = week.as_u64().and_then(|week| u32::try_from(week).ok());
            let week = number.ok_or_else(|| RowFault::field("week", "must be a number from 0"))?;
            if !(weeks.first..=weeks.last).contains(&week) {
                return Ok(None);
            }
        }
    }
    let model = match fields.remove("model") {
        Some(Value::String(model)) => model,
        Some(_) | None => return Err(RowFault::field("model", "must be the name of a model")),
    };
    let def = reading.central(&model)?;
    let (record, removed) = (fields.remove("record"), fields.remove("removed"));
    let none_left = |fields: &Map<String, Value>| match fields.keys().next() {
        None => Ok(()),
        Some(field) => Err(RowFault::field(field, "is not part of a change")),
    };
    none_left(&fields)?;
    let row = match (record, removed) {
        (Some(Value::Object(record)), None) => reading.row(&def, record)?,
        (None, Some(id)) => row::removal(&id)?,
        (Some(_), None) => return Err(RowFault::field("record", "must be an object")),
        (Some(_), Some(_)) | (None, None) => {
            return Err(RowFault::row("a change has either a record or removed"));
        }
    };
    Ok(Some((def.name, row)))
}
