//! What was settled lately, so that a till that asks late gets the answer that it would have got at first.
//!
//! Losing this does no harm: the till's transaction is then accepted as new, and the main server knows its key.
//! But it must not stay dead: a mirror would give back again and again what is settled.
//! So what cannot be read or written is opened anew at once, and what came lately is in memory as well.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use storebox_proto::ids::{Hash32, TxKey};
use storebox_proto::ticket::Receipt;
use storebox_proto::time::Timestamp;

use crate::db::{DiskError, Keyed};
use crate::env;

/// Keys that are remembered: some weeks of a busy shop.
const SETTLED_MAX: usize = 100_000;
/// Keys that are forgotten at once when there are too many.
const PRUNE: usize = 1000;
/// Keys that are known even if the disk does not take them.
const LATELY_MAX: usize = 2000;
/// A map that does not open is tried again after this long: trying takes time.
const REOPEN_EVERY: Duration = Duration::from_secs(60);
const BY_KEY: u8 = b's';
const CLOSED: DiskError = DiskError::Damaged("it is not open");

/// A settled transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The digest that the till knows.
    pub digest: Hash32,
    /// The number under which it was accepted here.
    pub position: u64,
    /// When it was accepted here.
    pub at: Timestamp,
    /// The main server's receipt.
    pub receipt: Receipt,
}

/// The memory of settled transactions; whoever only asks may have to open it again.
pub struct SettledKeys(RefCell<Memory>);

struct Memory {
    dir: PathBuf,
    /// Nothing while the disk gives none.
    keyed: Option<Keyed>,
    count: usize,
    /// What the disk has not taken yet.
    lately: BTreeMap<TxKey, Settled>,
    reopened: Option<Instant>,
}

impl SettledKeys {
    /// Opens it; says why, if what was remembered is gone.
    pub fn open(dir: &Path) -> Result<(Self, Option<DiskError>), DiskError> {
        let (memory, lost) = Memory::open(dir)?;
        Ok((Self(RefCell::new(memory)), lost))
    }

    /// What is remembered of a key; an unreadable memory is no memory.
    pub fn get(&self, key: &TxKey) -> Option<Settled> {
        self.0.borrow_mut().get(key)
    }

    /// Remembers a settled transaction.
    pub fn put(&mut self, key: &TxKey, settled: &Settled) {
        self.0.get_mut().put(key, settled);
    }
}

impl Memory {
    fn open(dir: &Path) -> Result<(Self, Option<DiskError>), DiskError> {
        let opened = Keyed::open(dir)?;
        let mut count = 0;
        let counted = opened.keyed.scan(BY_KEY, &[], None, &mut |_, _| {
            count += 1;
            true
        });
        match counted {
            Ok(()) => Ok((Self::of(dir, opened.keyed, count), opened.lost)),
            Err(lost) => {
                drop(opened.keyed);
                Ok((Self::of(dir, Keyed::anew(dir)?, 0), Some(lost)))
            }
        }
    }

    fn of(dir: &Path, keyed: Keyed, count: usize) -> Self {
        let (dir, lately) = (dir.to_owned(), BTreeMap::new());
        Self { dir, keyed: Some(keyed), count, lately, reopened: None }
    }

    fn get(&mut self, key: &TxKey) -> Option<Settled> {
        if let Some(settled) = self.lately.get(key) {
            return Some(settled.clone());
        }
        let read = self.read(key).or_else(|error| {
            self.reopen(&error);
            self.read(key)
        });
        serde_json::from_slice(&read.ok()??).ok()
    }

    fn read(&self, key: &TxKey) -> Result<Option<Vec<u8>>, DiskError> {
        let keyed = self.keyed.as_ref().ok_or(CLOSED)?;
        keyed.get(BY_KEY, key.0.as_bytes())
    }

    fn put(&mut self, key: &TxKey, settled: &Settled) {
        self.lately.insert(*key, settled.clone());
        if let Err(error) = self.write() {
            self.reopen(&error);
        }
        while self.lately.len() > LATELY_MAX {
            self.lately.pop_first();
        }
        if self.count > SETTLED_MAX {
            self.prune();
        }
    }

