//! Imports: files of the company's systems, checked as a whole before anything of them is used.
//!
//! Three forms:
//! - a directory with one file per model, `<Model>.ndjson`, `<Model>.ndjson.zst` or `<Model>.csv`, each the whole model:
//!   a record that is not in its file is removed, a model without a file stays as it is;
//! - the whole of one model as a stream of NDJSON;
//! - changes, one JSON object a line: `{"model", "record"}` or `{"model", "removed": id}`, with an optional `week`
//!   by which lines can be chosen; where a record occurs twice, the later line holds.
//!
//! `"active": false` removes a record in every form.
//! A bad row is named by file, line and field; one bad row and nothing of the import is used.
//! Files whose names are not those of models (`tickets.ndjson.zst`) are left alone if they begin with a small letter.

mod changes;
mod directory;
mod fault;
mod lines;
mod row;
mod spool;

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use storebox_proto::estate::channel::{CHANNEL_SERVICE, HOOK};
use storebox_proto::feed::registry::MODEL_OF_MODELS;
use storebox_proto::feed::{ModelDef, Record, Registry, Scope};
use storebox_proto::ids::ModelName;
use storebox_proto::settings;

use crate::config;

pub use changes::Weeks;
pub use fault::{FAULTS_LISTED_MAX, Fault, Faults};
pub use spool::Batch;

use fault::RowFault;
use lines::Line;
use row::Row;
use spool::{Entry, ModelRows, Spool};

/// What some programs put before the first line of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What one import may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Content of one file, decompressed.
    pub bytes_max: u64,
    /// Records of one model, or changes.
    pub records_max: usize,
    /// Whether a text is a script; why not, if it is none.
    pub script: fn(&str) -> Result<(), String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 8 << 30, records_max: 5_000_000, script: |_| Ok(()) }
    }
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Rows are wrong; the faults name them.
    #[error("nothing was imported: {0}")]
    Refused(Faults),
    /// There is nothing to import.
    #[error("{path} holds no file of a model")]
    Nothing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The import cannot be read.
    #[error("read {path}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no room for the rows that wait for the end of the check.
    #[error("keep the rows of the import")]
    Spool(#[source] io::Error),
}

/// A checked import, and the registry with the models that it defines itself.
#[derive(Debug)]
pub struct Import {
    /// The rows.
    pub batch: Batch,
    /// Every model, those of the import included.
    pub registry: Registry,
    /// Files that were left alone.
    pub ignored: Vec<String>,
    /// Rows that said again what another row had said.
    pub repeated: u64,
}

/// Reads imports; `spool_dir` must exist and have room for the decompressed rows.
#[derive(Debug, Clone)]
pub struct Importer {
    registry: Registry,
    limits: Limits,
    spool_dir: PathBuf,
}

impl Importer {
    /// An importer for these models.
    pub fn new(registry: Registry, limits: Limits, spool_dir: &Path) -> Self {
        Self { registry, limits, spool_dir: spool_dir.to_owned() }
    }

    /// Reads a directory of whole models.
    pub fn directory(&self, dir: &Path) -> Result<Import, ImportError> {
        let mut reading = self.begin()?;
        let ignored = directory::read(&mut reading, dir)?;
        reading.finish(ignored)
    }

    /// Reads one whole model from a stream of NDJSON.
    pub fn model(&self, model: &ModelName, source: impl BufRead) -> Result<Import, ImportError> {
        let mut reading = self.begin()?;
        let mut source = io::BufReader::new(lines::Bounded::new(source, self.limits.bytes_max));
        let rows = reading.ndjson(model, "body", &mut source)?;
        reading.whole(model, "body", rows)?;
        reading.finish(Vec::new())
    }

    /// Reads changes from a file, or from `changes.ndjson[.zst]` in a directory.
    pub fn changes_file(&self, path: &Path, weeks: Weeks) -> Result<Import, ImportError> {
        let mut reading = self.begin()?;
        changes::read_file(&mut reading, path, weeks)?;
        reading.finish(Vec::new())
    }

    /// Reads changes from a stream.
    pub fn changes(&self, source: impl BufRead, weeks: Weeks) -> Result<Import, ImportError> {
        let mut reading = self.begin()?;
        let mut source = io::BufReader::new(lines::Bounded::new(source, self.limits.bytes_max));
        changes::read(&mut reading, "body", &mut source, weeks)?;
        reading.finish(Vec::new())
    }

    fn begin(&self) -> Result<Reading, ImportError> {
        Ok(Reading {
            registry: self.registry.clone(),
            limits: self.limits,
            spool: Spool::new(&self.spool_dir).map_err(ImportError::Spool)?,
            faults: Faults::default(),
            models: BTreeMap::new(),
            repeated: 0,
        })
    }
}

/// An import that is being read.
struct Reading {
    registry: Registry,
    limits: Limits,
    spool: Spool,
    faults: Faults,
    models: BTreeMap<ModelName, ModelRows>,
    repeated: u64,
}

impl Reading {
    fn finish(self, ignored: Vec<String>) -> Result<Import, ImportError> {
        if !self.faults.is_empty() {
            return Err(ImportError::Refused(self.faults));
        }
        let batch = self.spool.finish(self.models).map_err(ImportError::Spool)?;
        Ok(Import { batch, registry: self.registry, ignored, repeated: self.repeated })
    }

