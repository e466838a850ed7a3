//! A disk in memory that knows what a power cut would leave.
//!
//! Every change is recorded in order.
//! From the record, any legal state after a power cut can be built: what a file held at its last sync is there;
//! of what was written to it since, any sectors may be there or not, and its new length may be there or not;
//! of the changes of names since the last sync of the directory, any number of the first may be there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::{Rng, RngExt};

use super::disk::{Disk, DiskFile};
use crate::room::START_BYTES;

/// What happened, in order; marks are the test's own.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Write { file: usize, offset: usize, bytes: Vec<u8> },
    SetLen { file: usize, len: usize },
    Sync { file: usize },
    Name { path: PathBuf, file: Option<usize> },
    Rename { from: PathBuf, to: PathBuf },
    SyncDir,
    Mark { what: &'static str, id: u128 },
}

#[derive(Default)]
struct World {
    files: Vec<Vec<u8>>,
    names: BTreeMap<PathBuf, usize>,
    events: Vec<Event>,
    /// Bytes that fit, over all files that have a name.
    room: Option<usize>,
    /// The next syncs of files fail.
    syncs_fail: bool,
    /// Syncs of files do nothing: what a journal without `fdatasync` would be.
    syncs_lie: bool,
    /// Reads of this range of this file fail.
    bad: Option<(PathBuf, std::ops::Range<u64>)>,
}

/// How much of what was not synced survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing.
    Nothing,
    /// Each unit of this many bytes by a throw of a coin.
    Torn(usize),
    /// The first writes, the last of them torn.
    Prefix,
    /// Everything.
    Everything,
}

pub(crate) const CUTS: [Cut; 5] =
    [Cut::Nothing, Cut::Torn(512), Cut::Torn(4096), Cut::Prefix, Cut::Everything];

#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A disk whose file syncs do nothing.
    pub(crate) fn lying() -> Self {
        let disk = Self::new();
        disk.world().syncs_lie = true;
        disk
    }

    pub(crate) fn mark(&self, what: &'static str, id: u128) {
        self.world().events.push(Event::Mark { what, id });
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.world().events.clone()
    }

    /// From now on this many bytes fit beside those that are there.
    pub(crate) fn leave_room(&self, bytes: usize) {
        let mut world = self.world();
        world.room = Some(world.used() + bytes);
    }

    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.world().syncs_fail = fail;
    }

    pub(crate) fn spoil(&self, path: &Path, range: std::ops::Range<u64>) {
        self.world().bad = Some((path.to_owned(), range));
    }

    /// Changes bytes behind everybody's back.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let file = world.names[path];
        change(&mut world.files[file]);
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let world = self.world();
        let names = world.names.keys().filter_map(|path| path.file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// The disk after a power cut that came when the first `count` events had happened.
    pub(crate) fn after_cut(
        events: &[Event],
        count: usize,
        cut: Cut,
        rng: &mut impl Rng,
    ) -> SimDisk {
        let mut durable = Durable::default();
        for event in &events[..count] {
            durable.take(event);
        }
        let (files, names) = durable.cut(cut, rng);
        let disk = SimDisk::new();
        {
            let mut world = disk.world();
            world.files = files;
            world.names = names;
        }
        disk
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

/// What is certain, and what is pending, at one moment.
#[derive(Default)]
struct Durable {
    files: Vec<Vec<u8>>,
    pending: Vec<Vec<Event>>,
    names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Event>,
}

impl Durable {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Write { file, .. } | Event::SetLen { file, .. } => {
                self.room_for(*file);
                self.pending[*file].push(event.clone());
            }
            Event::Sync { file } => {
                self.room_for(*file);
                for event in std::mem::take(&mut self.pending[*file]) {
                    apply(&mut self.files[*file], &event, |_| true);
                }
            }
            Event::Name { .. } | Event::Rename { .. } => self.pending_names.push(event.clone()),
            Event::SyncDir => {
                for event in std::mem::take(&mut self.pending_names) {
                    rename(&mut self.names, &event);
                }
            }
            Event::Mark { .. } => {}
        }
    }

    fn room_for(&mut self, file: usize) {
        if self.files.len() <= file {
            self.files.resize(file + 1, Vec::new());
            self.pending.resize(file + 1, Vec::new());
        }
    }

    fn cut(mut self, cut: Cut, rng: &mut impl Rng) -> (Vec<Vec<u8>>, BTreeMap<PathBuf, usize>) {
        for (bytes, pending) in self.files.iter_mut().zip(&self.pending) {
            survive(bytes, pending, cut, rng);
        }
        let kept = match cut {
            Cut::Nothing => 0,
            Cut::Everything => self.pending_names.len(),
            Cut::Torn(_) | Cut::Prefix => rng.random_range(0..=self.pending_names.len()),
        };
        for event in &self.pending_names[..kept] {
            rename(&mut self.names, event);
        }
        let files = self.files.len();
        let named = self.names.values().max().map_or(0, |last| last + 1);
        self.files.resize(files.max(named), Vec::new());
        (self.files, self.names)
    }
}

