//! A map on disk that can be thrown away: what is in it is known from a journal too, or does no harm when lost.
//!
//! Keys have a letter in front that says what they are; values are cut into parts below the size that sled keeps safe
//! (decision 0002).
//! Whatever sled does wrong (an error, a panic) is an error here, and the caller starts with an empty map.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sled::Batch;

use super::contain::contain;
use super::disk::DiskError;

const PART_BYTES: usize = 3 * 1024;
const MORE: u8 = 0;
const LAST: u8 = 1;
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// What may be put before sled's own writes are waited for.
///
/// sled cuts its file with the same eight threads that write its segments; if all of these wait for a lock that is
/// held by whoever waits for the cut, nothing ever goes on (seen after kill -9 at 1 in 20 starts).
/// This keeps the segments that are being written far below eight.
const AHEAD_BYTES: usize = 128 * 1024;
/// sled lets go of its lock some time after it was dropped.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// The map.
pub struct Keyed {
    db: sled::Db,
    /// sled's own file, for the sync that sled's flush leaves out.
    file: File,
    /// Bytes that were put since sled's writes were waited for.
    ahead: AtomicUsize,
}

/// A map, and whether it had to be started anew.
pub struct KeyedOpened {
    /// The map.
    pub keyed: Keyed,
    /// Why what was there is gone.
    pub lost: Option<DiskError>,
}

impl Keyed {
    /// Opens the map in this directory; what cannot be opened is set aside and an empty one begun.
    ///
    /// On a full disk nothing is set aside: what is there is whole, and an empty one would not open either.
    pub fn open(dir: &Path) -> Result<KeyedOpened, DiskError> {
        match Self::start(dir) {
            Ok(keyed) => Ok(KeyedOpened { keyed, lost: None }),
            Err(DiskError::Full) => Err(DiskError::Full),
            Err(lost) => Ok(KeyedOpened { keyed: Self::anew(dir)?, lost: Some(lost) }),
        }
    }

    /// Begins an empty map, whatever is in the directory; the last one is kept beside it.
    pub fn anew(dir: &Path) -> Result<Self, DiskError> {
        if dir.exists() {
            let aside = aside(dir);
            if aside.exists() {
                fs::remove_dir_all(&aside)?;
            }
            fs::rename(dir, &aside)?;
        }
        Self::start(dir)
    }

