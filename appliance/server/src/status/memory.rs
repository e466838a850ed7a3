//! Since when a line is up or down: the parts tell only how it is now.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use storebox_proto::time::Timestamp;

use super::Status;

/// What was seen of each line last; bounded by the lines of the configuration, because lines that are gone are forgotten.
#[derive(Debug, Default)]
pub(super) struct LineMemory(Mutex<BTreeMap<(String, String), Seen>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    up: bool,
    /// When it changed; nothing if it did not since the start.
    since: Option<Timestamp>,
}

impl LineMemory {
    /// Writes into the lines since when they are as they are.
    pub(super) fn date(&self, status: &mut Status) {
        let now = status.now;
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = BTreeMap::new();
        for line in &mut status.lines {
            let name = (line.service.clone(), line.to.clone());
            let here = match seen.get(&name) {
                Some(before) if before.up == line.up => *before,
                Some(_) => Seen { up: line.up, since: Some(now) },
                None => Seen { up: line.up, since: None },
            };
            line.since = here.since;
            fresh.insert(name, here);
        }
        *seen = fresh;
    }
}