fn survive(bytes: &mut Vec<u8>, pending: &[Event], cut: Cut, rng: &mut impl Rng) {
    let length = bytes.len();
    match cut {
        Cut::Nothing => {}
        Cut::Everything => pending.iter().for_each(|event| apply(bytes, event, |_| true)),
        Cut::Torn(unit) => {
            for event in pending {
                let mut coins = BTreeMap::new();
                let keep_length: bool = rng.random();
                if keep_length || matches!(event, Event::Write { .. }) {
                    apply(bytes, event, |at| {
                        *coins.entry(at / unit).or_insert_with(|| rng.random())
                    });
                }
            }
            if rng.random() && bytes.len() > length {
                bytes.truncate(length);
            }
        }
        Cut::Prefix => {
            let whole = rng.random_range(0..=pending.len());
            pending[..whole].iter().for_each(|event| apply(bytes, event, |_| true));
            if let Some(Event::Write { offset, bytes: written, .. }) = pending.get(whole) {
                let end = offset + rng.random_range(0..=written.len()) / 512 * 512;
                apply(bytes, &pending[whole], |at| at < end);
            }
        }
    }
}

/// Applies one change of a file, byte by byte where asked.
fn apply(file: &mut Vec<u8>, event: &Event, mut keep: impl FnMut(usize) -> bool) {
    match event {
        Event::Write { offset, bytes, .. } => {
            let end = offset + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            for (at, byte) in (*offset..end).zip(bytes) {
                if keep(at) {
                    file[at] = *byte;
                }
            }
        }
        Event::SetLen { len, .. } => file.resize(*len, 0),
        Event::Sync { .. }
        | Event::Name { .. }
        | Event::Rename { .. }
        | Event::SyncDir
        | Event::Mark { .. } => {}
    }
}

fn rename(names: &mut BTreeMap<PathBuf, usize>, event: &Event) {
    match event {
        Event::Name { path, file: Some(file) } => {
            names.insert(path.clone(), *file);
        }
        Event::Name { path, file: None } => {
            names.remove(path);
        }
        Event::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Event::Write { .. }
        | Event::SetLen { .. }
        | Event::Sync { .. }
        | Event::SyncDir
        | Event::Mark { .. } => {}
    }
}

impl World {
    fn used(&self) -> usize {
        self.names.values().map(|file| self.files[*file].len()).sum()
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.world().names.get(path).copied();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), file, path: path.to_owned() }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        let file = world.files.len();
        world.files.push(Vec::new());
        world.names.insert(path.to_owned(), file);
        world.events.push(Event::Name { path: path.to_owned(), file: Some(file) });
        drop(world);
        Ok(Box::new(SimFile { disk: self.clone(), file, path: path.to_owned() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        let event = Event::Rename { from: from.to_owned(), to: to.to_owned() };
        rename(&mut world.names, &event);
        world.events.push(event);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        world.events.push(Event::Name { path: path.to_owned(), file: None });
        Ok(())
    }

    fn make_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        self.world().events.push(Event::SyncDir);
        Ok(())
    }

    /// What is left for the next start comes on top of the room.
    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let world = self.world();
        let left = |room: usize| room.saturating_sub(world.used()) as u64 + START_BYTES;
        Ok(world.room.map_or(u64::MAX, left))
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
    path: PathBuf,
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.world().files[self.file].len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let world = self.disk.world();
        let range = offset..offset + buffer.len() as u64;
        if let Some((path, bad)) = &world.bad
            && *path == self.path
            && bad.start < range.end
            && range.start < bad.end
        {
            return Err(io::Error::other("bad sector"));
        }
        let start = usize::try_from(range.start).unwrap();
        let range = start..start + buffer.len();
        let bytes = world.files[self.file].get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let offset = usize::try_from(offset).unwrap();
        let have = world.files[self.file].len();
        let grows = (offset + bytes.len()).saturating_sub(have);
        let fits = world.room.map_or(grows, |room| grows.min(room.saturating_sub(world.used())));
        let written = bytes[..bytes.len() - (grows - fits)].to_vec();
        let event = Event::Write { file: self.file, offset, bytes: written };
        apply(&mut world.files[self.file], &event, |_| true);
        world.events.push(event);
        if fits < grows { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let event = Event::SetLen { file: self.file, len: usize::try_from(len).unwrap() };
        apply(&mut world.files[self.file], &event, |_| true);
        world.events.push(event);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        if world.syncs_fail {
            return Err(io::Error::other("the disk lost what it was given"));
        }
        if !world.syncs_lie {
            world.events.push(Event::Sync { file: self.file });
        }
        Ok(())
    }
}
