//! Segment files and manifests, each named by the hash of its bytes: `segments/ab/<hex>`.
//!
//! A file appears under its name only when it is whole and on the medium, and is never changed after.
//! A generation holds a [`Lease`] on every segment that it reads, so that no sweep takes it away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use storebox_proto::ids::Hash32;
use storebox_proto::limits::MANIFEST_BYTES_MAX;

use super::durable;
use crate::room::{self, Room};

/// Damaged files that are kept for a technician; further ones are deleted.
const SET_ASIDE_MAX: usize = 16;
/// So many files are synced one by one; for more, one barrier for the file system is cheaper.
const SYNC_EACH_MAX: usize = 4;

/// Why a file cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full; what was there before is unharmed.
    #[error("write {path}: the disk is full")]
    DiskFull {
        /// The file or directory.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("access {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such file.
    #[error("segment file {name} is missing")]
    Missing {
        /// Its name.
        name: Hash32,
    },
}

impl StoreError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| {
            let path = path.to_owned();
            if room::is_out(&source) { Self::DiskFull { path } } else { Self::Io { path, source } }
        }
    }
}

/// What a check of a file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Its bytes have its name.
    Intact,
    /// Its bytes were changed, or cannot be read.
    Damaged,
    /// There is no such file.
    Missing,
}

/// Keeps a segment file from being removed while a generation reads it.
#[derive(Debug)]
pub struct Lease {
    name: Hash32,
}

impl Lease {
    /// The file that is kept.
    pub fn name(&self) -> Hash32 {
        self.name
    }
}

/// All segment files of this box; a cheap handle.
#[derive(Debug, Clone)]
pub struct SegmentStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    written: AtomicU64,
    leases: Mutex<BTreeMap<Hash32, Weak<Lease>>>,
}

