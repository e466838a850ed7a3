//! What was settled lately, so that a till that asks late gets the answer that it would have got at first.
//!
//! Losing this does no harm: the till's transaction is then accepted as new, and the main server knows its key.

use std::path::Path;

use serde::{Deserialize, Serialize};
use storebox_proto::ids::{Hash32, TxKey};
use storebox_proto::ticket::Receipt;
use storebox_proto::time::Timestamp;

use crate::db::{DiskError, Keyed};

/// Keys that are remembered: some weeks of a busy shop.
const SETTLED_MAX: usize = 100_000;
/// Keys that are forgotten at once when there are too many.
const PRUNE: usize = 1000;
const BY_KEY: u8 = b's';

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

/// The memory of settled transactions.
pub struct SettledKeys {
    keyed: Keyed,
    count: usize,
}

impl SettledKeys {
    /// Opens it; says why, if what was remembered is gone.
    pub fn open(dir: &Path) -> Result<(Self, Option<DiskError>), DiskError> {
        let opened = Keyed::open(dir)?;
        let mut count = 0;
        let counted = opened.keyed.scan(BY_KEY, &[], None, &mut |_, _| {
            count += 1;
            true
        });
        match counted {
            Ok(()) => Ok((Self { keyed: opened.keyed, count }, opened.lost)),
            Err(lost) => {
                drop(opened.keyed);
                Ok((Self { keyed: Keyed::anew(dir)?, count: 0 }, Some(lost)))
            }
        }
    }

    /// What is remembered of a key; an unreadable memory is no memory.
    pub fn get(&self, key: &TxKey) -> Option<Settled> {
        match self.keyed.get(BY_KEY, key.0.as_bytes()) {
            Ok(bytes) => serde_json::from_slice(&bytes?).ok(),
            Err(error) => {
                tracing::warn!(%error, "memory of settled transactions cannot be read");
                None
            }
        }
    }

    /// Remembers a settled transaction.
    pub fn put(&mut self, key: &TxKey, settled: &Settled) {
        let bytes = serde_json::to_vec(settled).expect("plain data with string keys");
        if let Err(error) = self.keyed.put(BY_KEY, key.0.as_bytes(), &bytes) {
            tracing::warn!(%error, "memory of settled transactions cannot be written");
            return;
        }
        self.count += 1;
        if self.count > SETTLED_MAX {
            self.prune();
        }
    }

    /// Keys grow with time, so the first ones are the oldest.
    fn prune(&mut self) {
        let mut oldest = Vec::with_capacity(PRUNE);
        let scanned = self.keyed.scan(BY_KEY, &[], None, &mut |key, _| {
            oldest.push(key.to_vec());
            oldest.len() < PRUNE
        });
        if scanned.is_ok() && oldest.iter().all(|key| self.keyed.remove(BY_KEY, key).is_ok()) {
            self.count -= oldest.len();
        }
    }
}
