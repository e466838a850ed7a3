//! What happened at the door, for people: who opened it, who came in, who was refused and why. Never a secret.
//!
//! A file of lines that is turned over when it is full, so its size is bounded; nothing depends on it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::{Event, Refused};

use crate::files;

const FILE: &str = "audit.log";
const OLD: &str = "audit.old";
/// At this size the file is turned over.
const FILE_BYTES_MAX: u64 = 512 * 1024;
/// Lines that are shown.
const SHOWN_MAX: usize = 500;

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Line {
    /// When.
    pub at: String,
    /// `opened`, `asked`, `enrolled`, `refused`, `ended`, `closed`, `denied`, `renewed`, `struck`.
    pub act: String,
    /// `slip`, `code` or `request`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub way: String,
    /// The member that it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub member: String,
    /// The first digits of its key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Who let it in or closed the door.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Where it came from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Why it was refused.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl Line {
    /// A line about an act of a person.
    pub fn act(act: &str, by: &str, at: Timestamp) -> Self {
        let (act, by) = (act.to_owned(), by.to_owned());
        Self { at: at.to_string(), act, by, ..Self::default() }
    }

    /// The line of an event; nothing for what would only fill the file.
    pub(super) fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Refused { why: Refused::TooOften, .. } => return None,
            Event::Opened { way, by, until, at } => Self {
                way: way.as_str().to_owned(),
                why: format!("until {until}"),
                ..Self::act("opened", by, *at)
            },
            Event::Approved { way, kind, name, key, by, address, at } => Self {
                way: way.as_str().to_owned(),
                member: format!("{} {name}", kind.as_str()),
                key: key.short(),
                address: address.to_string(),
                ..Self::act("enrolled", by, *at)
            },
            Event::Refused { way, why, address, at } => Self {
                way: way.as_str().to_owned(),
                address: address.to_string(),
                why: why.to_string(),
                ..Self::act("refused", "", *at)
            },
            Event::Ended { way, why, at } => Self {
                way: way.as_str().to_owned(),
                why: why.as_str().to_owned(),
                ..Self::act("ended", "", *at)
            },
            Event::Asked { kind, name, address, at } => Self {
                way: "request".to_owned(),
                member: format!("{} {name}", kind.as_str()),
                address: address.to_string(),
                ..Self::act("asked", "", *at)
            },
        })
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Audit {
    folder: PathBuf,
    writing: Mutex<()>,
}

impl Audit {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, writing: Mutex::new(()) }
    }

    /// Adds a line; a disk that takes none is a warning, because nobody may be locked out over it.
    pub(super) fn add(&self, line: &Line) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.append(line) {
            tracing::warn!(%error, "the audit of enrolment cannot be written");
        }
    }

    fn append(&self, line: &Line) -> io::Result<()> {
        let path = self.folder.join(FILE);
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() > FILE_BYTES_MAX) {
            std::fs::rename(&path, self.folder.join(OLD))?;
        }
        let mut options = OpenOptions::new();
        let mut file: File = options.create(true).append(true).mode(files::PRIVATE).open(&path)?;
        let mut text = serde_json::to_vec(line).expect("texts are JSON");
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_data()
    }

    /// The newest lines, newest first.
    pub(super) fn newest(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for file in [FILE, OLD] {
            let Ok(text) = std::fs::read_to_string(self.folder.join(file)) else { continue };
            lines.extend(text.lines().rev().filter_map(|line| serde_json::from_str(line).ok()));
        }
        lines.truncate(SHOWN_MAX);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_come_first_and_the_file_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::new(dir.path().to_owned());
        let at = Timestamp::from_unix_ms(1);
        audit.add(&Line::act("opened", "manager", at));
        std::fs::write(dir.path().join(OLD), "damaged\n").unwrap();
        audit.add(&Line::act("closed", "manager", at));
        let acts: Vec<_> = audit.newest().into_iter().map(|line| line.act).collect();
        assert_eq!(acts, ["closed", "opened"]);
        std::fs::write(dir.path().join(FILE), vec![b'\n'; 600 * 1024]).unwrap();
        audit.add(&Line::act("opened", "", at));
        assert!(std::fs::metadata(dir.path().join(FILE)).unwrap().len() < 1024);
    }
}
