//! Which box or terminal refreshed what, when, and how it went.
//!
//! A bounded list in memory and a file beside it that can be thrown away: history is for people, nothing is decided by
//! it but whether a periodic refresh is due.
//! At head office the entries of all boxes come together in one list; an entry is known by its node and number, so
//! that one which is reported twice is kept once.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use storebox_proto::feed::Position;
use storebox_proto::ids::{FeedId, ModelName, NodeId, TerminalId};
use storebox_proto::sync::fetch::Mode;
use storebox_proto::time::Timestamp;
use tokio::sync::watch;

use crate::spans::{self, Kind, Span};

/// Entries that are kept.
pub const ENTRIES_MAX: usize = 10_000;
/// Entries in one report between boxes, and on one page of an answer.
pub const PAGE_MAX: usize = 500;
/// The file is written anew when it holds this many lines that are no longer kept.
const STALE_MAX: usize = ENTRIES_MAX;
/// A line of the file that may be read back.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What one refresh did to one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelLoad {
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// Records, or changes of an incremental refresh.
    pub records: u64,
    /// In how many pages they came.
    pub pages: u32,
}

/// What happened, before it has a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// The terminal that refreshed from its box; nothing if it was the box itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub terminal: Option<TerminalId>,
    /// The feed.
    #[schema(value_type = String)]
    pub feed: FeedId,
    /// How it loaded.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// Where it led.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub position: Option<Position>,
    /// When it ended.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// How long it took.
    pub took_ms: u64,
    /// Why it failed; nothing if it did not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// What was loaded, in order.
    #[serde(default)]
    pub models: Vec<ModelLoad>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The box.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// Its number at that box, ascending.
    pub number: u64,
    /// What happened.
    #[serde(flatten)]
    pub refresh: Refresh,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this box.
    pub node: Option<NodeId>,
    /// Of this terminal.
    pub terminal: Option<TerminalId>,
    /// In which this model was loaded.
    pub model: Option<ModelName>,
    /// At most so many, never more than a page.
    pub limit: usize,
}

/// The history of this node; a cheap handle.
#[derive(Debug, Clone)]
pub struct History {
    inner: Arc<Mutex<Inner>>,
    /// The number of this box's own latest entry.
    latest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    node: NodeId,
    path: PathBuf,
    entries: VecDeque<Entry>,
    /// The highest number of each node.
    numbers: BTreeMap<NodeId, u64>,
    file: Option<File>,
    lines: usize,
}

