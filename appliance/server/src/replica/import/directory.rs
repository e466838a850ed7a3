//! A directory with one file per model.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use storebox_proto::feed::registry::MODEL_OF_MODELS;
use storebox_proto::ids::ModelName;

use super::fault::RowFault;
use super::lines;
use super::spool::Entry;
use super::{ImportError, Reading};

/// Reads every file of a model and returns the names of those that were left alone.
pub(super) fn read(reading: &mut Reading, dir: &Path) -> Result<Vec<String>, ImportError> {
    let (files, ignored) = files(reading, dir)?;
    if files.is_empty() && reading.faults.is_empty() {
        return Err(ImportError::Nothing { path: dir.to_owned() });
    }
    for (model, path) in files {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes_max = reading.limits.bytes_max;
        let mut source = lines::open(&path, bytes_max)
            .map_err(|source| ImportError::Read { path: path.clone(), source })?;
        let rows = if path.extension().is_some_and(|ext| ext == "csv") {
            csv(reading, &model, &file, &mut source)?
        } else {
            reading.ndjson(&model, &file, &mut source)?
        };
        reading.whole(&model, &file, rows)?;
    }
    Ok(ignored)
}

type Files = (Vec<(ModelName, PathBuf)>, Vec<String>);

/// The files of models, that of `Model` first: it says what the others may be.
fn files(reading: &mut Reading, dir: &Path) -> Result<Files, ImportError> {
    let refuse = |source| ImportError::Read { path: dir.to_owned(), source };
    let mut found: BTreeMap<ModelName, PathBuf> = BTreeMap::new();
    let mut ignored = Vec::new();
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(refuse)? {
        paths.push(entry.map_err(refuse)?.path());
    }
    paths.sort();
    for path in paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = ["ndjson.zst", "ndjson", "csv"]
            .iter()
            .find_map(|ext| file.strip_suffix(ext)?.strip_suffix('.'));
        let model = stem.and_then(|stem| stem.parse::<ModelName>().ok());
        let Some(model) = model.filter(|_| is_model(reading, stem.unwrap_or_default())) else {
            ignored.push(file);
            continue;
        };
        if let Some(other) = found.get(&model) {
            let other = other.file_name().unwrap_or_default().to_string_lossy();
            reading.fault(&file, None, format!("is a second file of {model} beside {other}"));
            continue;
        }
        found.insert(model, path);
    }
    let mut files: Vec<_> = found.into_iter().collect();
    files.sort_by_key(|(model, _)| model.as_str() != MODEL_OF_MODELS);
    Ok((files, ignored))
}

/// A capital letter makes it a model, registered or not: an unknown one is better named than skipped.
fn is_model(reading: &Reading, stem: &str) -> bool {
    let registered = stem.parse().is_ok_and(|name| reading.registry.get(&name).is_some());
    registered || stem.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Reads a table: the first line names the fields, an empty cell is an absent field, every value is a string.
fn csv(
    reading: &mut Reading,
    model: &ModelName,
    file: &str,
    source: &mut impl std::io::BufRead,
) -> Result<Vec<Entry>, ImportError> {
    let def = match reading.central(model.as_str()) {
        Ok(def) => def,
        Err(fault) => {
            reading.fault(file, None, fault.what);
            return Ok(Vec::new());
        }
    };
    let mut rows = Vec::new();
    let mut fields: Option<Vec<String>> = None;
    // One line at a time keeps memory bounded; so a quoted cell cannot hold a line break.
    reading.each_line(file, source, |reading, line, number| {
        let cells = match cells(line) {
            Ok(cells) => cells,
            Err(fault) => {
                reading.faults.add(fault.at(file, number));
                return Ok(rows.len());
            }
        };
        let Some(names) = &fields else {
            if let Err(fault) = check_names(&cells) {
                reading.faults.add(fault.at(file, number));
            }
            fields = Some(cells);
            return Ok(rows.len());
        };
        match object(names, cells).and_then(|object| reading.row(&def, object)) {
            Ok(row) => {
                if Reading::is_model_of_models(model) {
                    reading.define(file, number, &row);
                }
                rows.push(reading.keep(row, number)?);
            }
            Err(fault) => reading.faults.add(fault.at(file, number)),
        }
        Ok(rows.len())
    })?;
    if fields.is_none() {
        reading.fault(file, None, "the first line must name the fields");
    }
    Ok(rows)
}

fn cells(line: &[u8]) -> Result<Vec<String>, RowFault> {
    let quotes = line.iter().filter(|byte| **byte == b'"').count();
    if quotes % 2 == 1 {
        return Err(RowFault::row("a quoted cell is not closed in its line"));
    }
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line);
    let mut record = ::csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|error| RowFault::row(error.to_string()))?;
    Ok(record.iter().map(str::to_owned).collect())
}

fn check_names(names: &[String]) -> Result<(), RowFault> {
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(RowFault::row(format!("column {} has no name", at + 1)));
        }
        if names[..at].contains(name) {
            return Err(RowFault::field(name, "is named twice"));
        }
    }
    if names.iter().any(|name| name == "id") {
        Ok(())
    } else {
        Err(RowFault::field("id", "is not among the columns"))
    }
}

fn object(names: &[String], cells: Vec<String>) -> Result<Map<String, Value>, RowFault> {
    if cells.len() != names.len() {
        let what = format!("{} cells where the first line names {}", cells.len(), names.len());
        return Err(RowFault::row(what));
    }
    let mut fields = Map::new();
    for (name, cell) in names.iter().zip(cells) {
        let value = match (name.as_str(), cell.as_str()) {
            (_, "") => continue,
            ("active", "true" | "Y" | "1") => Value::Bool(true),
            ("active", "false" | "N" | "0") => Value::Bool(false),
            _ => Value::String(cell),
        };
        fields.insert(name.clone(), value);
    }
    Ok(fields)
}
