//! The ledger's index by key: a cache of what the ledger's journal says, checked against it at each start.
//!
//! At the start of each journal segment the index notes how many transactions it knows and a sum over them.
//! When it is opened, everything is counted and summed again: an index that lost or invented something is thrown away
//! and built anew from the journal, because a key that is missing here would be taken twice.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storebox_proto::ids::{Hash32, NodeId, TxKey};
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;

use crate::db::{DiskError, Keyed};
use crate::journal::Location;

const BY_KEY: u8 = b'k';
/// Refusals by their number, for whoever has to look at them.
const REFUSAL: u8 = b'x';
const MARK: u8 = b'w';

/// What the ledger knows of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Line {
    /// It is in the ledger.
    #[serde(rename = "t")]
    Taken(TakenLine),
    /// It was refused; it may come again.
    #[serde(rename = "r")]
    Refused {
        /// Why.
        code: Code,
    },
}

/// A transaction in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TakenLine {
    #[serde(rename = "d")]
    pub(super) digest: Hash32,
    #[serde(rename = "p")]
    pub(super) position: u64,
    #[serde(rename = "a")]
    pub(super) at: Timestamp,
    #[serde(rename = "n")]
    pub(super) node: NodeId,
    #[serde(rename = "l")]
    pub(super) place: (u64, u64, u32, u64),
}

/// Something that a box sent and the ledger refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RefusalLine {
    #[serde(rename = "k")]
    pub(super) key: TxKey,
    #[serde(rename = "l")]
    pub(super) place: (u64, u64, u32, u64),
}

impl RefusalLine {
    pub(super) fn location(&self) -> Location {
        Location::of_place(self.place)
    }
}

impl TakenLine {
    pub(super) fn location(&self) -> Location {
        Location::of_place(self.place)
    }
}

/// What the index has to be equal to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Everything in segments before this one is indexed.
    segment: u64,
    count: u64,
    sum: u64,
}

pub(super) struct Index {
    dir: PathBuf,
    /// Nothing while it is to be opened again.
    keyed: Option<Keyed>,
    count: u64,
    sum: u64,
}

/// An index, and from which segment on the journal has to be read.
pub(super) struct IndexOpened {
    pub(super) index: Index,
    pub(super) from: u64,
    /// Positions and numbers of refusals up to these were given out.
    pub(super) used: Used,
    /// What the journal has to tell again, as the index had it.
    pub(super) beyond: Vec<(TxKey, TakenLine)>,
    /// Why it is built anew.
    pub(super) lost: Option<String>,
}

/// The greatest numbers in the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) position: u64,
    pub(super) refused: u64,
}

/// An index that is what its mark says.
struct Checked {
    mark: Mark,
    used: Used,
    beyond: Vec<(TxKey, TakenLine)>,
}

impl Index {
    pub(super) fn open(dir: &Path) -> Result<IndexOpened, DiskError> {
        let opened = Keyed::open(dir)?;
        let lost = opened.lost.map(|error| error.to_string());
        match check(&opened.keyed) {
            Ok(Checked { mark: Mark { segment, count, sum }, used, beyond }) if lost.is_none() => {
                let (dir, keyed) = (dir.to_owned(), opened.keyed);
                let index = Self { dir, keyed: Some(keyed), count, sum };
                for (key, _) in &beyond {
                    index.keyed()?.remove(BY_KEY, key.0.as_bytes())?;
                }
                Ok(IndexOpened { index, from: segment, used, beyond, lost: None })
            }
            checked => {
                drop(opened.keyed);
                let keyed = Keyed::anew(dir)?;
                let lost = lost.or_else(|| checked.err());
                let (dir, keyed) = (dir.to_owned(), Some(keyed));
                let index = Self { dir, keyed, count: 0, sum: 0 };
                let (used, beyond) = Default::default();
                Ok(IndexOpened { index, from: 0, used, beyond, lost })
            }
        }
    }

    /// Opens it again after a failure: a map that failed once fails for ever.
    pub(super) fn reopen(&mut self) -> Result<IndexOpened, DiskError> {
        self.keyed = None;
        Self::open(&self.dir)
    }

    /// As if the map had failed.
    #[cfg(test)]
    pub(super) fn fail(&mut self) {
        self.keyed = None;
    }

    fn keyed(&self) -> Result<&Keyed, DiskError> {
        self.keyed.as_ref().ok_or(DiskError::Damaged("the ledger's index is not open"))
    }

    pub(super) fn get(&self, key: &TxKey) -> Result<Option<Line>, DiskError> {
        let bytes = self.keyed()?.get(BY_KEY, key.0.as_bytes())?;
        let line = bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose();
        line.map_err(|_| DiskError::Damaged("a line of the ledger's index is not understood"))
    }

