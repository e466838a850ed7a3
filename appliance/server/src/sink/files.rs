//! Settled transactions as lines of files, for systems that read folders.
//!
//! A file is written to under a name that ends in `.part` and gets its name when it is finished, so whoever reads
//! `*.ndjson` never reads half a file, and may move or delete what it has read.
//! The open file itself says what is in it: after a crash a torn line is cut off and what is there is not written
//! again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storebox_proto::ids::NodeId;
use storebox_proto::ticket::Envelope;
use storebox_proto::time::Timestamp;

use super::rotation::{OPEN, Rotation, finished_name, first_of, open_name};
use super::target::TargetError;
use crate::blocking::beside;
use crate::config::Deliver;
use crate::env;
use crate::uplink::LedgerEntry;

/// A folder of lines.
pub struct Files {
    writer: Arc<Mutex<Writer>>,
}

struct Writer {
    dir: PathBuf,
    rotation: Rotation,
    open: Option<OpenFile>,
    /// The last position that is in a file; nothing before the folder was looked at.
    known: Option<u64>,
}

struct OpenFile {
    file: File,
    path: PathBuf,
    bytes: u64,
    begun: Timestamp,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    at: Timestamp,
    node: &'a NodeId,
    envelope: &'a Envelope,
}

impl Files {
    pub(super) fn new(deliver: &Deliver) -> Self {
        let age = Duration::from_secs(60 * deliver.rotate_minutes);
        let rotation = Rotation { bytes: deliver.rotate_bytes, age };
        let dir = PathBuf::from(&deliver.url);
        Self { writer: Arc::new(Mutex::new(Writer { dir, rotation, open: None, known: None })) }
    }

    /// One batch after the other, even where an earlier one hangs in the disk and nobody waits for it any more.
    pub(super) async fn deliver(&mut self, batch: Arc<[LedgerEntry]>) -> Result<(), TargetError> {
        let writer = Arc::clone(&self.writer);
        let work = beside(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            let written = writer.append(&batch, env::timestamp());
            if written.is_err() {
                (writer.open, writer.known) = (None, None);
            }
            written.map_err(|error| {
                TargetError::Unavailable(format!("{}: {error}", writer.dir.display()))
            })
        });
        work.await
    }
}

impl Writer {
    fn append(&mut self, batch: &[LedgerEntry], now: Timestamp) -> io::Result<()> {
        let known = match self.known {
            Some(known) => known,
            None => {
                fs::create_dir_all(&self.dir)?;
                let (open, known) = find(&self.dir)?;
                self.open = open;
                *self.known.insert(known)
            }
        };
        let fresh: Vec<_> = batch.iter().filter(|entry| entry.position > known).collect();
        let (Some(first), Some(last)) = (fresh.first(), fresh.last()) else { return Ok(()) };
        let rotation = self.rotation;
        let due = |open: &OpenFile| rotation.is_due(open.bytes, open.begun, now);
        if let Some(open) = self.open.take_if(|open| due(open)) {
            fs::rename(&open.path, finished_name(&open.path))?;
            File::open(&self.dir)?.sync_all()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(begin(&self.dir, first.position, now)?),
        };
        let mut bytes = Vec::new();
        for entry in &fresh {
            let LedgerEntry { position, at, node, envelope, .. } = entry;
            let line = Line { position: *position, at: *at, node, envelope };
            serde_json::to_writer(&mut bytes, &line)?;
            bytes.push(b'\n');
        }
        open.file.write_all(&bytes)?;
        open.file.sync_data()?;
        open.bytes += bytes.len() as u64;
        self.known = Some(last.position);
        Ok(())
    }
}

fn begin(dir: &Path, first: u64, now: Timestamp) -> io::Result<OpenFile> {
    let path = open_name(dir, first);
    let file = OpenOptions::new().create(true).append(true).open(&path)?;
    File::open(dir)?.sync_all()?;
    Ok(OpenFile { file, path, bytes: 0, begun: now })
}

