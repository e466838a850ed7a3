//! The request log on disk: lines of JSON in files that are cut by size and let go by size and age.
//!
//! A call never waits for it: entries go through a bounded queue, and what does not fit is counted and said.
//! A crash loses the entries of the last moment; no money stands on them.
//! Fields that hold secrets are masked before anything is written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{LogEntry, RequestLog};
use crate::blocking::beside;
use crate::env;
use crate::files::PRIVATE;

/// Entries that wait to be written.
const WAITING_MAX: usize = 1024;
/// Entries that are written at once.
const BATCH: usize = 128;
/// One file; the log is let go in steps of this.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// One file holds no more than a day, so that a shop that is seldom called lets its old entries go too.
const FILE_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Of a request or an answer, so much is kept.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// What a masked field shows.
const MASK: &str = "…";
/// Values within values that are looked through for secrets; what is deeper is not kept.
const DEPTH_MAX: usize = 64;

/// How much is kept, for how long, and what is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// All files together.
    pub bytes_max: u64,
    /// The age of the oldest entry.
    pub age_max: Duration,
    /// Names of fields whose content is never kept, in lower case.
    pub masked: Vec<String>,
}

/// The log; cheap to clone.
#[derive(Clone)]
pub struct CallLog {
    sender: mpsc::Sender<LogEntry>,
    missed: Arc<AtomicU64>,
    dir: Arc<Path>,
}

/// Which entries a person wants to see.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this call.
    pub correlation: Option<String>,
    /// Of this service.
    pub service: Option<String>,
    /// Of this terminal.
    pub terminal: Option<String>,
    /// Only those that were refused.
    pub refused: bool,
    /// So many at most, the newest first.
    pub count_max: usize,
}

/// Writes what the log is told.
pub struct CallWriter {
    receiver: mpsc::Receiver<LogEntry>,
    keeping: Keeping,
    shelf: Shelf,
}

impl CallLog {
    /// The log in this directory and its writer.
    pub fn open(dir: &Path, keeping: Keeping) -> io::Result<(Self, CallWriter)> {
        fs::create_dir_all(dir)?;
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let shelf = Shelf::open(dir.to_owned())?;
        let log = Self { sender, missed: Arc::default(), dir: Arc::from(dir) };
        Ok((log, CallWriter { receiver, keeping, shelf }))
    }

    /// Entries that did not fit into the queue since the start.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// What is wanted, the newest first: blocking.
    pub fn find(&self, wanted: &Wanted) -> io::Result<Vec<Value>> {
        let mut found = Vec::new();
        for path in files(&self.dir)?.into_iter().rev() {
            let lines = BufReader::new(File::open(path)?).lines();
            let mut entries = Vec::new();
            for line in lines {
                // The last line of a file may be half written.
                let Ok(entry) = serde_json::from_str::<Value>(&line?) else { continue };
                if wanted.fits(&entry) {
                    entries.push(entry);
                }
            }
            found.extend(entries.into_iter().rev());
            if found.len() >= wanted.count_max {
                break;
            }
        }
        found.truncate(wanted.count_max);
        Ok(found)
    }
}

impl Wanted {
    fn fits(&self, entry: &Value) -> bool {
        let same = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| entry[name] == **wanted)
        };
        same(&self.correlation, "correlation")
            && same(&self.service, "service")
            && same(&self.terminal, "terminal")
            && (!self.refused || !entry["problem"].is_null())
    }
}

impl RequestLog for CallLog {
    fn record(&self, entry: LogEntry) {
        super::tell(&entry);
        if self.sender.try_send(entry).is_err() {
            let missed = self.missed.fetch_add(1, Ordering::Relaxed) + 1;
            if missed.is_power_of_two() {
                tracing::warn!(missed, "the request log cannot keep up");
            }
        }
    }
}

