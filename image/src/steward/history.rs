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
    /// It was not tried, for a reason that stays.
    Refused,
    /// It may not be installed as long as nobody renews its approval.
    Unapproved,
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

/// All lines that can be read; a torn or damaged one is left out.
pub fn load(places: &Places) -> Result<Vec<Line>, Error> {
    let path = file(places);
    match fs::read(&path) {
        Ok(bytes) => {
            let lines = bytes.split(|byte| *byte == b'\n');
            Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
        }
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
    let mut lines = load(places)?;
    lines.push(line(event, version, manifest, why));
    store(places, lines)
}

/// The same for what is met again every night: of one update and one event only the last word stays. Says whether it
/// is another one than before.
pub fn note_once(
    places: &Places,
    event: Event,
    version: &str,
    manifest: &str,
    why: &str,
) -> Result<bool, Error> {
    let new = line(event, version, manifest, why);
    let mut lines = load(places)?;
    let is_of_it = |line: &Line| {
        (line.event, &line.version, &line.manifest) == (new.event, &new.version, &new.manifest)
    };
    if lines.iter().any(|line| is_of_it(line) && line.why == new.why) {
        return Ok(false);
    }
    lines.retain(|line| !is_of_it(line));
    lines.push(new);
    store(places, lines).map(|()| true)
}

fn line(event: Event, version: &str, manifest: &str, why: &str) -> Line {
    let why = why.chars().take(WHY_CHARS_MAX).collect();
    Line { at: now(), event, version: version.to_owned(), manifest: manifest.to_owned(), why }
}

fn store(places: &Places, mut lines: Vec<Line>) -> Result<(), Error> {
    trim(&mut lines, LINES_MAX);
    let mut text = String::new();
    for line in &lines {
        text += &serde_json::to_string(line).expect("a line of texts and numbers is JSON");
        text.push('\n');
    }
    replace(&file(places), text.as_bytes())
}

/// Leaves so many lines: the newest half, and of those before them what fell back rather than what else happened.
pub(super) fn trim(lines: &mut Vec<Line>, max: usize) {
    let newest = lines.split_off(lines.len().saturating_sub(max / 2));
    let mut over = (lines.len() + newest.len()).saturating_sub(max);
    lines.retain(|line| {
        let goes = over > 0 && line.event != Event::FellBack;
        over -= usize::from(goes);
        !goes
    });
    lines.drain(..over);
    lines.extend(newest);
}

/// Whether this very update came back once.
pub fn fell_back(lines: &[Line], manifest: &str) -> bool {
    lines.iter().any(|line| line.event == Event::FellBack && line.manifest == manifest)
}

/// How often this very update could not be written.
pub(super) fn failures(lines: &[Line], manifest: &str) -> usize {
    let of_it = lines.iter().filter(|line| line.manifest == manifest);
    of_it.filter(|line| line.event == Event::Failed).count()
}

/// The update that was written and has neither proved itself nor come back.
pub fn pending(lines: &[Line]) -> Option<&Line> {
    last_of_a_slot(lines).filter(|last| last.event == Event::Installed)
}

/// The update that was begun, of whose end nothing is known, and whether one before it waits for its start.
pub(super) fn begun(lines: &[Line]) -> Option<(&Line, bool)> {
    let begun = last_of_a_slot(lines).filter(|last| last.event == Event::Installing)?;
    let at = lines.iter().rposition(|line| line == begun)?;
    Some((begun, pending(&lines[..at]).is_some()))
}

fn last_of_a_slot(lines: &[Line]) -> Option<&Line> {
    lines.iter().rfind(|line| !matches!(line.event, Event::Refused | Event::Unapproved))
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
        let whole = fs::read(file(&places)).unwrap();
        fs::write(file(&places), [b"{\"at\":\xff\n", whole.as_slice()].concat()).unwrap();
        assert_eq!(load(&places).unwrap().len(), 2, "a damaged line is left out");
        note(&places, Event::FellBack, "2.0.0", "aa", "no service").unwrap();
        let lines = load(&places).unwrap();
        assert!(pending(&lines).is_none());
        assert!(fell_back(&lines, "aa") && !fell_back(&lines, "bb"));
        for _ in 0..LINES_MAX {
            note(&places, Event::Refused, "1.0.0", "bb", &"x".repeat(2000)).unwrap();
        }
        let lines = load(&places).unwrap();
        assert_eq!(lines.len(), LINES_MAX);
        assert!(fell_back(&lines, "aa"), "years of others do not make it forgotten");
        assert_eq!(lines.last().unwrap().event, Event::Refused);
    }

    #[test]
    fn what_is_met_every_night_has_one_line_with_the_last_word_and_another_update_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path());
        note(&places, Event::Installed, "1.4.0", "00", "").unwrap();
        let again = |version: &str, why: &str| {
            note_once(&places, Event::Unapproved, version, "aa", why).unwrap()
        };
        assert!(again("1.5.0", "expired today") && !again("1.5.0", "expired today"));
        assert!(again("1.6.0", "expired today"));
        assert!(!again("1.5.0", "expired today"), "whatever came between");
        assert!(again("1.5.0", "expired yesterday"));
        let lines = load(&places).unwrap();
        let told: Vec<_> = lines.iter().map(|line| (&*line.version, &*line.why)).collect();
        let wanted = [("1.4.0", ""), ("1.6.0", "expired today"), ("1.5.0", "expired yesterday")];
        assert_eq!(told, wanted);
        assert_eq!(pending(&lines).unwrap().version, "1.4.0", "nothing was written since");
    }

    #[test]
    fn whatever_fell_back_before_the_newest_lines_are_there() {
        let line = |event, version: &str| line(event, version, "aa", "");
        let mut lines: Vec<_> = (0..30).map(|_| line(Event::FellBack, "1.0.0")).collect();
        lines.push(line(Event::Installed, "2.0.0"));
        trim(&mut lines, 20);
        assert_eq!((lines.len(), lines[19].event), (20, Event::Installed));
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
