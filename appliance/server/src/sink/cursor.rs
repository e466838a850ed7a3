//! What a sink keeps on the disk: how far it is, and what it had to pass over.

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::aside;
use crate::env;
use crate::files::{self, PRIVATE};
use crate::uplink::{LedgerCursor, LedgerEntry};

/// The files of one sink.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    cursor: PathBuf,
    aside: PathBuf,
}

/// What is on the disk.
pub(super) struct Kept {
    pub(super) cursor: LedgerCursor,
    /// Transactions that were set aside so far.
    pub(super) aside: u64,
    /// Why everything is delivered again, if it is.
    pub(super) lost: Option<String>,
}

impl Shelf {
    pub(super) fn open(dir: &Path, id: &str) -> io::Result<(Self, Kept)> {
        std::fs::create_dir_all(dir)?;
        let shelf =
            Self { cursor: dir.join(format!("{id}.cursor.json")), aside: aside::path(dir, id) };
        let (cursor, lost) = match std::fs::read(&shelf.cursor) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(cursor) => (cursor, None),
                Err(error) => (LedgerCursor::default(), Some(error.to_string())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (LedgerCursor::default(), None)
            }
            Err(error) => return Err(error),
        };
        let aside = match std::fs::read(&shelf.aside) {
            Ok(bytes) => bytes.split_inclusive(|byte| *byte == b'\n').map(aside::count).sum(),
            Err(_) => 0,
        };
        Ok((shelf, Kept { cursor, aside, lost }))
    }

    /// The cursor, durable when this returns.
    pub(super) fn keep(&self, cursor: &LedgerCursor) -> io::Result<()> {
        let bytes = serde_json::to_vec(cursor).expect("plain numbers");
        files::replace(&self.cursor, &bytes, PRIVATE)
    }

    /// Writes down what the target refused, durable when this returns; the ledger has its content.
    pub(super) fn set_aside(&self, entry: &LedgerEntry, why: &str) -> io::Result<()> {
        self.add(&json!({
            "position": entry.position,
            "key": entry.key,
            "kind": entry.envelope.kind,
            "node": entry.node,
            "at": env::timestamp(),
            "why": why,
        }))
    }

    /// Writes down which positions the ledger could not give, durable when this returns.
    pub(super) fn set_aside_unread(
        &self,
        positions: &RangeInclusive<u64>,
        why: &str,
    ) -> io::Result<()> {
        let (position, to) = (positions.start(), positions.end());
        self.add(&json!({ "position": position, "to": to, "at": env::timestamp(), "why": why }))
    }

    fn add(&self, line: &Value) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.aside)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Spot;

    #[test]
    fn a_cursor_is_kept_and_a_damaged_one_begins_anew_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (shelf, kept) = Shelf::open(dir.path(), "erp").unwrap();
        assert_eq!((kept.cursor, kept.aside), (LedgerCursor::default(), 0));
        let cursor = LedgerCursor { position: 7, spot: Spot { segment: 2, offset: 99 } };
        shelf.keep(&cursor).unwrap();
        let (_, kept) = Shelf::open(dir.path(), "erp").unwrap();
        assert_eq!(kept.cursor, cursor);
        std::fs::write(dir.path().join("erp.cursor.json"), b"{\"pos").unwrap();
        let (_, kept) = Shelf::open(dir.path(), "erp").unwrap();
        assert_eq!(kept.cursor, LedgerCursor::default());
        assert!(kept.lost.is_some());
    }
}
