//! Changes that wait in an unnamed file until a table was read to its end.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::value::RawValue;
use storebox_proto::ids::ModelName;

/// Changes as lines of an import.
pub(super) struct Gathered {
    model: ModelName,
    file: BufWriter<File>,
    /// Keys of records that are brought.
    pub(super) keys: BTreeSet<String>,
    /// Changes, removals included.
    pub(super) count: u64,
}

#[derive(serde::Serialize)]
struct Brought<'a> {
    model: ModelName,
    record: &'a RawValue,
}

#[derive(serde::Serialize)]
struct Removed<'a> {
    model: ModelName,
    removed: &'a str,
}

impl Gathered {
    pub(super) fn new(dir: &Path, model: ModelName) -> io::Result<Self> {
        let path = dir.join(format!("{model}.gathered"));
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self { model, file: BufWriter::new(file), keys: BTreeSet::new(), count: 0 })
    }

    /// A row, as the JSON text of its record.
    pub(super) fn bring(&mut self, key: String, record: String) -> io::Result<()> {
        let record = RawValue::from_string(record)?;
        let model = self.model.clone();
        self.line(&Brought { model, record: &record })?;
        self.keys.insert(key);
        Ok(())
    }

    /// A row that is gone.
    pub(super) fn remove(&mut self, key: &str) -> io::Result<()> {
        let model = self.model.clone();
        self.line(&Removed { model, removed: key })
    }

    /// The lines, from the first on.
    pub(super) fn into_lines(self) -> io::Result<BufReader<File>> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::new(file))
    }

    fn line(&mut self, change: &impl serde::Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(change)?;
        line.push(b'\n');
        self.count += 1;
        self.file.write_all(&line)
    }
}