impl CallWriter {
    /// Writes until the box stops, and what is waiting then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let came = stop.run_until_cancelled(self.receiver.recv_many(&mut batch, BATCH)).await;
            if came.is_none() {
                self.receiver.close();
                while let Ok(entry) = self.receiver.try_recv() {
                    batch.push(entry);
                }
            }
            let is_over = came.is_none_or(|count| count == 0);
            let entries = std::mem::take(&mut batch);
            self = beside(move || {
                self.write(entries);
                self
            })
            .await;
            if is_over {
                return;
            }
        }
    }

    fn write(&mut self, entries: Vec<LogEntry>) {
        let mut lines = Vec::new();
        for entry in entries {
            let line = line(entry, &self.keeping.masked);
            serde_json::to_writer(&mut lines, &line).expect("a JSON value goes into memory");
            lines.push(b'\n');
        }
        let kept = self.shelf.append(&lines).and_then(|()| self.shelf.prune(&self.keeping));
        if let Err(error) = kept {
            tracing::warn!(%error, "the request log cannot be written");
        }
    }
}

fn line(entry: LogEntry, masked: &[String]) -> Value {
    let body = |value: Value| kept(mask(value, masked, DEPTH_MAX));
    let took_us = u64::try_from(entry.took.as_micros()).unwrap_or(u64::MAX);
    let mut line = json!({
        "correlation": entry.correlation,
        "at": entry.at,
        "tookUs": took_us,
        "channel": entry.channel,
        "terminal": entry.terminal,
        "user": entry.user,
        "roles": entry.roles,
        "service": entry.service,
        "request": body(entry.request),
        "steps": entry.steps,
    });
    match entry.outcome {
        Ok(response) => line["response"] = body(response),
        Err(problem) => line["problem"] = json!(problem),
    }
    line
}

/// What a secret field holds is not kept, however deep it is.
fn mask(value: Value, masked: &[String], depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return json!(MASK) };
    match value {
        Value::Object(fields) => {
            let each = fields.into_iter().map(|(name, value)| {
                let is_masked = masked.contains(&name.to_lowercase()) && !value.is_null();
                let value = if is_masked { json!(MASK) } else { mask(value, masked, depth) };
                (name, value)
            });
            Value::Object(each.collect())
        }
        Value::Array(list) => list.into_iter().map(|value| mask(value, masked, depth)).collect(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

/// A long body is kept as its beginning.
fn kept(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= BODY_BYTES_MAX {
        return value;
    }
    let begin: String = text.chars().take(BODY_BYTES_MAX / 4).collect();
    json!({"cut": begin, "bytes": text.len()})
}

/// The files, the newest open.
struct Shelf {
    dir: PathBuf,
    number: u64,
    file: File,
    bytes: u64,
    begun: Instant,
}

impl Shelf {
    fn open(dir: PathBuf) -> io::Result<Self> {
        let last = files(&dir)?.into_iter().next_back();
        let number = last.as_deref().and_then(number_of).unwrap_or(0) + 1;
        let file = create(&dir, number)?;
        Ok(Self { dir, number, file, bytes: 0, begun: env::instant() })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX || self.begun.elapsed() > FILE_AGE_MAX {
            self.number += 1;
            self.file = create(&self.dir, self.number)?;
            (self.bytes, self.begun) = (0, env::instant());
        }
        self.file.write_all(lines)?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Lets the oldest files go that are too many or too old.
    fn prune(&self, keeping: &Keeping) -> io::Result<()> {
        let paths = files(&self.dir)?;
        let sizes: io::Result<Vec<u64>> =
            paths.iter().map(|path| Ok(fs::metadata(path)?.len())).collect();
        let sizes = sizes?;
        let mut total: u64 = sizes.iter().sum();
        let now = env::timestamp().unix_ms();
        for (path, bytes) in paths.iter().zip(sizes) {
            if number_of(path) == Some(self.number) {
                break;
            }
            let changed = fs::metadata(path)?.modified()?;
            let changed = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let age_ms = now.saturating_sub(i64::try_from(changed.as_millis()).unwrap_or(now));
            let is_old = u128::try_from(age_ms).is_ok_and(|age| age > keeping.age_max.as_millis());
            if total <= keeping.bytes_max && !is_old {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

fn create(dir: &Path, number: u64) -> io::Result<File> {
    let path = dir.join(format!("{number:010}.ndjson"));
    OpenOptions::new().create(true).append(true).mode(PRIVATE).open(path)
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(".ndjson")?.parse().ok()
}

/// The files in the order of their numbers.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if number_of(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
