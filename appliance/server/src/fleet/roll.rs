//! What each box said last, in memory and in a file that can be thrown away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storebox_proto::heartbeat::Heartbeat;
use storebox_proto::ids::NodeId;
use storebox_proto::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::blocking::beside;
use crate::files;
use crate::terminal::access::ENTRIES_MAX;

/// Its name within the data directory.
pub const FILE: &str = "boxes.json";
/// How often the file is replaced, if anything changed; a restart makes boxes that are silent forgotten otherwise.
const WRITE_EVERY: Duration = Duration::from_secs(300);

/// What a box said last, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// By the clock of head office.
    pub at: Timestamp,
    /// What it said.
    pub heartbeat: Heartbeat,
}

/// All boxes that ever spoke; cheap to clone.
#[derive(Debug, Clone)]
pub struct Roll {
    path: Arc<PathBuf>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    boxes: BTreeMap<NodeId, Heard>,
    is_changed: bool,
}

impl Roll {
    /// Opens the roll of a data directory; what cannot be read is forgotten, which the log says.
    pub fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let boxes = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "what boxes said before is forgotten");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        let inner = Inner { boxes, is_changed: false };
        Self { path: Arc::new(path), inner: Arc::new(Mutex::new(inner)) }
    }

    /// A box speaks; only boxes with a token do, so there are no more than tokens.
    pub fn hear(&self, node: NodeId, heartbeat: Heartbeat, at: Timestamp) {
        let mut inner = self.lock();
        if inner.boxes.len() >= ENTRIES_MAX && !inner.boxes.contains_key(&node) {
            return;
        }
        inner.boxes.insert(node, Heard { at, heartbeat });
        inner.is_changed = true;
    }

    /// What a box said last.
    pub fn of(&self, node: &NodeId) -> Option<Heard> {
        self.lock().boxes.get(node).cloned()
    }

    /// What every box said last, by name.
    pub fn all(&self) -> Vec<(NodeId, Heard)> {
        self.lock().boxes.iter().map(|(node, heard)| (node.clone(), heard.clone())).collect()
    }

    /// Writes the roll now and then; dropped at an await, the last minutes are forgotten.
    pub async fn run(self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(WRITE_EVERY);
        loop {
            let goes_on = stop.run_until_cancelled(tick.tick()).await.is_some();
            let roll = self.clone();
            // A write to a slow disk must not hold up the runtime.
            beside(move || roll.write()).await;
            if !goes_on {
                return;
            }
        }
    }

    fn write(&self) {
        let bytes = {
            let mut inner = self.lock();
            if !std::mem::take(&mut inner.is_changed) {
                return;
            }
            serde_json::to_vec(&inner.boxes).expect("names, texts and numbers are JSON")
        };
        if let Err(error) = files::replace(&self.path, &bytes, files::PRIVATE) {
            tracing::warn!(%error, "what boxes say cannot be remembered");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeat(waiting: u64) -> Heartbeat {
        let text = format!(
            r#"{{"version":"1","now":"2026-11-22T10:02:00Z","uptimeS":1,"feeds":[],"level":"good","sentence":"Selling normally","waiting":{waiting}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[tokio::test]
    async fn what_a_box_said_last_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let roll = Roll::open(dir.path());
        let node: NodeId = "store-1".parse().unwrap();
        assert_eq!(roll.of(&node), None);
        roll.hear(node.clone(), heartbeat(3), Timestamp::from_unix_ms(1));
        roll.hear(node.clone(), heartbeat(4), Timestamp::from_unix_ms(2));
        let stop = CancellationToken::new();
        stop.cancel();
        roll.clone().run(stop).await;
        let heard = Roll::open(dir.path()).of(&node).unwrap();
        assert_eq!((heard.at.unix_ms(), heard.heartbeat.waiting), (2, Some(4)));
        std::fs::write(dir.path().join(FILE), b"{\"store-1\":").unwrap();
        assert_eq!(Roll::open(dir.path()).of(&node), None);
    }
}