    /// Writes what the disk has not taken yet.
    fn write(&mut self) -> Result<(), DiskError> {
        let keyed = self.keyed.as_ref().ok_or(CLOSED)?;
        while let Some(entry) = self.lately.first_entry() {
            let bytes = serde_json::to_vec(entry.get()).expect("plain data with string keys");
            keyed.put(BY_KEY, entry.key().0.as_bytes(), &bytes)?;
            entry.remove();
            self.count += 1;
        }
        Ok(())
    }

    /// A map that failed once fails for ever: what it has is opened again, or begun anew.
    fn reopen(&mut self, why: &DiskError) {
        let now = env::instant();
        if self.reopened.is_some_and(|last| now.duration_since(last) < REOPEN_EVERY) {
            return;
        }
        tracing::warn!(error = %why, "memory of settled transactions failed and is opened again");
        self.reopened = Some(now);
        self.keyed = None;
        let opened = Self::open(&self.dir);
        match opened {
            Ok((opened, lost)) => {
                if let Some(error) = lost {
                    tracing::warn!(%error, "memory of settled transactions is begun anew");
                }
                (self.keyed, self.count) = (opened.keyed, opened.count);
                if let Err(error) = self.write() {
                    tracing::warn!(%error, "memory of settled transactions cannot be written");
                }
            }
            Err(error) => tracing::warn!(%error, "memory of settled transactions is closed"),
        }
    }

    /// Keys grow with time, so the first ones are the oldest.
    fn prune(&mut self) {
        let Some(keyed) = &self.keyed else { return };
        let mut oldest = Vec::with_capacity(PRUNE);
        let scanned = keyed.scan(BY_KEY, &[], None, &mut |key, _| {
            oldest.push(key.to_vec());
            oldest.len() < PRUNE
        });
        if scanned.is_ok() && oldest.iter().all(|key| keyed.remove(BY_KEY, key).is_ok()) {
            self.count -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use storebox_proto::ticket::Grade;

    use super::*;

    fn settled(number: u128) -> (TxKey, Settled) {
        let key = TxKey(uuid::Uuid::from_u128(number));
        let (digest, node) = (Hash32::of(&number.to_le_bytes()), "main".parse().unwrap());
        let at = Timestamp::from_unix_ms(1_795_341_720_000);
        let receipt = Receipt::state(key, digest, Grade::Settled, &node, 1, at);
        let receipt = receipt.sign(&ed25519_dalek::SigningKey::from_bytes(&[2; 32]));
        (key, Settled { digest, position: 1, at, receipt })
    }

    #[test]
    fn a_map_that_died_is_opened_again_and_nothing_that_was_settled_is_unknown() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("settled");
        let mut keys = Memory::open(&dir).unwrap().0;
        let all: Vec<_> = (1..=4).map(settled).collect();
        let [first, second, third, fourth] = &all[..] else { panic!("there are four") };
        keys.put(&first.0, &first.1);
        keys.keyed = None;
        keys.put(&second.0, &second.1);
        assert!(keys.keyed.is_some(), "it is open again");
        keys.keyed = None;
        keys.put(&third.0, &third.1);
        assert!(keys.keyed.is_none(), "it is not tried all the time");
        assert_eq!(keys.get(&third.0).as_ref(), Some(&third.1), "but what came lately is known");
        keys.reopened = None;
        keys.put(&fourth.0, &fourth.1);
        drop(keys);
        let mut keys = Memory::open(&dir).unwrap().0;
        assert!(all.iter().all(|(key, settled)| keys.get(key).as_ref() == Some(settled)));
        assert_eq!(keys.count, 4);
    }

    #[test]
    fn a_map_that_died_is_opened_again_by_whoever_asks_although_nothing_is_settled() {
        let home = tempfile::tempdir().unwrap();
        let mut keys = SettledKeys::open(home.path()).unwrap().0;
        let (key, known) = settled(1);
        keys.put(&key, &known);
        keys.0.get_mut().keyed = None;
        assert_eq!(keys.get(&key), Some(known.clone()));
        keys.0.get_mut().keyed = None;
        assert_eq!(keys.get(&key), None, "it is not tried all the time");
        keys.0.get_mut().reopened = None;
        assert_eq!(keys.get(&key), Some(known));
    }
}
