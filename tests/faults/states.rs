//! The states of a disk that a power cut may leave.
//!
//! What was synced is there.
//! Of what was written to a file since, each sector or page may be there or not, or only the first writes; its new
//! length may be there or not.
//! Of changes of names since the last sync of any folder, any number of the first may be there: a journal of metadata
//! keeps their order, as ext4's does.
//! A synced file whose name was not synced may have no name: that is more than ext4 forgets.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rand::{Rng, RngExt};

use crate::record::{Change, Record};

/// How much of what was not synced survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Nothing,
    /// Each unit of so many bytes by a throw of a coin.
    Torn(u64),
    /// The first writes, the last of them torn.
    Prefix,
    Everything,
}

pub(crate) const CUTS: [Cut; 5] =
    [Cut::Nothing, Cut::Torn(512), Cut::Torn(4096), Cut::Prefix, Cut::Everything];

type Names = BTreeMap<String, Option<usize>>;

/// What is certain and what is not, at one moment.
#[derive(Default)]
pub(crate) struct Disk<'a> {
    /// By the number that the kernel gave, which it may give again.
    numbers: BTreeMap<u64, usize>,
    files: Vec<File<'a>>,
    /// Names as the process saw them last, and as they are certain; a folder has no file.
    seen: Names,
    certain: Names,
    /// Changes of names, and the file that an opening has made.
    pending: Vec<(&'a Change, Option<usize>)>,
}

#[derive(Default, Clone)]
struct File<'a> {
    certain: Vec<u8>,
    pending: Vec<&'a Change>,
}

impl<'a> Disk<'a> {
    /// The disk when so many changes had happened.
    pub(crate) fn after(record: &'a Record, count: usize) -> Self {
        Self::unless(record, count, |_| false)
    }

    /// The same if no sync of files below this path did anything: what the proof must be able to notice.
    pub(crate) fn without_syncs(record: &'a Record, count: usize, below: &str) -> Self {
        let paths = record.paths();
        Self::unless(record, count, |at| {
            let is_sync = matches!(record.changes[at], Change::Sync { folder: false, .. });
            is_sync && paths[at].is_some_and(|path| path.starts_with(below))
        })
    }

    fn unless(record: &'a Record, count: usize, is_left_out: impl Fn(usize) -> bool) -> Self {
        let mut disk = Self::default();
        for (at, change) in record.changes[..count].iter().enumerate() {
            if !is_left_out(at) {
                disk.take(record, change);
            }
        }
        disk
    }

    fn take(&mut self, record: &'a Record, change: &'a Change) {
        match change {
            Change::Open { path, file, emptied } => self.open(change, path, *file, *emptied),
            Change::Write { file, .. } | Change::Length { file, .. } => {
                if let Some(file) = self.numbers.get(file) {
                    self.files[*file].pending.push(change);
                }
            }
            Change::Sync { file, folder: false } => {
                if let Some(file) = self.numbers.get(file) {
                    self.files[*file].settle(record);
                }
            }
            Change::Sync { folder: true, .. } => self.settle_names(),
            Change::SyncAll => {
                self.files.iter_mut().for_each(|file| file.settle(record));
                self.settle_names();
            }
            Change::Rename { .. }
            | Change::Remove { .. }
            | Change::MakeDir { .. }
            | Change::Link { .. } => {
                rename(&mut self.seen, change, None);
                self.pending.push((change, None));
            }
        }
    }

    fn open(&mut self, change: &'a Change, path: &str, number: u64, emptied: bool) {
        let known = self.seen.get(path).copied().flatten();
        let file = match known.filter(|known| self.numbers.get(&number) == Some(known)) {
            Some(known) => known,
            None => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.numbers.insert(number, file);
                self.seen.insert(path.to_owned(), Some(file));
                self.pending.push((change, Some(file)));
                return;
            }
        };
        if emptied {
            self.files[file].pending.push(change);
        }
    }

    fn settle_names(&mut self) {
        for (change, file) in std::mem::take(&mut self.pending) {
            rename(&mut self.certain, change, file);
        }
    }

    /// Lays out what a cut leaves.
    pub(crate) fn lay_out(
        &self,
        record: &Record,
        cut: Cut,
        dice: &mut impl Rng,
        to: &Path,
    ) -> anyhow::Result<()> {
        let mut names = self.certain.clone();
        let kept = match cut {
            Cut::Nothing => 0,
            Cut::Everything => self.pending.len(),
            Cut::Torn(_) | Cut::Prefix => dice.random_range(0..=self.pending.len()),
        };
        for (change, file) in &self.pending[..kept] {
            rename(&mut names, change, *file);
        }
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir_all(to)?;
        for (path, file) in names {
            let path = to.join(path.trim_start_matches('/'));
            let Some(file) = file else {
                fs::create_dir_all(path)?;
                continue;
            };
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, self.files[file].survive(record, cut, dice))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }
}

