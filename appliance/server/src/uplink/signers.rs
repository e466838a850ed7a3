//! By which keys boxes sign their receipts, as each has shown it to head office over its own line.
//!
//! What is passed on by a neighbour is settled in the name of the box whose receipt comes with it, so that receipt must
//! be its own: a neighbour cannot sell in another's name.
//! A box that was replaced shows its new key; what it had signed with the old one stays good.
//! A box that never reached head office has shown none, and its word is taken as its neighbour brings it; the ledger
//! notes by whom.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::VerifyingKey;
use storebox_proto::ids::NodeId;
use storebox_proto::ticket::Receipt;

use crate::files::{self, PRIVATE};

/// Its name within the data directory.
const FILE: &str = "receipt-keys.json";
/// A box is not replaced more often while what it sold is still under way.
const KEYS_MAX: usize = 8;

/// What is known of a receipt's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// The box has signed it.
    Yes,
    /// The box has shown other keys only.
    No,
    /// The box has shown none.
    Unknown,
}

/// All keys; cheap to clone.
#[derive(Debug, Clone)]
pub struct Signers {
    path: Arc<PathBuf>,
    /// Hexadecimal, the newest last.
    keys: Arc<Mutex<BTreeMap<NodeId, Vec<String>>>>,
}

impl Signers {
    /// Opens those of a data directory; a file that is damaged is an error, since it decides who is believed.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let keys = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path: Arc::new(path), keys: Arc::new(Mutex::new(keys)) })
    }

    /// A box shows its key; it is on the disk when this returns. Reads and writes a file: blocking.
    pub fn learn(&self, node: &NodeId, key: &VerifyingKey) -> io::Result<()> {
        let mut keys = self.lock();
        let mut changed = keys.clone();
        let known = changed.entry(node.clone()).or_default();
        let text = hex::encode(key.as_bytes());
        if known.last() == Some(&text) {
            return Ok(());
        }
        if !known.is_empty() {
            tracing::warn!(%node, "a box signs its receipts with another key than before");
        }
        known.retain(|one| *one != text);
        known.push(text);
        let surplus = known.len().saturating_sub(KEYS_MAX);
        known.drain(..surplus);
        let bytes = serde_json::to_vec(&changed).expect("names and texts are JSON");
        files::replace(&self.path, &bytes, PRIVATE)?;
        *keys = changed;
        Ok(())
    }

    /// Whether the box that is named in a receipt has signed it.
    pub fn judge(&self, receipt: &Receipt) -> Signed {
        let keys = self.lock();
        let Some(known) = keys.get(&receipt.node) else { return Signed::Unknown };
        match known.iter().filter_map(|text| key(text)).any(|key| receipt.is_signed_by(&key)) {
            true => Signed::Yes,
            false => Signed::No,
        }
    }

    /// What is behind the lock is whole even if a thread died while holding it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Vec<String>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key as it is written.
pub fn key(text: &str) -> Option<VerifyingKey> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    VerifyingKey::from_bytes(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use storebox_proto::ids::Hash32;
    use storebox_proto::ticket::Grade;
    use storebox_proto::time::Timestamp;

    use super::*;

    fn receipt(node: &str, signer: &SigningKey) -> Receipt {
        let key = "0192d3a4-5b6c-7d8e-9f00-112233445566".parse().unwrap();
        let (digest, at) = (Hash32::of(b"x"), Timestamp::from_unix_ms(1));
        Receipt::state(key, digest, Grade::Held, &node.parse().unwrap(), 1, at).sign(signer)
    }

    #[test]
    fn a_key_that_a_box_has_shown_is_remembered_also_after_it_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let signers = Signers::open(dir.path()).unwrap();
        let [old, new, other] = [1, 2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let node: NodeId = "box-1".parse().unwrap();
        assert_eq!(signers.judge(&receipt("box-1", &old)), Signed::Unknown);
        signers.learn(&node, &old.verifying_key()).unwrap();
        assert_eq!(signers.judge(&receipt("box-1", &new)), Signed::No);
        signers.learn(&node, &new.verifying_key()).unwrap();
        let again = Signers::open(dir.path()).unwrap();
        for (signer, signed) in [(&old, Signed::Yes), (&new, Signed::Yes), (&other, Signed::No)] {
            assert_eq!(again.judge(&receipt("box-1", signer)), signed);
        }
        assert_eq!(again.judge(&receipt("box-2", &old)), Signed::Unknown);
        for seed in 10..30 {
            again.learn(&node, &SigningKey::from_bytes(&[seed; 32]).verifying_key()).unwrap();
        }
        assert_eq!(again.lock()[&node].len(), KEYS_MAX);
    }

    #[test]
    fn a_damaged_file_is_not_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), b"{\"box-1\":").unwrap();
        assert!(Signers::open(dir.path()).is_err());
    }
}
