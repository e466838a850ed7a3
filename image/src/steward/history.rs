//! What became of updates on this box: tried, installed, confirmed, fallen back, and why.
//!
//! One line of JSON each, the newest last, bounded in number. It is written by root and read by the
//! service, which tells head office; a release that fell back once is not tried again by itself.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Error, Places, io_error, replace};

/// Years of updates; the file stays far below a megabyte.
const LINES_MAX: usize = 500;
const WHY_CHARS_MAX: usize = 500;

/// What happened to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Its bytes are being written.
    Installing,
    /// It could not be written; the running release stays.
    Failed,
    /// It is written and starts next.
    Installed,
    /// It started and passed the self-test.
    Confirmed,
    /// It started, or tried to, and the one before came back.
    FellBack,
    /// It was not tried, for a reason.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Seconds since 1970 by the box's clock, which may be wrong.
    pub at: u64,
    pub event: Event,
    pub version: String,
    /// The hash of the update's manifest: exactly this update.
    #[serde(default)]
    pub manifest: String,
    #[serde(default)]
    pub why: String,
}

fn file(places: &Places) -> PathBuf {
    places.state().join("updates.jsonl")
}

/// All lines that can be read; a torn one is left out.
pub fn load(places: &Places) -> Result<Vec<Line>, Error> {
    let path = file(places);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

/// Adds a line and has it on the disk.
pub fn note(
    places: &Places,
    event: Event,
    version: &str,
    manifest: &str,
    why: &str,
) -> Result<(), Error> {
    let why = why.chars().take(WHY_CHARS_MAX).collect();
    let (version, manifest) = (version.to_owned(), manifest.to_owned());
    let mut lines = load(places)?;
    lines.push(Line { at: now(), event, version, manifest, why });
    let skip = lines.len().saturating_sub(LINES_MAX);
    let mut text = String::new();
    for line in &lines[skip..] {
        text += &serde_json::to_string(line).expect("a line of texts and numbers is JSON");
        text.push('\n');
    }
    replace(&file(places), text.as_bytes())
}

/// Whether this very update came back once.
pub fn fell_back(lines: &[Line], manifest: &str) -> bool {
    lines.iter().any(|line| line.event == Event::FellBack && line.manifest == manifest)
}

/// The update that was written and has neither proved itself nor come back.
pub fn pending(lines: &[Line]) -> Option<&Line> {
    let last = lines.iter().rfind(|line| line.event != Event::Refused)?;
    (last.event == Event::Installed).then_some(last)
}

#[expect(clippy::disallowed_methods, reason = "a log for people, and the last day of an approval")]
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fell_back_is_known_again_and_the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        assert_eq!(load(&places).unwrap(), []);
        note(&places, Event::Installed, "2.0.0", "aa", "").unwrap();
        assert_eq!(pending(&load(&places).unwrap()).unwrap().version, "2.0.0");
        note(&places, Event::Refused, "1.0.0", "bb", "older").unwrap();
        assert!(pending(&load(&places).unwrap()).is_some(), "a refusal changes nothing");
        note(&places, Event::FellBack, "2.0.0", "aa", "no service").unwrap();
        let lines = load(&places).unwrap();
        assert!(pending(&lines).is_none());
        assert!(fell_back(&lines, "aa") && !fell_back(&lines, "bb"));
        for _ in 0..LINES_MAX {
            note(&places, Event::Refused, "1.0.0", "bb", &"x".repeat(2000)).unwrap();
        }
        assert_eq!(load(&places).unwrap().len(), LINES_MAX);
    }

    #[test]
    fn a_torn_line_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        note(&places, Event::Installed, "2.0.0", "aa", "").unwrap();
        let whole = fs::read_to_string(file(&places)).unwrap();
        fs::write(file(&places), format!("{whole}{}", &whole[..20])).unwrap();
        assert_eq!(load(&places).unwrap().len(), 1);
    }
}