    /// Adds a transaction of the journal; twice is as good as once.
    pub(super) fn take(&mut self, key: &TxKey, line: TakenLine) -> Result<(), DiskError> {
        if let Some(Line::Taken(known)) = self.get(key)? {
            self.count -= 1;
            self.sum = self.sum.wrapping_sub(weight(key.0.as_bytes(), &known));
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(weight(key.0.as_bytes(), &line));
        self.put(key, &Line::Taken(line))
    }

    /// Notes a refusal, unless the transaction was taken.
    pub(super) fn refuse(&mut self, key: &TxKey, code: Code) -> Result<(), DiskError> {
        match self.get(key)? {
            Some(Line::Taken(_)) => Ok(()),
            Some(Line::Refused { .. }) | None => self.put(key, &Line::Refused { code }),
        }
    }

    /// Notes where a refusal stands; twice is as good as once.
    pub(super) fn list_refusal(&self, number: u64, line: &RefusalLine) -> Result<(), DiskError> {
        let bytes = serde_json::to_vec(line).expect("plain data with string keys");
        self.keyed()?.put(REFUSAL, &number.to_be_bytes(), &bytes)
    }

    /// Refusals behind this number, at most so many.
    pub(super) fn refusals(
        &self,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<(u64, RefusalLine)>, DiskError> {
        let mut found = Vec::new();
        self.keyed()?.scan(REFUSAL, &[], Some(&after.to_be_bytes()), &mut |number, bytes| {
            let number = <[u8; 8]>::try_from(number).map(u64::from_be_bytes);
            if let (Ok(number), Ok(line)) = (number, serde_json::from_slice(bytes)) {
                found.push((number, line));
            }
            found.len() < count_max
        })?;
        Ok(found)
    }

    /// What the index is now, at the start of this segment.
    pub(super) fn at_start_of(&self, segment: u64) -> Mark {
        Mark { segment, count: self.count, sum: self.sum }
    }

    /// Everything in segments before that of the mark is indexed, and durable from now on.
    pub(super) fn mark(&self, mark: &Mark) -> Result<(), DiskError> {
        self.keyed()?.commit()?;
        let bytes = serde_json::to_vec(mark).expect("plain numbers");
        self.keyed()?.put(MARK, &[], &bytes)
    }

    /// Transactions in the ledger.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Shows the transactions behind this key, in the order of their keys, until `each` says no.
    pub(super) fn scan(
        &self,
        after: Option<&TxKey>,
        each: &mut dyn FnMut(TxKey, TakenLine) -> bool,
    ) -> Result<(), DiskError> {
        let after = after.map(|key| *key.0.as_bytes());
        self.keyed()?.scan(BY_KEY, &[], after.as_ref().map(|key| &key[..]), &mut |key, bytes| {
            let key = uuid::Uuid::from_slice(key).map(TxKey);
            match (key, serde_json::from_slice(bytes)) {
                (Ok(key), Ok(Line::Taken(line))) => each(key, line),
                _ => true,
            }
        })
    }

    fn put(&self, key: &TxKey, line: &Line) -> Result<(), DiskError> {
        let bytes = serde_json::to_vec(line).expect("plain data with string keys");
        self.keyed()?.put(BY_KEY, key.0.as_bytes(), &bytes)
    }
}

/// The mark, if the index is what it says, and what the journal tells again.
fn check(keyed: &Keyed) -> Result<Checked, String> {
    let text = |error: DiskError| error.to_string();
    let mark = match keyed.get(MARK, &[]).map_err(text)? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string())?,
        None => Mark::default(),
    };
    let (mut count, mut sum) = (0_u64, 0_u64);
    let (mut beyond, mut used) = (Vec::new(), Used::default());
    keyed
        .scan(BY_KEY, &[], None, &mut |key, bytes| {
            let Ok(Line::Taken(line)) = serde_json::from_slice::<Line>(bytes) else { return true };
            used.position = used.position.max(line.position);
            if line.place.0 < mark.segment {
                count += 1;
                sum = sum.wrapping_add(weight(key, &line));
            } else if let Ok(key) = uuid::Uuid::from_slice(key) {
                beyond.push((TxKey(key), line));
            }
            true
        })
        .map_err(text)?;
    keyed
        .scan(REFUSAL, &[], None, &mut |number, _| {
            used.refused = used.refused.max(number.try_into().map_or(0, u64::from_be_bytes));
            true
        })
        .map_err(text)?;
    if (count, sum) == (mark.count, mark.sum) {
        Ok(Checked { mark, used, beyond })
    } else {
        Err(format!("the index has {count} transactions, its mark says {}", mark.count))
    }
}

fn weight(key: &[u8], line: &TakenLine) -> u64 {
    let mut bytes = key.to_vec();
    bytes.extend_from_slice(&line.digest.0);
    bytes.extend_from_slice(&line.position.to_le_bytes());
    let hash = Hash32::of(&bytes).0;
    u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
}