impl SegmentStore {
    /// Opens the directory, makes it if needed, and clears what an interrupted write left.
    ///
    /// A process opens a directory once and clones the handle: the leases are kept in it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let beside = dir.join("new");
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(StoreError::at(&beside))?;
        }
        fs::create_dir_all(&beside).map_err(StoreError::at(&beside))?;
        durable::sync_dir(dir).map_err(StoreError::at(dir))?;
        let (written, leases) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { inner: Arc::new(Inner { dir: dir.to_owned(), written, leases }) })
    }

    /// Stores bytes under their hash; durable when this returns.
    pub fn put(&self, bytes: &Bytes) -> Result<Hash32, StoreError> {
        let name = Hash32::of(bytes);
        self.put_many([(name, bytes)])?;
        Ok(name)
    }

    /// Stores several files whose names the caller has computed, and syncs them together.
    pub fn put_many<'a>(
        &self,
        files: impl IntoIterator<Item = (Hash32, &'a Bytes)>,
    ) -> Result<(), StoreError> {
        let mut beside = Vec::new();
        let put = self.write_beside(files, &mut beside).and_then(|()| self.rename_all(&beside));
        if put.is_err() {
            // What got no name would take room that may be short already, until the next start.
            beside.iter().for_each(|(_, path)| drop(fs::remove_file(path)));
        }
        put
    }

    /// Writes files that have no name yet, and notes each before anything of it is on the disk.
    fn write_beside<'a>(
        &self,
        files: impl IntoIterator<Item = (Hash32, &'a Bytes)>,
        beside: &mut Vec<(Hash32, PathBuf)>,
    ) -> Result<(), StoreError> {
        let mut written = Vec::new();
        for (name, bytes) in files {
            if self.check(name) == Health::Intact {
                continue;
            }
            let number = self.inner.written.fetch_add(1, Ordering::Relaxed);
            let path = self.inner.dir.join("new").join(number.to_string());
            beside.push((name, path.clone()));
            written.push(write_new(&path, bytes).map_err(StoreError::at(&path))?);
        }
        if written.len() > SYNC_EACH_MAX {
            return durable::sync_file_system(&self.inner.dir)
                .map_err(StoreError::at(&self.inner.dir));
        }
        let mut each = written.iter().zip(&*beside);
        each.try_for_each(|(file, (_, path))| file.sync_all().map_err(StoreError::at(path)))
    }

    fn rename_all(&self, renames: &[(Hash32, PathBuf)]) -> Result<(), StoreError> {
        let mut dirs = BTreeSet::new();
        for (name, beside) in renames {
            let path = self.path(*name);
            let dir = path.parent().unwrap_or(&self.inner.dir).to_owned();
            if !dir.exists() {
                fs::create_dir_all(&dir).map_err(StoreError::at(&dir))?;
                dirs.insert(self.inner.dir.clone());
            }
            fs::rename(beside, &path).map_err(StoreError::at(&path))?;
            dirs.insert(dir);
        }
        if dirs.len() > SYNC_EACH_MAX {
            return durable::sync_file_system(&self.inner.dir)
                .map_err(StoreError::at(&self.inner.dir));
        }
        dirs.iter().try_for_each(|dir| durable::sync_dir(dir).map_err(StoreError::at(dir)))
    }

    /// The bytes of a file, as they are on disk; whoever needs certainty hashes them.
    pub fn read(&self, name: Hash32) -> Result<Bytes, StoreError> {
        let path = self.path(name);
        let mut file = self.open_file(name)?;
        let mut bytes = Vec::new();
        let limit = MANIFEST_BYTES_MAX as u64 + 1;
        Read::by_ref(&mut file)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(StoreError::at(&path))?;
        Ok(Bytes::from(bytes))
    }

    /// A part of a file, fewer bytes if it ends before.
    pub fn read_part(&self, name: Hash32, at: u32, len: usize) -> Result<Vec<u8>, StoreError> {
        let file = self.open_file(name)?;
        let mut bytes = vec![0; len];
        let mut got = 0;
        while got < len {
            match file.read_at(&mut bytes[got..], u64::from(at) + got as u64) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::at(&self.path(name))(error)),
            }
        }
        bytes.truncate(got);
        Ok(bytes)
    }

    fn open_file(&self, name: Hash32) -> Result<File, StoreError> {
        let path = self.path(name);
        File::open(&path).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                StoreError::Missing { name }
            } else {
                StoreError::at(&path)(error)
            }
        })
    }

    /// Whether there is a file of this name, whatever its bytes.
    pub fn contains(&self, name: Hash32) -> bool {
        self.path(name).exists()
    }

    /// Reads a whole file and compares its hash with its name.
    pub fn check(&self, name: Hash32) -> Health {
        match self.read(name) {
            Ok(bytes) if Hash32::of(&bytes) == name => Health::Intact,
            Err(StoreError::Missing { .. }) => Health::Missing,
            Ok(_) | Err(_) => Health::Damaged,
        }
    }

    /// Every file, ascending by name.
    pub fn names(&self) -> Result<Vec<Hash32>, StoreError> {
        let mut names = Vec::new();
        for dir in list(&self.inner.dir)? {
            if dir.is_dir() && dir.file_name().is_some_and(|name| name.len() == 2) {
                let files = list(&dir)?;
                names.extend(files.iter().filter_map(|file| {
                    file.file_name()
                        .and_then(|name| name.to_str())
                        .and_then(|name| name.parse::<Hash32>().ok())
                }));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Keeps a file from being removed as long as the lease lives.
    pub fn lease(&self, name: Hash32) -> Arc<Lease> {
        let mut leases = self.leases();
        if let Some(lease) = leases.get(&name).and_then(Weak::upgrade) {
            return lease;
        }
        let lease = Arc::new(Lease { name });
        leases.insert(name, Arc::downgrade(&lease));
        lease
    }

    /// Removes a file unless a generation reads it; true if it is gone.
    pub fn remove(&self, name: Hash32) -> Result<bool, StoreError> {
        let mut leases = self.leases();
        if leases.get(&name).is_some_and(|lease| lease.strong_count() > 0) {
            return Ok(false);
        }
        leases.remove(&name);
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(StoreError::at(&path)(error)),
        }
    }

    /// Removes every file that is neither wanted nor read by a generation; tells how many.
    ///
    /// What is being fetched for a snapshot to come has to be among the wanted.
    pub fn sweep(&self, wanted: &BTreeSet<Hash32>) -> Result<usize, StoreError> {
        let mut removed = 0;
        for name in self.names()? {
            if !wanted.contains(&name) && self.remove(name)? {
                removed += 1;
            }
        }
        self.leases().retain(|_, lease| lease.strong_count() > 0);
        Ok(removed)
    }

    /// Takes a damaged file out of the way; a few are kept for a technician.
    pub fn set_aside(&self, name: Hash32) -> Result<(), StoreError> {
        let aside = self.inner.dir.join("set-aside");
        fs::create_dir_all(&aside).map_err(StoreError::at(&aside))?;
        let path = self.path(name);
        let moved = if list(&aside)?.len() < SET_ASIDE_MAX {
            fs::rename(&path, aside.join(name.to_string()))
        } else {
            fs::remove_file(&path)
        };
        match moved {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::at(&path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The room beside the segments.
    pub fn room(&self) -> Result<Room, StoreError> {
        room::around(&self.inner.dir).map_err(StoreError::at(&self.inner.dir))
    }

    fn path(&self, name: Hash32) -> PathBuf {
        let hex = name.to_string();
        self.inner.dir.join(&hex[..2]).join(hex)
    }

    fn leases(&self) -> MutexGuard<'_, BTreeMap<Hash32, Weak<Lease>>> {
        self.inner.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(dir).map_err(StoreError::at(dir))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(StoreError::at(dir))).collect()
}

#[cfg(test)]
mod tests;
