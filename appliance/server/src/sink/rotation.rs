//! When a file of lines is finished, and what it is called then.

use std::path::{Path, PathBuf};
use std::time::Duration;

use storebox_proto::time::Timestamp;

/// The end of the name of a file that is still written to.
pub(super) const OPEN: &str = ".part";
/// The end of the name of a finished file.
const FINISHED: &str = ".ndjson";

/// When a file is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rotation {
    pub(super) bytes: u64,
    pub(super) age: Duration,
}

impl Rotation {
    /// Whether a file with so many bytes, begun then, takes no further line.
    pub(super) fn is_due(&self, bytes: u64, begun: Timestamp, now: Timestamp) -> bool {
        let age = u64::try_from(now.unix_ms() - begun.unix_ms()).unwrap_or(0);
        bytes >= self.bytes || u128::from(age) >= self.age.as_millis()
    }
}

/// The file that begins with this position; names sort in the order of the ledger.
pub(super) fn open_name(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:016}{FINISHED}{OPEN}"))
}

/// What an open file is called when it is finished.
pub(super) fn finished_name(open: &Path) -> PathBuf {
    let name = open.file_name().unwrap_or_default().to_string_lossy();
    open.with_file_name(name.trim_end_matches(OPEN))
}

/// The position in the name of a file that is ours.
pub(super) fn first_of(name: &str) -> Option<u64> {
    name.trim_end_matches(OPEN).strip_suffix(FINISHED)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_finished_by_size_or_age() {
        let rotation = Rotation { bytes: 1000, age: Duration::from_secs(60) };
        let at = Timestamp::from_unix_ms;
        assert!(!rotation.is_due(999, at(0), at(59_999)));
        assert!(rotation.is_due(1000, at(0), at(0)));
        assert!(rotation.is_due(1, at(0), at(60_000)));
        assert!(!rotation.is_due(1, at(60_000), at(0)), "a clock that was put back");
    }

    #[test]
    fn names_tell_the_first_position() {
        let open = open_name(Path::new("d"), 42);
        assert_eq!(open, Path::new("d/0000000000000042.ndjson.part"));
        assert_eq!(finished_name(&open), Path::new("d/0000000000000042.ndjson"));
        assert_eq!(first_of("0000000000000042.ndjson"), Some(42));
        assert_eq!(first_of("0000000000000042.ndjson.part"), Some(42));
        assert_eq!(first_of("notes.txt"), None);
    }
}