impl File<'_> {
    fn settle(&mut self, record: &Record) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.certain, record, change);
        }
    }

    fn survive(&self, record: &Record, cut: Cut, dice: &mut impl Rng) -> Vec<u8> {
        let mut bytes = self.certain.clone();
        match cut {
            Cut::Nothing => {}
            Cut::Everything => {
                self.pending.iter().for_each(|change| apply(&mut bytes, record, change));
            }
            Cut::Torn(unit) => {
                for change in &self.pending {
                    apply_torn(&mut bytes, record, change, unit, dice);
                }
            }
            Cut::Prefix => {
                let kept = dice.random_range(0..=self.pending.len());
                for change in &self.pending[..kept] {
                    apply(&mut bytes, record, change);
                }
                if let Some(change) = self.pending.get(kept) {
                    apply_torn(&mut bytes, record, change, 512, dice);
                }
            }
        }
        bytes
    }
}

/// Changes a file's content as if nothing had happened.
fn apply(bytes: &mut Vec<u8>, record: &Record, change: &Change) {
    apply_units(bytes, record, change, u64::MAX, &mut || true);
}

/// Each unit of so many bytes by a throw of a coin.
fn apply_torn(
    bytes: &mut Vec<u8>,
    record: &Record,
    change: &Change,
    unit: u64,
    dice: &mut impl Rng,
) {
    apply_units(bytes, record, change, unit, &mut || dice.random_bool(0.5));
}

fn apply_units(
    bytes: &mut Vec<u8>,
    record: &Record,
    change: &Change,
    unit: u64,
    survives: &mut impl FnMut() -> bool,
) {
    match change {
        Change::Write { offset, bytes: data, .. } => {
            let (mut offset, mut data) = (*offset, &record.bytes[data.clone()]);
            while !data.is_empty() {
                let room = usize::try_from(unit - offset % unit).unwrap_or(usize::MAX);
                let (now, rest) = data.split_at(room.min(data.len()));
                if survives() {
                    let at = usize::try_from(offset).unwrap_or(usize::MAX);
                    bytes.resize(bytes.len().max(at + now.len()), 0);
                    bytes[at..at + now.len()].copy_from_slice(now);
                }
                offset += now.len() as u64;
                data = rest;
            }
        }
        Change::Length { bytes: length, .. } if survives() => {
            bytes.resize(usize::try_from(*length).unwrap_or(bytes.len()), 0);
        }
        Change::Open { emptied: true, .. } if survives() => bytes.clear(),
        Change::Length { .. }
        | Change::Open { .. }
        | Change::Sync { .. }
        | Change::SyncAll
        | Change::Rename { .. }
        | Change::Remove { .. }
        | Change::MakeDir { .. }
        | Change::Link { .. } => {}
    }
}

fn rename(names: &mut Names, change: &Change, file: Option<usize>) {
    match change {
        Change::Open { path, .. } => {
            names.insert(path.clone(), file);
        }
        Change::MakeDir { path } => {
            names.insert(path.clone(), None);
        }
        Change::Remove { path } => {
            names.remove(path);
        }
        Change::Link { from, to } => {
            if let Some(file) = names.get(from).copied() {
                names.insert(to.clone(), file);
            }
        }
        Change::Rename { from, to } => {
            let Some(file) = names.remove(from) else { return };
            // A folder takes what is in it along.
            let below = format!("{from}/");
            let inside: Vec<String> = names
                .range(below.clone()..)
                .map(|(path, _)| path.clone())
                .take_while(|path| path.starts_with(&below))
                .collect();
            for path in inside {
                if let Some(file) = names.remove(&path) {
                    names.insert(format!("{to}/{}", &path[below.len()..]), file);
                }
            }
            names.insert(to.clone(), file);
        }
        Change::Write { .. } | Change::Length { .. } | Change::Sync { .. } | Change::SyncAll => {}
    }
}