    fn fault(&mut self, file: &str, line: Option<u64>, what: impl Into<String>) {
        self.faults.add(Fault { file: file.to_owned(), line, field: None, what: what.into() });
    }

    /// The definition of a model that may be imported.
    fn central(&self, model: &str) -> Result<ModelDef, RowFault> {
        let name: Option<ModelName> = model.parse().ok();
        let Some(def) = name.and_then(|name| self.registry.get(&name)) else {
            return Err(RowFault::field(
                "model",
                format!("{:?} is not registered", fault::quote(model)),
            ));
        };
        match def.scope {
            Scope::Central => Ok(def.clone()),
            Scope::Local => {
                let what = format!("{model} is born in the shops and cannot be imported");
                Err(RowFault::field("model", what))
            }
        }
    }

    /// A record of a model, checked in everything that it says, its script included.
    fn row(&self, def: &ModelDef, fields: Map<String, Value>) -> Result<Row, RowFault> {
        if let Some(Value::String(source)) = fields.get("script")
            && [HOOK, CHANNEL_SERVICE].contains(&def.name.as_str())
        {
            (self.limits.script)(source).map_err(|why| RowFault::field("script", why))?;
        }
        if def.name.as_str() == settings::MODEL
            && let Some(values) = fields.get("values").cloned()
            && let Ok(values) = serde_json::from_value(values)
        {
            let refuse =
                |unfit: config::Unfit| RowFault::field(&format!("values.{}", unfit.key), unfit.why);
            config::check_remote(&values).map_err(refuse)?;
        }
        row::record(def, fields)
    }

    /// Reads the lines of one model; faults are noted, good rows kept.
    fn ndjson(
        &mut self,
        model: &ModelName,
        file: &str,
        source: &mut impl BufRead,
    ) -> Result<Vec<Entry>, ImportError> {
        let def = match self.central(model.as_str()) {
            Ok(def) => def,
            Err(fault) => {
                self.fault(file, None, fault.what);
                return Ok(Vec::new());
            }
        };
        let mut rows = Vec::new();
        self.each_line(file, source, |reading, line, number| {
            match row::object(line).and_then(|fields| reading.row(&def, fields)) {
                Ok(row) => {
                    if Self::is_model_of_models(model) {
                        reading.define(file, number, &row);
                    }
                    rows.push(reading.keep(row, number)?);
                }
                Err(fault) => reading.faults.add(fault.at(file, number)),
            }
            Ok(rows.len())
        })?;
        Ok(rows)
    }

    /// Shows every line that is not blank, until the import has as many rows as it may.
    fn each_line(
        &mut self,
        file: &str,
        source: &mut impl BufRead,
        mut take: impl FnMut(&mut Self, &[u8], u64) -> Result<usize, ImportError>,
    ) -> Result<(), ImportError> {
        let mut line = Vec::new();
        for number in 1.. {
            let next = match lines::next_line(source, &mut line) {
                Ok(next) => next,
                Err(error) => {
                    self.fault(file, Some(number), format!("cannot be read: {error}"));
                    return Ok(());
                }
            };
            match next {
                Line::End => return Ok(()),
                Line::Long => {
                    let what = format!("line is longer than {} bytes", lines::LINE_BYTES_MAX);
                    self.fault(file, Some(number), what);
                }
                Line::Whole if line.iter().all(u8::is_ascii_whitespace) => {}
                Line::Whole => {
                    let text = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line);
                    if take(self, text, number)? > self.limits.records_max {
                        let what = format!("more than {} rows", self.limits.records_max);
                        self.fault(file, Some(number), what);
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, row: Row, line: u64) -> Result<Entry, ImportError> {
        self.spool.push(row, line).map_err(ImportError::Spool)
    }

    /// Takes the rows of a whole model; an id that occurs twice is a fault unless both rows say the same.
    fn whole(
        &mut self,
        model: &ModelName,
        file: &str,
        mut rows: Vec<Entry>,
    ) -> Result<(), ImportError> {
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        let count = rows.len();
        let mut kept: Vec<Entry> = Vec::with_capacity(count);
        for row in rows {
            match kept.last().filter(|last| last.id == row.id) {
                None => kept.push(row),
                Some(last) if self.spool.same(last, &row).map_err(ImportError::Spool)? => {}
                Some(last) => {
                    let what = format!("{} is there already, in line {}", row.id, last.line);
                    self.faults.add(RowFault::field("id", what).at(file, row.line));
                }
            }
        }
        self.repeated += (count - kept.len()) as u64;
        self.models.insert(model.clone(), ModelRows { rows: kept, whole: true });
        Ok(())
    }

    /// Adds the models that records of `Model` define, so that the rest of the import may use them.
    fn define(&mut self, file: &str, line: u64, row: &Row) {
        let Some(body) = &row.body else { return };
        let record = Record { id: row.id.clone(), body: body.clone() };
        let added = ModelDef::from_record(&record).and_then(|def| self.registry.add(def));
        if let Err(refused) = added {
            self.faults.add(RowFault::row(refused.to_string()).at(file, line));
        }
    }

    fn is_model_of_models(model: &ModelName) -> bool {
        model.as_str() == MODEL_OF_MODELS
    }
}

#[cfg(test)]
mod tests;