    fn start(dir: &Path) -> Result<Self, DiskError> {
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES);
        let mut tries = 0;
        let db = loop {
            match contain(|| config.open()).map_err(DiskError::Panicked)? {
                Ok(db) => break db,
                Err(sled::Error::Io(error))
                    if error.to_string().contains("acquire lock") && tries < LOCK_TRIES =>
                {
                    tries += 1;
                    std::thread::sleep(LOCK_WAIT);
                }
                Err(error) => return Err(error.into()),
            }
        };
        let file = File::open(dir.join("db"))?;
        let keyed = Self { db, file, ahead: AtomicUsize::new(0) };
        // Opening may have begun to cut the file; nothing is put before that is done.
        keyed.run(|| keyed.db.flush())?;
        Ok(keyed)
    }

    /// The value of a key.
    pub fn get(&self, letter: u8, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        self.run(|| {
            let mut value = Vec::new();
            for part in 0..=u16::MAX {
                let Some(bytes) = self.db.get(part_key(letter, key, part))? else {
                    return Ok(None);
                };
                if push_part(&mut value, &bytes) {
                    return Ok(Some(value));
                }
            }
            Ok(None)
        })
    }

    /// Sets the value of a key.
    pub fn put(&self, letter: u8, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        let mut batch = Batch::default();
        let parts = value.len().div_ceil(PART_BYTES).max(1);
        for part in 0..parts {
            let start = part * PART_BYTES;
            let end = value.len().min(start + PART_BYTES);
            let flag = if part + 1 == parts { LAST } else { MORE };
            let part = u16::try_from(part).map_err(|_| DiskError::Damaged("value is too long"))?;
            batch.insert(part_key(letter, key, part), [&[flag], &value[start..end]].concat());
        }
        self.run(|| {
            let beyond = u16::try_from(parts).unwrap_or(u16::MAX);
            for part in beyond..=u16::MAX {
                let key = part_key(letter, key, part);
                if !self.db.contains_key(&key)? {
                    break;
                }
                batch.remove(key);
            }
            self.db.apply_batch(batch)?;
            if self.ahead.fetch_add(value.len() + PART_BYTES / 8, Ordering::Relaxed) > AHEAD_BYTES {
                self.ahead.store(0, Ordering::Relaxed);
                self.db.flush()?;
            }
            Ok(())
        })
    }

    /// Removes a key.
    pub fn remove(&self, letter: u8, key: &[u8]) -> Result<(), DiskError> {
        self.run(|| {
            for part in 0..=u16::MAX {
                if self.db.remove(part_key(letter, key, part))?.is_none() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Shows entries whose keys begin so, behind `after`, in order, until `each` says no.
    pub fn scan(
        &self,
        letter: u8,
        prefix: &[u8],
        after: Option<&[u8]>,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), DiskError> {
        let start = match after {
            Some(after) => part_key(letter, after, 0),
            None => [&[letter], prefix].concat(),
        };
        let is_before = |inner: &[u8]| {
            // Keys that begin with this one follow it; only its own parts are passed over.
            after.is_some_and(|after| inner.len() == after.len() + 2 && inner.starts_with(after))
        };
        self.run(|| {
            let mut value = Vec::new();
            for entry in self.db.range(start..) {
                let (key, bytes) = entry?;
                let Some(inner) = key.strip_prefix(&[letter][..]) else { break };
                if is_before(inner) {
                    continue;
                }
                if !inner.starts_with(prefix) || inner.len() < 2 {
                    break;
                }
                if push_part(&mut value, &bytes) {
                    if !each(&inner[..inner.len() - 2], &value) {
                        break;
                    }
                    value.clear();
                }
            }
            Ok(())
        })
    }

    /// Makes all that was put so far durable: sled's flush, and the sync that it leaves out.
    pub fn commit(&self) -> Result<(), DiskError> {
        self.run(|| self.db.flush())?;
        self.file.sync_data()?;
        Ok(())
    }

    fn run<T>(&self, work: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, DiskError> {
        contain(work).map_err(DiskError::Panicked)?.map_err(DiskError::from)
    }
}

fn aside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".damaged");
    dir.with_file_name(name)
}

fn part_key(letter: u8, key: &[u8], part: u16) -> Vec<u8> {
    [&[letter], key, &part.to_be_bytes()].concat()
}

/// Adds a part; true if it was the last.
fn push_part(value: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let Some((flag, part)) = bytes.split_first() else { return true };
    value.extend_from_slice(part);
    *flag == LAST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_come_back_whole_and_leave_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let keyed = Keyed::open(&home.path().join("map")).unwrap().keyed;
        let long: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
        keyed.put(b'a', b"one", &long).unwrap();
        keyed.put(b'a', b"two", b"").unwrap();
        keyed.put(b'b', b"one", b"other").unwrap();
        assert_eq!(keyed.get(b'a', b"one").unwrap(), Some(long));
        keyed.put(b'a', b"one", b"short").unwrap();
        let mut seen = Vec::new();
        keyed
            .scan(b'a', b"", None, &mut |key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                true
            })
            .unwrap();
        assert_eq!(seen, [(b"one".to_vec(), b"short".to_vec()), (b"two".to_vec(), vec![])]);
        keyed.remove(b'a', b"one").unwrap();
        assert_eq!(keyed.get(b'a', b"one").unwrap(), None);
        keyed.commit().unwrap();
    }

    #[test]
    fn a_key_that_begins_with_another_comes_behind_it() {
        let home = tempfile::tempdir().unwrap();
        let keyed = Keyed::open(&home.path().join("map")).unwrap().keyed;
        let long = vec![7; 2 * PART_BYTES];
        for key in ["1", "1/a", "12", "2"] {
            keyed.put(b'a', key.as_bytes(), &long).unwrap();
        }
        let keys = |prefix: &str, after: Option<&str>| {
            let mut keys = Vec::new();
            let after = after.map(str::as_bytes);
            keyed
                .scan(b'a', prefix.as_bytes(), after, &mut |key, _| {
                    keys.push(String::from_utf8(key.to_vec()).unwrap());
                    true
                })
                .unwrap();
            keys
        };
        assert_eq!(keys("", Some("1")), ["1/a", "12", "2"]);
        assert_eq!(keys("1", Some("1/a")), ["12"]);
        assert_eq!(keys("1/", None), ["1/a"]);
    }

    #[test]
    fn a_damaged_map_is_set_aside_and_begun_anew() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("map");
        let keyed = Keyed::open(&dir).unwrap().keyed;
        keyed.put(b'a', b"one", b"1").unwrap();
        keyed.commit().unwrap();
        drop(keyed);
        fs::remove_file(dir.join("db")).unwrap();
        fs::create_dir(dir.join("db")).unwrap();
        let again = Keyed::open(&dir).unwrap();
        assert!(again.lost.is_some());
        assert_eq!(again.keyed.get(b'a', b"one").unwrap(), None);
    }
}
