//! Who logged in where and who failed to, for a person who asks later.
//!
//! The last entries are in memory, all of late in a file that is begun anew when it is full; one older file is kept.
//! A file that cannot be written is said in the log and stops nobody from working.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use storebox_proto::time::Timestamp;

use crate::files;

/// Its name within the data directory.
const FILE: &str = "logins.jsonl";
/// A file is begun anew beyond this.
const FILE_BYTES_MAX: u64 = 512 * 1024;
/// Entries in memory.
const SHOWN_MAX: usize = 500;
/// A name as typed, cut.
const NAME_CHARS_MAX: usize = 64;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Logged in.
    In,
    /// Logged out.
    Out,
    /// Wrong name or password, or not allowed here.
    Refused,
    /// Not judged: too many wrong passwords before.
    Locked,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who, as typed.
    pub user: String,
    /// At which till.
    pub till: String,
    /// What.
    pub what: What,
}

/// All entries; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Audit {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    shown: VecDeque<Entry>,
}

impl Audit {
    /// The audit of the box in this directory.
    pub(super) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        // A line that was cut by a power failure is no entry.
        let entries = old.lines().filter_map(|line| serde_json::from_str(line).ok());
        let mut shown: VecDeque<Entry> = entries.collect();
        shown.drain(..shown.len().saturating_sub(SHOWN_MAX));
        Self { inner: Arc::new(Mutex::new(Inner { path, shown })) }
    }

    /// Writes an entry down; blocks for as long as the disk takes.
    pub(super) fn note(&self, at: Timestamp, user: &str, till: &str, what: What) {
        let user = user.chars().take(NAME_CHARS_MAX).collect();
        let entry = Entry { at, user, till: till.to_owned(), what };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = append(&inner.path, &entry) {
            tracing::error!(%error, "a login could not be written down");
        }
        if inner.shown.len() >= SHOWN_MAX {
            inner.shown.pop_front();
        }
        inner.shown.push_back(entry);
    }

    /// The last entries, newest first.
    pub(super) fn newest(&self) -> Vec<Entry> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.shown.iter().rev().cloned().collect()
    }
}

fn append(path: &Path, entry: &Entry) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|known| known.len() >= FILE_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("jsonl.old"))?;
    }
    let mut line = serde_json::to_vec(entry).expect("names and times are JSON");
    line.push(b'\n');
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(files::PRIVATE).open(path)?;
    file.write_all(&line)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_a_restart_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(dir.path());
        for number in 0..SHOWN_MAX + 10 {
            let at = Timestamp::from_unix_ms(i64::try_from(number).unwrap());
            audit.note(at, &"x".repeat(1000), "till-1", What::Refused);
        }
        let again = Audit::open(dir.path());
        assert_eq!(again.newest(), audit.newest());
        assert_eq!(again.newest().len(), SHOWN_MAX);
        assert_eq!(again.newest()[0].user.len(), NAME_CHARS_MAX);
        std::fs::write(dir.path().join(FILE), vec![b'\n'; 600_000]).unwrap();
        again.note(Timestamp::from_unix_ms(1), "ann", "till-1", What::In);
        let size = std::fs::metadata(dir.path().join(FILE)).unwrap().len();
        assert!(size < 200, "begun anew: {size}");
    }
}
