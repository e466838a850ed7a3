//! What each terminal loaded and when, kept across restarts: the decision at its next login stands on it.
//!
//! One small file, replaced whole after each refresh of a terminal; if it is damaged, every terminal is as if it
//! came for the first time, which is safe.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storebox_proto::ids::{ModelName, TerminalId};
use storebox_proto::limits::FEED_MODELS_MAX;
use storebox_proto::sync::decide::{Past, Policy, is_due};
use storebox_proto::time::Timestamp;

use crate::{files, logging};

/// Its name within the data directory.
pub const FILE: &str = "terminals.json";
/// Refreshes remembered per terminal.
pub const REFRESHES_MAX: usize = 50;
/// Terminals remembered; those that were longest not heard of go first.
const TERMINALS_MAX: usize = 1000;

/// What a terminal loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Extent {
    /// Everything.
    Full,
    /// What had changed.
    Incremental,
}

/// One model of a refresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelLoad {
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// Records loaded.
    pub records: u64,
}

/// One refresh of a terminal, as it reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// What it loaded.
    pub extent: Extent,
    /// Whether it has all of it.
    pub succeeded: bool,
    /// What it loaded of each model.
    #[serde(default)]
    pub models: Vec<ModelLoad>,
    /// How long it took.
    #[serde(default)]
    pub took_ms: u64,
    /// Why it failed, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A refresh with the time at which the box heard of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// When, by the clock of the box.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub report: Report,
}

/// All refreshes of one terminal that are remembered, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Memory {
    full_ok: Option<Timestamp>,
    incremental_ok: Option<Timestamp>,
    full_failed: bool,
    incremental_failed: bool,
    refreshes: VecDeque<Refresh>,
}

/// The memory of all terminals.
#[derive(Debug)]
pub struct Pasts {
    path: PathBuf,
    terminals: BTreeMap<TerminalId, Memory>,
}

impl Report {
    /// The first rule that a report breaks.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self { models, .. } if models.len() > FEED_MODELS_MAX => Err("models: at most 256"),
            Self { error: Some(error), .. } if error.len() > 1000 => {
                Err("error: at most 1000 bytes")
            }
            _ => Ok(()),
        }
    }
}

