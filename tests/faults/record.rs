//! The record of every change that a process has made to its files, as `shim.c` writes it.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, ensure};

const HEAD_BYTES: usize = 32;

/// One change; paths begin with a slash at the root of what is recorded.
#[derive(Debug)]
pub(crate) enum Change {
    /// A file was created, emptied, or opened to be.
    Open {
        path: String,
        file: u64,
        emptied: bool,
    },
    Write {
        file: u64,
        offset: u64,
        bytes: Range<usize>,
    },
    Length {
        file: u64,
        bytes: u64,
    },
    /// A file or a folder was made durable.
    Sync {
        file: u64,
        folder: bool,
    },
    /// The whole file system was.
    SyncAll,
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    MakeDir {
        path: String,
    },
    Link {
        from: String,
        to: String,
    },
}

/// Everything that happened, in order.
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    pub(crate) changes: Vec<Change>,
    /// Where each change ends in the bytes: what is known of the process's words is measured in these.
    pub(crate) ends: Vec<usize>,
}

impl Record {
    /// Reads all whole changes; the last may have been cut off with the process.
    pub(crate) fn read(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let (mut changes, mut ends, mut at) = (Vec::new(), Vec::new(), 0);
        while let Some((change, end)) = one(&bytes, at)? {
            changes.push(change);
            ends.push(end);
            at = end;
        }
        ensure!(!changes.is_empty(), "nothing was recorded");
        Ok(Self { bytes, changes, ends })
    }

    /// The path that each change is about, by the name that the file had when it was opened.
    pub(crate) fn paths(&self) -> Vec<Option<&str>> {
        let mut names = BTreeMap::new();
        let path = |change| match change {
            &Change::Open { ref path, file, .. } => {
                names.insert(file, path.as_str());
                Some(path.as_str())
            }
            Change::Write { file, .. }
            | Change::Length { file, .. }
            | Change::Sync { file, .. } => names.get(file).copied(),
            Change::Rename { to, .. } => Some(to.as_str()),
            Change::Remove { .. }
            | Change::MakeDir { .. }
            | Change::Link { .. }
            | Change::SyncAll => None,
        };
        self.changes.iter().map(path).collect()
    }

    /// How many changes had happened when the record was so long.
    pub(crate) fn count_at(&self, length: usize) -> usize {
        self.ends.partition_point(|end| *end <= length)
    }
}

fn one(bytes: &[u8], at: usize) -> anyhow::Result<Option<(Change, usize)>> {
    let Some(head) = bytes.get(at..at + HEAD_BYTES) else { return Ok(None) };
    let number = |range: Range<usize>| {
        let mut eight = [0; 8];
        eight[..range.len()].copy_from_slice(&head[range]);
        u64::from_le_bytes(eight)
    };
    let (path_bytes, file) = (usize::try_from(number(4..8))?, number(8..16));
    let (offset, data_bytes) = (number(16..24), usize::try_from(number(24..32))?);
    let path = at + HEAD_BYTES..at + HEAD_BYTES + path_bytes;
    let data = path.end..path.end + data_bytes;
    let end = data.end;
    if end > bytes.len() {
        return Ok(None);
    }
    let text = |range: Range<usize>| String::from_utf8_lossy(&bytes[range]).into_owned();
    let change = match head[0] {
        1 => Change::Open { path: text(path), file, emptied: offset == 1 },
        2 => Change::Write { file, offset, bytes: data },
        3 => Change::Length { file, bytes: offset },
        4 => Change::Sync { file, folder: head[1] == 1 },
        5 => Change::SyncAll,
        6 => Change::Rename { from: text(path), to: text(data) },
        7 => Change::Remove { path: text(path) },
        8 => Change::MakeDir { path: text(path) },
        9 => Change::Link { from: text(path), to: text(data) },
        other => return Err(anyhow::anyhow!("{other} is no change")).context("read the record"),
    };
    Ok(Some((change, end)))
}
