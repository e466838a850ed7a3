//! A directory of this machine, such as a USB stick.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::StorageError;
use crate::blocking::beside;

/// So many objects are written at once; whoever writes the same one waits.
const WRITES_MAX: usize = 16;
/// Whoever was given up may still write, so all writers of this process take turns.
static WRITING: [Mutex<()>; WRITES_MAX] = [const { Mutex::new(()) }; WRITES_MAX];

#[derive(Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) async fn read(
        &self,
        path: &str,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        let path = self.root.join(path);
        beside(move || {
            let mut bytes = Vec::new();
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) => return missing(&path, error),
            };
            let read = file.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
            read.map_err(|error| failed(&path, error))?;
            if bytes.len() > bytes_max {
                return Err(StorageError::TooLarge { at: path.display().to_string(), bytes_max });
            }
            Ok(Some(Bytes::from(bytes)))
        })
        .await
    }

    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let path = self.root.join(path);
        beside(move || match std::fs::metadata(&path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) => missing(&path, error),
        })
        .await
    }

    /// Beside, synced and renamed: a stick may be pulled out at any moment.
    pub(super) async fn write(&self, path: &str, bytes: &Bytes) -> Result<(), StorageError> {
        let (path, bytes) = (self.root.join(path), bytes.clone());
        beside(move || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|error| failed(&path, error))?;
            }
            replace(&path, &bytes).map_err(|error| failed(&path, error))
        })
        .await
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), StorageError> {
        let path = self.root.join(path);
        beside(move || match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) => missing(&path, error).map(|_: Option<()>| ()),
        })
        .await
    }
}

/// Sticks have file systems without owners and modes, so none is set.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let lane = usize::try_from(hasher.finish() % WRITES_MAX as u64).unwrap_or(0);
    let _turn = WRITING[lane].lock().unwrap_or_else(PoisonError::into_inner);
    let beside = path.with_extension("part");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// A file that is not there is an answer; a root that is not there is a stick that was pulled out.
fn missing<T>(path: &Path, error: io::Error) -> Result<Option<T>, StorageError> {
    let root = path.ancestors().find(|up| up.ends_with("v1")).and_then(Path::parent);
    if error.kind() == io::ErrorKind::NotFound && root.is_some_and(Path::is_dir) {
        return Ok(None);
    }
    Err(failed(path, error))
}

fn failed(path: &Path, source: io::Error) -> StorageError {
    StorageError::Unreachable { at: path.display().to_string(), source: Box::new(source) }
}
