//! What drills there were, in a small file: who cut the line when, and what came of it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use storebox_proto::drill::{End, Report};

use crate::files;

/// Its name within the data directory.
pub const FILE: &str = "drills.json";
/// Older reports go.
const REPORTS_MAX: usize = 50;

/// The reports, the oldest first; the last one may be of a drill that is under way.
#[derive(Debug)]
pub(super) struct Diary {
    path: PathBuf,
    reports: VecDeque<Report>,
}

impl Diary {
    /// The diary of a data directory; a drill that was under way has ended with the process.
    ///
    /// A diary that cannot be read is begun anew, which the log says: a shop does not stop over it.
    pub(super) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let mut reports: VecDeque<Report> = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "reports of earlier drills are lost");
                VecDeque::new()
            }),
            Err(_) => VecDeque::new(),
        };
        for report in reports.iter_mut().filter(|report| !report.finished) {
            report.end.get_or_insert(End::Restart);
            report.finished = true;
        }
        Self { path, reports }
    }

    /// Writes a report down in place of what was written of the same drill before.
    pub(super) fn write(&mut self, report: Report) -> io::Result<()> {
        if self.reports.back().is_some_and(|last| !last.finished) {
            self.reports.pop_back();
        }
        self.reports.push_back(report);
        while self.reports.len() > REPORTS_MAX {
            self.reports.pop_front();
        }
        let bytes = serde_json::to_vec(&self.reports).expect("names, times and numbers are JSON");
        files::replace(&self.path, &bytes, files::PRIVATE)
    }

    /// All reports, the newest first.
    pub(super) fn newest(&self) -> Vec<Report> {
        self.reports.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storebox_proto::time::Timestamp;

    fn report(number: i64) -> Report {
        Report {
            by: "anna".to_owned(),
            began: Timestamp::from_unix_ms(number),
            until: Timestamp::from_unix_ms(number + 1000),
            ended: None,
            end: None,
            ended_by: None,
            accepted: 0,
            failed: 0,
            longest_us: None,
            waiting: 0,
            drained_ms: None,
            finished: false,
        }
    }

    #[test]
    fn a_drill_that_a_power_cut_ended_is_known_to_have_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut diary = Diary::open(dir.path());
        diary.write(report(1)).unwrap();
        diary.write(Report { accepted: 3, finished: true, ..report(1) }).unwrap();
        diary.write(report(2)).unwrap();
        let again = Diary::open(dir.path()).newest();
        assert_eq!(again.len(), 2);
        assert_eq!(
            (again[0].end, again[0].ended, again[0].finished),
            (Some(End::Restart), None, true)
        );
        assert_eq!((again[1].end, again[1].accepted), (None, 3));
        std::fs::write(dir.path().join(FILE), b"[{").unwrap();
        assert!(Diary::open(dir.path()).newest().is_empty());
    }

    #[test]
    fn the_diary_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut diary = Diary::open(dir.path());
        for number in 0..60 {
            diary.write(Report { finished: true, ..report(number) }).unwrap();
        }
        let kept = Diary::open(dir.path()).newest();
        assert_eq!((kept.len(), kept[0].began.unix_ms()), (REPORTS_MAX, 59));
    }
}