impl History {
    /// Reads what the file still says; a file that cannot be read is begun anew.
    pub fn open(path: &Path, node: NodeId) -> io::Result<Self> {
        let (mut entries, mut numbers) = (VecDeque::new(), BTreeMap::new());
        let mut lines = 0;
        if let Ok(file) = File::open(path) {
            for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
                lines += 1;
                if line.len() > LINE_BYTES_MAX {
                    continue;
                }
                if let Ok(entry) = serde_json::from_slice::<Entry>(&line) {
                    note(&mut entries, &mut numbers, entry);
                }
            }
        }
        let latest = watch::Sender::new(numbers.get(&node).copied().unwrap_or(0));
        let mut inner = Inner { node, path: path.to_owned(), entries, numbers, file: None, lines };
        // A full disk must not keep the box from its start; the next entry tries again.
        if let Err(error) = inner.rewrite() {
            tracing::warn!(error = %error, "the refresh history is kept in memory only");
        }
        Ok(Self { inner: Arc::new(Mutex::new(inner)), latest })
    }

    /// Notes a refresh of this box or of one of its terminals.
    pub fn record(&self, refresh: Refresh) -> Entry {
        tell(&refresh);
        let mut inner = self.lock();
        let number = inner.numbers.get(&inner.node).map_or(1, |number| number + 1);
        let entry = Entry { node: inner.node.clone(), number, refresh };
        inner.add(entry.clone());
        drop(inner);
        self.latest.send_replace(number);
        entry
    }

    /// Follows the number of this box's own latest entry.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Takes the report of another box; what is known already changes nothing. Returns how many were new.
    pub fn report(&self, node: &NodeId, entries: Vec<Entry>) -> usize {
        let mut inner = self.lock();
        let mut new = 0;
        for mut entry in entries.into_iter().take(PAGE_MAX) {
            entry.node = node.clone();
            if *node != inner.node && inner.is_news(&entry) {
                inner.add(entry);
                new += 1;
            }
        }
        new
    }

    /// This box's own entries after a number, oldest first, at most a page.
    pub fn own_after(&self, number: u64) -> Vec<Entry> {
        let inner = self.lock();
        let own = inner.entries.iter().filter(|entry| entry.node == inner.node);
        own.filter(|entry| entry.number > number).take(PAGE_MAX).cloned().collect()
    }

    /// Entries, newest first.
    pub fn list(&self, filter: &Filter) -> Vec<Entry> {
        let inner = self.lock();
        let fits = |entry: &&Entry| {
            let refresh = &entry.refresh;
            let of_model =
                |model: &ModelName| refresh.models.iter().any(|load| load.model == *model);
            filter.node.as_ref().is_none_or(|node| entry.node == *node)
                && filter.terminal.as_ref().is_none_or(|one| refresh.terminal.as_ref() == Some(one))
                && filter.model.as_ref().is_none_or(of_model)
        };
        let newest_first = inner.entries.iter().rev();
        newest_first.filter(fits).take(filter.limit.min(PAGE_MAX)).cloned().collect()
    }

    /// When this box last ended a refresh of the feed well: of any kind, and the last full one.
    pub fn last_good(&self, feed: &FeedId) -> (Option<Timestamp>, Option<Timestamp>) {
        let inner = self.lock();
        let good = || {
            inner.entries.iter().rev().map(|entry| (&entry.node, &entry.refresh)).filter(
                |(node, refresh)| {
                    **node == inner.node
                        && refresh.terminal.is_none()
                        && refresh.feed == *feed
                        && refresh.error.is_none()
                },
            )
        };
        let any = good().map(|(_, refresh)| refresh.at).next();
        let full = good().find(|(_, refresh)| refresh.mode != Mode::Incremental);
        (any, full.map(|(_, refresh)| refresh.at))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether a box reports something that is not known: a higher number, or a later time under a number that it
    /// has used before, which is how a box speaks whose disk was replaced.
    fn is_news(&self, entry: &Entry) -> bool {
        if self.numbers.get(&entry.node).is_none_or(|last| entry.number > *last) {
            return true;
        }
        let of_node = self.entries.iter().filter(|known| known.node == entry.node);
        let newest = of_node.map(|known| known.refresh.at).max();
        newest.is_some_and(|newest| entry.refresh.at > newest)
    }

    fn add(&mut self, entry: Entry) {
        let line = serde_json::to_vec(&entry).expect("an entry is plain data");
        note(&mut self.entries, &mut self.numbers, entry);
        self.lines += 1;
        let stale = self.lines > ENTRIES_MAX + STALE_MAX;
        let written = match &mut self.file {
            Some(file) if !stale => file.write_all(&[&line[..], b"\n"].concat()),
            Some(_) | None => self.rewrite(),
        };
        if let Err(error) = written {
            self.file = None;
            tracing::warn!(error = %error, "the refresh history is kept in memory only");
        }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut text = Vec::new();
        for entry in &self.entries {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        fs::write(&beside, &text)?;
        fs::rename(&beside, &self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.lines = self.entries.len();
        Ok(())
    }
}

/// A refresh is a trace of its own, as long as it took.
fn tell(refresh: &Refresh) {
    let Some(begun) = spans::begin_other() else { return };
    let took = i64::try_from(refresh.took_ms).unwrap_or(i64::MAX);
    let records: u64 = refresh.models.iter().map(|load| load.records).sum();
    let span = Span::alone("refresh", Kind::Internal, begun);
    let span = span.with("storebox.feed", &refresh.feed).with("storebox.records", records);
    let by = refresh.terminal.as_ref().map(|terminal| terminal.as_str());
    let span = by.into_iter().fold(span, |span, till| span.with("storebox.till", till));
    spans::tell(
        span.begun_at(refresh.at.unix_ms().saturating_sub(took)).failed(refresh.error.as_ref()),
    );
}

fn note(entries: &mut VecDeque<Entry>, numbers: &mut BTreeMap<NodeId, u64>, entry: Entry) {
    let last = numbers.entry(entry.node.clone()).or_default();
    *last = entry.number.max(*last);
    entries.push_back(entry);
    if entries.len() > ENTRIES_MAX {
        entries.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refresh(feed: &str, mode: Mode, at: i64, error: Option<&str>) -> Refresh {
        let load = ModelLoad { model: "Product".parse().unwrap(), records: 1, pages: 1 };
        Refresh {
            terminal: None,
            feed: feed.parse().unwrap(),
            mode,
            position: Some(Position { epoch: 1, revision: 2 }),
            at: Timestamp::from_unix_ms(at),
            took_ms: 5,
            error: error.map(str::to_owned),
            models: vec![load],
        }
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn entries_survive_a_restart_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.ndjson");
        let history = History::open(&path, node("box-1")).unwrap();
        history.record(refresh("catalogue", Mode::Full, 1, None));
        drop(history);
        fs::write(&path, [&fs::read(&path).unwrap()[..], b"{torn"].concat()).unwrap();
        let history = History::open(&path, node("box-1")).unwrap();
        assert_eq!(history.record(refresh("catalogue", Mode::Incremental, 2, None)).number, 2);
        assert_eq!(history.own_after(0).len(), 2);
        assert_eq!(history.own_after(1)[0].number, 2);
    }

    #[test]
    fn a_report_that_comes_twice_is_kept_once_and_under_the_name_of_its_sender() {
        let dir = tempfile::tempdir().unwrap();
        let one = History::open(&dir.path().join("one"), node("box-1")).unwrap();
        let main = History::open(&dir.path().join("main"), node("main")).unwrap();
        one.record(refresh("catalogue", Mode::Full, 1, None));
        one.record(refresh("partners", Mode::Full, 1, None));
        assert_eq!(main.report(&node("box-1"), one.own_after(0)), 2);
        assert_eq!(main.report(&node("box-1"), one.own_after(0)), 0);
        assert_eq!(main.report(&node("box-2"), one.own_after(1)), 1);
        assert_eq!(
            main.report(&node("main"), one.own_after(0)),
            0,
            "nobody reports as we ourselves"
        );
        let filter = Filter { node: Some(node("box-2")), limit: 10, ..Filter::default() };
        assert_eq!(main.list(&filter).len(), 1);
        let filter =
            Filter { model: Some("Brand".parse().unwrap()), limit: 10, ..Filter::default() };
        assert_eq!(main.list(&filter), []);
    }

    #[test]
    fn a_box_whose_disk_was_replaced_is_heard_again() {
        let dir = tempfile::tempdir().unwrap();
        let main = History::open(&dir.path().join("main"), node("main")).unwrap();
        let lives = ["first", "second"]
            .map(|life| History::open(&dir.path().join(life), node("box-1")).unwrap());
        for at in 1..=3 {
            lives[0].record(refresh("catalogue", Mode::Incremental, at, None));
        }
        lives[1].record(refresh("catalogue", Mode::Full, 9, None));
        assert_eq!(main.report(&node("box-1"), lives[0].own_after(0)), 3);
        assert_eq!(main.report(&node("box-1"), lives[1].own_after(0)), 1, "number 1 once more");
        for life in lives {
            assert_eq!(main.report(&node("box-1"), life.own_after(0)), 0, "all of it is known");
        }
    }

    #[test]
    fn the_last_good_refreshes_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(&dir.path().join("history"), node("box-1")).unwrap();
        history.record(refresh("catalogue", Mode::Full, 1, None));
        history.record(refresh("catalogue", Mode::Incremental, 2, None));
        history.record(refresh("catalogue", Mode::Full, 3, Some("no line")));
        history.record(refresh("partners", Mode::Full, 4, None));
        let at = |ms| Some(Timestamp::from_unix_ms(ms));
        assert_eq!(history.last_good(&"catalogue".parse().unwrap()), (at(2), at(1)));
    }

    #[test]
    fn the_list_and_its_file_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let history = History::open(&path, node("box-1")).unwrap();
        for at in 0..(ENTRIES_MAX + STALE_MAX + 10) {
            history.record(refresh("catalogue", Mode::Full, i64::try_from(at).unwrap(), None));
        }
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= ENTRIES_MAX + STALE_MAX, "{lines}");
        assert_eq!(
            history.list(&Filter { limit: usize::MAX, ..Filter::default() }).len(),
            PAGE_MAX
        );
    }
}
