//! Where valid rows wait until the whole import is known to be good: bodies in an unnamed file, ids in memory.
//!
//! So an import of a million records needs tens of megabytes of memory, and one that is refused leaves nothing behind.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use storebox_proto::ids::{ModelName, RecordId};

use super::row::Row;

/// The name of the file between its creation and its removal a moment later.
const SPOOL: &str = "import.spool";

/// Where a body lies in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: u64,
    len: u32,
}

/// A row of the import.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: RecordId,
    pub(super) line: u64,
    place: Option<Place>,
}

/// Takes rows, one after the other.
pub(super) struct Spool {
    file: BufWriter<File>,
    at: u64,
}

impl Spool {
    /// A spool in this directory; its file has no name, so it is gone when the process is.
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let path = dir.join(SPOOL);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self { file: BufWriter::with_capacity(1 << 18, file), at: 0 })
    }

    pub(super) fn push(&mut self, row: Row, line: u64) -> io::Result<Entry> {
        let place = match &row.body {
            None => None,
            Some(body) => {
                self.file.write_all(body)?;
                let len = u32::try_from(body.len()).expect("a record is at most 64 KB");
                let place = Place { at: self.at, len };
                self.at += u64::from(len);
                Some(place)
            }
        };
        Ok(Entry { id: row.id, line, place })
    }

    /// Whether two rows say the same.
    pub(super) fn same(&mut self, one: &Entry, other: &Entry) -> io::Result<bool> {
        match (one.place, other.place) {
            (None, None) => Ok(true),
            (Some(one), Some(other)) if one.len == other.len => {
                self.file.flush()?;
                Ok(body_at(self.file.get_ref(), one)? == body_at(self.file.get_ref(), other)?)
            }
            (Some(_) | None, Some(_) | None) => Ok(false),
        }
    }

    pub(super) fn finish(self, models: BTreeMap<ModelName, ModelRows>) -> io::Result<Batch> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Batch { file, models })
    }
}

/// The rows of one model, ascending by id, each id once.
#[derive(Debug)]
pub(super) struct ModelRows {
    pub(super) rows: Vec<Entry>,
    /// Records that are not named here are removed.
    pub(super) whole: bool,
}

/// A valid import.
#[derive(Debug)]
pub struct Batch {
    file: File,
    models: BTreeMap<ModelName, ModelRows>,
}

impl Batch {
    /// The models that the import touches.
    pub fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.models.keys()
    }

    /// Whether the model is given as a whole: what is not named is to be removed.
    pub fn is_whole(&self, model: &ModelName) -> bool {
        self.models.get(model).is_some_and(|rows| rows.whole)
    }

    /// How many rows a model has.
    pub fn len(&self, model: &ModelName) -> usize {
        self.models.get(model).map_or(0, |rows| rows.rows.len())
    }

    /// Whether nothing is imported.
    pub fn is_empty(&self) -> bool {
        self.models.values().all(|rows| rows.rows.is_empty() && !rows.whole)
    }

    /// The rows of a model, ascending by id; a row without a body removes the record.
    pub fn rows(
        &self,
        model: &ModelName,
    ) -> impl Iterator<Item = io::Result<(RecordId, Option<Bytes>)>> + '_ {
        let rows = self.models.get(model).map_or(&[][..], |rows| &rows.rows);
        rows.iter().map(|entry| Ok((entry.id.clone(), self.body(entry)?)))
    }

    fn body(&self, entry: &Entry) -> io::Result<Option<Bytes>> {
        entry.place.map(|place| body_at(&self.file, place)).transpose()
    }
}

fn body_at(file: &File, place: Place) -> io::Result<Bytes> {
    let mut body = vec![0; place.len as usize];
    file.read_exact_at(&mut body, place.at)?;
    Ok(Bytes::from(body))
}
