//! Who let head office look and what it looked at, in a small file.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use storebox_proto::visit::Entry;

use crate::files;

/// Its name within the data directory.
pub const FILE: &str = "visits.json";
/// Older lines go.
const ENTRIES_MAX: usize = 500;

/// The audit, the oldest line first.
#[derive(Debug)]
pub(super) struct Audit {
    path: PathBuf,
    entries: VecDeque<Entry>,
}

impl Audit {
    /// The audit of a data directory; one that cannot be read is begun anew, which the log says.
    pub(super) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let entries = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "the audit of earlier visits is lost");
                VecDeque::new()
            }),
            Err(_) => VecDeque::new(),
        };
        Self { path, entries }
    }

    /// Writes lines down; where that fails, nothing has changed.
    pub(super) fn write(&mut self, news: Vec<Entry>) -> io::Result<()> {
        if news.is_empty() {
            return Ok(());
        }
        let mut entries = self.entries.clone();
        entries.extend(news);
        entries.drain(..entries.len().saturating_sub(ENTRIES_MAX));
        let bytes = serde_json::to_vec(&entries).expect("names and times are JSON");
        files::replace(&self.path, &bytes, files::PRIVATE)?;
        self.entries = entries;
        Ok(())
    }

    /// All lines, the newest first.
    pub(super) fn newest(&self) -> Vec<Entry> {
        self.entries.iter().rev().cloned().collect()
    }
}
