//! The list of what was struck off, as this box holds it: on disk, in memory, only ever growing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use ed25519_dalek::VerifyingKey;
use storebox_proto::trust::Fingerprint;
use storebox_proto::trust::strike::{ListRefused, Signed};

use super::paper::{self, PaperError};

/// Its name in the folder of the box's papers.
pub const FILE: &str = "strikes.json";

/// Why a list is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum StrikeError {
    /// It is not from head office.
    #[error(transparent)]
    Refused(#[from] ListRefused),
    /// It is older than what is known: somebody replays it.
    #[error("list {offered} is older than list {known}, which is in force")]
    Older {
        /// Its number.
        offered: u64,
        /// The number in force.
        known: u64,
    },
    /// The disk.
    #[error(transparent)]
    Paper(#[from] PaperError),
}

/// The list in force; cheap to clone.
#[derive(Debug, Clone)]
pub struct Strikes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    key: VerifyingKey,
    list: ArcSwap<InForce>,
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct InForce {
    number: u64,
    keys: BTreeSet<Fingerprint>,
}

impl Strikes {
    /// The list that this box has; one that was changed on disk is refused, not ignored.
    pub fn open(folder: &Path, key: VerifyingKey) -> Result<Self, StrikeError> {
        let path = folder.join(FILE);
        let stored: Option<Signed> = paper::read_json(&path, "a list of what was struck off")?;
        let list = match stored {
            Some(signed) => in_force(&signed, &key)?,
            None => InForce::default(),
        };
        let (list, writing) = (ArcSwap::from_pointee(list), Mutex::new(()));
        Ok(Self { inner: Arc::new(Inner { path, key, list, writing }) })
    }

    /// Takes a newer list over: on disk first. True if anything has changed.
    pub fn take(&self, signed: &Signed) -> Result<bool, StrikeError> {
        let offered = in_force(signed, &self.inner.key)?;
        let _writing = self.inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.number();
        if offered.number < known {
            return Err(StrikeError::Older { offered: offered.number, known });
        }
        if offered.number == known {
            return Ok(false);
        }
        paper::write_json(&self.inner.path, signed)?;
        self.inner.list.store(Arc::new(offered));
        Ok(true)
    }

    /// The number of the list in force; 0 before any.
    pub fn number(&self) -> u64 {
        self.inner.list.load().number
    }

    /// How many keys it has.
    pub fn count(&self) -> usize {
        self.inner.list.load().keys.len()
    }

    pub(super) fn has_any(&self, keys: &[Fingerprint]) -> bool {
        let list = self.inner.list.load();
        !list.keys.is_empty() && keys.iter().any(|key| list.keys.contains(key))
    }
}

fn in_force(signed: &Signed, key: &VerifyingKey) -> Result<InForce, ListRefused> {
    let list = signed.open(key)?;
    Ok(InForce { number: list.number, keys: list.keys() })
}