impl Pasts {
    /// Reads what is remembered.
    pub fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let terminals = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                let error = logging::chain(&error);
                tracing::warn!(error, "the terminals' refreshes are not readable, they start anew");
                BTreeMap::new()
            }),
            Err(_) => BTreeMap::new(),
        };
        Self { path, terminals }
    }

    /// What the decision table wants to know.
    pub fn past(&self, terminal: &TerminalId, policy: &Policy, lost: bool, now: Timestamp) -> Past {
        let fresh = Memory::default();
        let memory = self.terminals.get(terminal).unwrap_or(&fresh);
        let newest = memory.incremental_ok.max(memory.full_ok);
        Past {
            first_use_or_cache_lost: lost || memory.full_ok.is_none() && !memory.full_failed,
            last_full_failed: memory.full_failed,
            last_incremental_failed: memory.incremental_failed,
            full_due: is_due(policy.full_minutes, memory.full_ok, now),
            incremental_due: is_due(policy.incremental_minutes, newest, now),
        }
    }

    /// When the terminal last loaded anything well.
    pub fn newest(&self, terminal: &TerminalId) -> Option<Timestamp> {
        let memory = self.terminals.get(terminal)?;
        memory.incremental_ok.max(memory.full_ok)
    }

    /// The refreshes of a terminal, newest first.
    pub fn refreshes(&self, terminal: &TerminalId) -> Vec<Refresh> {
        let memory = self.terminals.get(terminal);
        memory.map_or(Vec::new(), |memory| memory.refreshes.iter().rev().cloned().collect())
    }

    /// Remembers a refresh.
    pub fn remember(
        &mut self,
        terminal: &TerminalId,
        report: Report,
        now: Timestamp,
    ) -> io::Result<()> {
        self.make_room(terminal);
        let memory = self.terminals.entry(terminal.clone()).or_default();
        match (report.extent, report.succeeded) {
            (Extent::Full, true) => {
                (memory.full_ok, memory.full_failed) = (Some(now), false);
                memory.incremental_failed = false;
            }
            (Extent::Full, false) => memory.full_failed = true,
            (Extent::Incremental, true) => {
                (memory.incremental_ok, memory.incremental_failed) = (Some(now), false);
            }
            (Extent::Incremental, false) => memory.incremental_failed = true,
        }
        memory.refreshes.push_back(Refresh { at: now, report });
        while memory.refreshes.len() > REFRESHES_MAX {
            memory.refreshes.pop_front();
        }
        let bytes = serde_json::to_vec(&self.terminals).expect("names and numbers are JSON");
        files::replace(&self.path, &bytes, files::PRIVATE)
    }

    fn make_room(&mut self, newcomer: &TerminalId) {
        if self.terminals.len() < TERMINALS_MAX || self.terminals.contains_key(newcomer) {
            return;
        }
        let last_heard = |memory: &Memory| memory.refreshes.back().map(|refresh| refresh.at);
        let oldest = self.terminals.iter().min_by_key(|(_, memory)| last_heard(memory));
        if let Some(oldest) = oldest.map(|(terminal, _)| terminal.clone()) {
            self.terminals.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn report(extent: Extent, succeeded: bool) -> Report {
        Report { extent, succeeded, models: Vec::new(), took_ms: 0, error: None }
    }

    #[test]
    fn what_a_terminal_loaded_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let till: TerminalId = "till-1".parse().unwrap();
        let policy = Policy {
            full_minutes: NonZeroU32::new(60),
            incremental_minutes: NonZeroU32::new(10),
            no_auto_incremental_at_login: false,
        };
        let at = |minute: i64| Timestamp::from_unix_ms(minute * 60_000);
        let mut pasts = Pasts::open(dir.path());
        assert!(pasts.past(&till, &policy, false, at(0)).first_use_or_cache_lost);
        pasts.remember(&till, report(Extent::Full, true), at(100)).unwrap();
        pasts.remember(&till, report(Extent::Incremental, false), at(105)).unwrap();
        let pasts = Pasts::open(dir.path());
        let past = pasts.past(&till, &policy, false, at(109));
        assert!(!past.first_use_or_cache_lost && past.last_incremental_failed);
        assert!(!past.full_due && !past.incremental_due);
        let later = pasts.past(&till, &policy, false, at(160));
        assert!(later.full_due && later.incremental_due);
        assert!(pasts.past(&till, &policy, true, at(109)).first_use_or_cache_lost);
        assert_eq!(pasts.refreshes(&till)[0].report.extent, Extent::Incremental);
    }

    #[test]
    fn a_failed_first_load_is_a_failed_full() {
        let dir = tempfile::tempdir().unwrap();
        let till: TerminalId = "till-1".parse().unwrap();
        let mut pasts = Pasts::open(dir.path());
        let now = Timestamp::from_unix_ms(0);
        pasts.remember(&till, report(Extent::Full, false), now).unwrap();
        assert!(pasts.past(&till, &Policy::default(), false, now).last_full_failed);
    }

    #[test]
    fn the_memory_is_bounded_and_a_damaged_one_starts_anew() {
        let dir = tempfile::tempdir().unwrap();
        let till: TerminalId = "till-1".parse().unwrap();
        let mut pasts = Pasts::open(dir.path());
        for minute in 0..60 {
            let at = Timestamp::from_unix_ms(minute);
            pasts.remember(&till, report(Extent::Incremental, true), at).unwrap();
        }
        assert_eq!(pasts.refreshes(&till).len(), REFRESHES_MAX);
        std::fs::write(dir.path().join(FILE), b"torn").unwrap();
        assert!(Pasts::open(dir.path()).refreshes(&till).is_empty());
    }
}