/// The file that is written to, with a torn line cut off, and the last position that is in a file.
fn find(dir: &Path) -> io::Result<(Option<OpenFile>, u64)> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Some(first) = first_of(&entry.file_name().to_string_lossy()) else { continue };
        if newest.as_ref().is_none_or(|(known, _)| first > *known) {
            newest = Some((first, entry.path()));
        }
    }
    let Some((first, path)) = newest else { return Ok((None, 0)) };
    let (whole, last) = whole_lines(&path)?;
    let last = last.unwrap_or(first.saturating_sub(1));
    if !path.to_string_lossy().ends_with(OPEN) {
        return Ok((None, last));
    }
    let file = OpenOptions::new().append(true).open(&path)?;
    file.set_len(whole)?;
    file.sync_all()?;
    let modified = fs::metadata(&path)?.modified()?;
    let begun = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let begun = Timestamp::from_unix_ms(i64::try_from(begun.as_millis()).unwrap_or(i64::MAX));
    Ok((Some(OpenFile { file, path, bytes: whole, begun }), last))
}

/// How many bytes are whole lines, and the position in the last of them.
fn whole_lines(path: &Path) -> io::Result<(u64, Option<u64>)> {
    #[derive(Deserialize)]
    struct Position {
        position: u64,
    }
    let mut reader = BufReader::new(File::open(path)?);
    let (mut whole, mut last, mut line) = (0, None, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok((whole, last));
        }
        let Ok(Position { position }) = serde_json::from_slice(&line) else {
            return Ok((whole, last));
        };
        (whole, last) = (whole + read as u64, Some(position));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(position: u64) -> LedgerEntry {
        let key = format!("0192d3a4-5b6c-7000-8000-{position:012x}");
        let envelope: Envelope = serde_json::from_value(json!({
            "key": key, "kind": "Order", "terminal": "till-1", "epoch": 1, "sequence": position,
            "lane": "ticket:1", "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
            "payload": {"gross": "1.00"}
        }))
        .unwrap();
        let (at, node) = (Timestamp::from_unix_ms(0), "store-1".parse().unwrap());
        LedgerEntry { key: envelope.key, position, at, node, envelope }
    }

    fn writer(dir: &Path, bytes: u64) -> Writer {
        let rotation = Rotation { bytes, age: Duration::from_secs(1 << 40) };
        Writer { dir: dir.to_owned(), rotation, open: None, known: None }
    }

    fn write(writer: &mut Writer, entries: &[LedgerEntry]) {
        writer.append(entries, Timestamp::from_unix_ms(0)).unwrap();
    }

    fn positions(dir: &Path) -> Vec<u64> {
        let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
        let lines: Vec<String> =
            texts.flat_map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let value = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
        lines.iter().map(|line| value(line)["position"].as_u64().unwrap()).collect()
    }

    #[test]
    fn what_is_delivered_again_after_a_crash_is_written_once() {
        let dir = tempfile::tempdir().unwrap();
        write(&mut writer(dir.path(), 1 << 20), &[entry(1), entry(2), entry(3)]);
        let path = open_name(dir.path(), 1);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"position\":4,\"at\":").unwrap();
        let again = [entry(2), entry(3), entry(4), entry(5)];
        write(&mut writer(dir.path(), 1 << 20), &again);
        assert_eq!(positions(dir.path()), [1, 2, 3, 4, 5]);
        fs::rename(&path, finished_name(&path)).unwrap();
        write(&mut writer(dir.path(), 1 << 20), &[entry(5), entry(6)]);
        assert_eq!(positions(dir.path()), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_full_file_gets_its_name_and_another_one_begins() {
        let dir = tempfile::tempdir().unwrap();
        let mut target = writer(dir.path(), 600);
        for position in 1..=9 {
            write(&mut target, &[entry(position)]);
        }
        assert_eq!(positions(dir.path()), (1..=9).collect::<Vec<_>>());
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        let open = names.iter().filter(|name| name.to_string_lossy().ends_with(OPEN)).count();
        assert_eq!(open, 1, "{names:?}");
        assert!(names.len() >= 3, "{names:?}");
    }
}
