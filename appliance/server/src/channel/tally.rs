//! How often code of the chain ran since the start, and how it did: by the name by which logs and refusals name it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Names that are told apart; masterdata may define more, and change them for ever.
const NAMES_MAX: usize = 1000;
/// The name of what is beyond.
const OTHERS: &str = "others";
/// Of an error, so much is kept.
const ERROR_CHARS_MAX: usize = 300;

/// How one piece of code did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    /// How often it ran, well or not.
    pub count: u64,
    /// How often it refused, failed, was stopped or could not be asked.
    pub failures: u64,
    /// How long all runs took together.
    pub took: Duration,
    /// Why it failed last.
    pub last_error: Option<String>,
}

/// The counts; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    names: Arc<Mutex<BTreeMap<String, Runs>>>,
}

impl Tally {
    /// Something ran.
    pub fn note(&self, name: &str, took: Duration, error: Option<String>) {
        let mut names = self.names();
        let is_known = names.contains_key(name) || names.len() < NAMES_MAX;
        let runs = names.entry(if is_known { name } else { OTHERS }.to_owned()).or_default();
        runs.count += 1;
        runs.took += took;
        if let Some(error) = error {
            runs.failures += 1;
            runs.last_error = Some(error.chars().take(ERROR_CHARS_MAX).collect());
        }
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<(String, Runs)> {
        self.names().iter().map(|(name, runs)| (name.clone(), runs.clone())).collect()
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, Runs>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_by_name_and_names_are_bounded() {
        let tally = Tally::default();
        let ms = Duration::from_millis(1);
        tally.note("hook a", ms, None);
        tally.note("hook a", ms, Some("is stopped".to_owned()));
        for number in 0..2 * NAMES_MAX {
            tally.note(&format!("hook {number}"), ms, None);
        }
        let all: BTreeMap<_, _> = tally.all().into_iter().collect();
        let expected =
            Runs { count: 2, failures: 1, took: 2 * ms, last_error: Some("is stopped".to_owned()) };
        assert_eq!(all["hook a"], expected);
        assert_eq!(all.len(), NAMES_MAX + 1);
        assert_eq!(all[OTHERS].count, NAMES_MAX as u64 + 1);
    }
}
