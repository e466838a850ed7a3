//! One feed on its way: its fetch machine, its store, and what log, history and status are told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use storebox_proto::feed::{Head, ModelDef, SignedHead};
use storebox_proto::ids::{FeedId, Hash32, ModelName};
use storebox_proto::sync::fetch::{Event, Fetch, Load, Mode, Outcome, Shelf, Verdict, Wish};
use storebox_proto::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::load::Carried;
use crate::db::{FeedStore, Health, SegmentStore};
use crate::files;
use crate::logging::chain;
use crate::replica::board::{Board, Posted};
use crate::replica::history::{History, ModelLoad, Refresh};
use crate::replica::source::SourceError;
use crate::replica::status::{FeedStatus, Last};
use crate::replica::wording;

/// How long a load waits for feeds that are to be switched before it.
const HELD_UP_MAX: Duration = Duration::from_secs(10);

/// Masterdata leaves so much of the disk to sales, journals and the files of the system, and of a small one a share.
const KEPT_FREE_BYTES: u64 = 16 * 1024 * 1024;
const KEPT_FREE_SHARE: u64 = 32;

/// What the machine may ask about this box's disk.
struct BoxShelf<'a> {
    segments: &'a SegmentStore,
    equal: &'a BTreeMap<(ModelName, Hash32), Hash32>,
    damaged: &'a BTreeSet<Hash32>,
}

impl Shelf for BoxShelf<'_> {
    fn holds(&self, name: &Hash32) -> bool {
        self.segments.contains(*name) && !self.damaged.contains(name)
    }

    fn load(&self, name: &Hash32) -> Option<Bytes> {
        self.segments.read(*name).ok().filter(|bytes| Hash32::of(bytes) == *name)
    }

    fn equal(&self, model: &ModelName, digest: &Hash32) -> Option<Hash32> {
        let name = *self.equal.get(&(model.clone(), *digest))?;
        let intact = !self.damaged.contains(&name) && self.segments.check(name) == Health::Intact;
        intact.then_some(name)
    }

    fn room(&self) -> u64 {
        // A disk that does not tell says so when it is written to.
        let Ok(room) = self.segments.room() else { return u64::MAX };
        room.free_bytes.saturating_sub(KEPT_FREE_BYTES.min(room.total_bytes / KEPT_FREE_SHARE))
    }
}

/// What a refresh under way has come to so far.
#[derive(Debug)]
struct Attempt {
    mode: Mode,
    since: Instant,
    models: Vec<ModelLoad>,
}

pub(super) struct Lane {
    pub(super) feed: FeedId,
    /// What is asked for in its place: an excerpt of it, or all.
    pub(super) extent: FeedId,
    /// Whether a first answer, or none in time, has come.
    pub(super) is_heard: bool,
    pub(super) machine: Fetch,
    /// Not here while a thread works on it.
    pub(super) store: Option<FeedStore>,
    /// Definitions that the store is to take over.
    pub(super) defs: Option<Vec<ModelDef>>,
    /// Objects that wait to be written together.
    pub(super) arrived: Vec<(Hash32, Bytes)>,
    pub(super) is_writing: bool,
    /// Objects that were asked for and whose answers are not here, however long ago that was.
    pub(super) under_way: BTreeSet<Hash32>,
    /// Ends the last request for a head when another is sent.
    pub(super) asking: CancellationToken,
    pub(super) loading: Option<Bytes>,
    /// Since when a load has been ready and another feed was waited for.
    pub(super) ready_since: Option<Instant>,
    /// When this feed was last known to be up to date.
    pub(super) good_at: Option<Timestamp>,
    segments: SegmentStore,
    equal: BTreeMap<(ModelName, Hash32), Hash32>,
    damaged: BTreeSet<Hash32>,
    head_path: PathBuf,
    attempt: Option<Attempt>,
    error: Option<String>,
    status: FeedStatus,
}

impl Lane {
    pub(super) fn new(
        store: FeedStore,
        extent: FeedId,
        machine: Fetch,
        segments: SegmentStore,
        dir: &Path,
    ) -> Self {
        let feed = store.feed().clone();
        let head_path = head_path(dir, &feed);
        let mut lane = Self {
            feed,
            extent,
            is_heard: false,
            machine,
            store: None,
            defs: None,
            arrived: Vec::new(),
            is_writing: false,
            under_way: BTreeSet::new(),
            asking: CancellationToken::new(),
            loading: None,
            ready_since: None,
            good_at: None,
            segments,
            equal: BTreeMap::new(),
            damaged: BTreeSet::new(),
            head_path,
            attempt: None,
            error: None,
            status: FeedStatus { source_answers: true, ..FeedStatus::default() },
        };
        lane.take_back(store);
        lane
    }

    /// Offers the head that this box stands at, and the one that a neighbour can begin with, if it remembers them.
    pub(super) fn post_remembered(&mut self, board: &Board, keys: &[ed25519_dalek::VerifyingKey]) {
        let here = self.machine.position();
        // Epochs of a feed and its excerpts differ: the same one says that what is here is of this head's extent.
        let is_here = |posted: &Posted| Some(posted.head.epoch) == here.map(|here| here.epoch);
        let Some(posted) = remembered(&self.head_path, keys).filter(is_here) else {
            return self.machine.handle_origin(None);
        };
        self.machine.handle_origin(Some(posted.head.feed.clone()));
        self.status.excerpt = posted.head.feed.excerpt().map(str::to_owned);
        if let Some(whole) = remembered(&self.head_path.with_file_name("head-whole"), keys)
            && whole.is_of(&posted.head.feed)
            && Some(whole.position()) <= here
        {
            board.post_whole(&self.feed, whole);
        }
        if Some(posted.position()) == here {
            return board.post(&self.feed, posted);
        }
        // A box that went down between a switch and this file asks once more for the head that it stands at.
        self.machine.handle_wish(Wish::Full);
    }

    /// From now on this is replicated in the place of the feed.
    pub(super) fn turn(&mut self, extent: FeedId) {
        if extent == self.extent {
            return;
        }
        tracing::info!(feed = %self.feed, from = %self.extent, to = %extent, "another extent of a feed");
        self.asking.cancel();
        self.machine.handle_feed(extent.clone());
        self.extent = extent;
    }

    /// The store is back from a thread.
    pub(super) fn take_back(&mut self, store: FeedStore) {
        self.equal.clear();
        for manifest in store.manifests() {
            for entry in manifest.segments {
                self.equal.insert((manifest.model.clone(), entry.digest), entry.name);
            }
        }
        if let Some(generation) = store.current() {
            self.status.published = Some(generation.published());
            let counts = generation.models().filter_map(|model| generation.count(model));
            self.status.records = counts.sum();
        }
        self.store = Some(store);
    }

    pub(super) fn head(&mut self, result: Result<Option<Bytes>, SourceError>, now: Instant) {
        self.status.source_answers = result.is_ok();
        let shelf =
            BoxShelf { segments: &self.segments, equal: &self.equal, damaged: &self.damaged };
        match result {
            Ok(Some(bytes)) => self.machine.handle_head(&bytes, &shelf, now),
            Ok(None) => self.machine.handle_unchanged(now),
            Err(error) => {
                self.note(&error);
                self.machine.handle_head_failed(now);
            }
        }
    }

    pub(super) fn object(
        &mut self,
        name: Hash32,
        result: Result<Bytes, SourceError>,
        now: Instant,
    ) {
        self.under_way.remove(&name);
        match result {
            Ok(bytes) => match self.machine.handle_object(&name, &bytes, now) {
                Verdict::Keep => self.arrived.push((name, bytes)),
                Verdict::Lied | Verdict::Unwanted => {}
            },
            Err(error) => {
                self.note(&error);
                if error.is_gone() {
                    self.machine.handle_object_gone(&name, now);
                } else if error.is_late() {
                    self.machine.handle_object_late(&name, now);
                } else {
                    self.machine.handle_object_failed(&name, now);
                }
            }
        }
    }

    pub(super) fn written(
        &mut self,
        names: &[Hash32],
        error: Option<&crate::db::StoreError>,
        now: Instant,
    ) {
        self.is_writing = false;
        if let Some(error) = error {
            tracing::error!(feed = %self.feed, error = %chain(error), "fetched masterdata cannot be written");
            self.error = Some(chain(error));
        }
        for name in names {
            if error.is_some() {
                self.machine.handle_object_unstored(name, now);
                continue;
            }
            self.damaged.remove(name);
            let shelf =
                BoxShelf { segments: &self.segments, equal: &self.equal, damaged: &self.damaged };
            self.machine.handle_stored(name, &shelf, now);
        }
    }

    /// A load is over; true if a new generation is in service.
    pub(super) fn loaded(
        &mut self,
        store: FeedStore,
        carried: Carried,
        load: &Load,
        board: &Board,
        now: Instant,
    ) -> bool {
        self.take_back(store);
        self.damaged.extend(carried.stumbled);
        if let Outcome::Damaged(names) = &carried.outcome {
            self.damaged.extend(names);
        }
        if let Some(error) = carried.error {
            tracing::warn!(feed = %self.feed, error, "a refresh could not be loaded");
            self.error = Some(error);
        }
        let switched = carried.outcome == Outcome::Switched;
        if let Some(bytes) = self.loading.take().filter(|_| switched) {
            let (Load::Changes { head, .. } | Load::Snapshot { head, .. }) = load;
            crate::env::raise_clock_floor(head.published);
            if let Err(error) = files::replace(&self.head_path, &bytes, files::PUBLIC) {
                tracing::warn!(feed = %self.feed, error = %error, "the head cannot be remembered");
            }
            self.status.excerpt = head.feed.excerpt().map(str::to_owned);
            let posted = Posted { head: Arc::new(head.as_ref().clone()), bytes };
            if matches!(load, Load::Snapshot { .. }) || self.holds_whole(head) {
                self.offer_whole(board, posted.clone());
            }
            board.post(&self.feed, posted);
        }
        self.machine.handle_outcome(carried.outcome, now);
        switched
    }

    /// Whether this box made the very segments and manifests that the head names, when it folded changes in.
    fn holds_whole(&self, head: &Head) -> bool {
        let Some(store) = &self.store else { return false };
        let folded = store.current().is_some_and(|current| current.overlay_len() == 0);
        if !folded {
            return false;
        }
        let manifests: Vec<Bytes> =
            store.manifests().iter().filter_map(|manifest| manifest.to_bytes().ok()).collect();
        let made: BTreeSet<Hash32> = manifests.iter().map(|bytes| Hash32::of(bytes)).collect();
        head.models.iter().all(|model| made.contains(&model.manifest))
            && manifests.iter().all(|bytes| self.segments.put(bytes).is_ok())
    }

    /// What a new neighbour can begin with; remembered over a restart.
    fn offer_whole(&self, board: &Board, posted: Posted) {
        let path = self.head_path.with_file_name("head-whole");
        if let Err(error) = files::replace(&path, &posted.bytes, files::PUBLIC) {
            tracing::warn!(feed = %self.feed, error = %error, "the head cannot be remembered");
        }
        board.post_whole(&self.feed, posted);
    }

    /// Whether the load that is ready may begin: at once, or after a while of waiting for a feed that goes first.
    pub(super) fn may_load(&mut self, held_up: bool, now: Instant) -> bool {
        if !self.machine.has_load() || self.store.is_none() {
            self.ready_since = None;
            return false;
        }
        let since = *self.ready_since.get_or_insert(now);
        let may = !held_up || now >= since + HELD_UP_MAX;
        if may {
            self.ready_since = None;
        }
        may
    }

    /// When this lane wants to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        let held = self.ready_since.map(|since| since + HELD_UP_MAX);
        [self.machine.poll_timeout(), held].into_iter().flatten().min()
    }

    /// Segments in service that proved damaged: they are fetched again.
    pub(super) fn damage(&mut self, names: impl IntoIterator<Item = Hash32>) {
        self.damaged.extend(names);
        self.machine.handle_wish(Wish::Full);
    }

    /// Tells log and history what the machine says.
    pub(super) fn tell(&mut self, history: &History, now: Instant, wall: Timestamp) {
        while let Some(event) = self.machine.poll_event() {
            self.tell_one(event, history, now, wall);
        }
    }

    fn tell_one(&mut self, event: Event, history: &History, now: Instant, wall: Timestamp) {
        self.is_heard |= match &event {
            Event::UpToDate | Event::Refused(_) | Event::Failed | Event::Switched { .. } => true,
            Event::Started { .. }
            | Event::ModelStarted { .. }
            | Event::ModelFinished { .. }
            | Event::Lied { .. }
            | Event::Mismatch { .. } => false,
        };
        let feed = &self.feed;
        match event {
            Event::Started { mode, to } => {
                tracing::debug!(%feed, revision = to.revision, ?mode, "refresh begins");
                self.attempt = Some(Attempt { mode, since: now, models: Vec::new() });
            }
            Event::ModelStarted { mode, model } => {
                tracing::info!(%feed, %model, "{}", wording::started(mode, &model));
            }
            Event::ModelFinished { mode, model, records, pages } => {
                let line = wording::finished(mode, &model, records, pages);
                tracing::info!(%feed, %model, records, pages, "{line}");
                if let Some(attempt) = &mut self.attempt {
                    attempt.models.push(ModelLoad { model, records, pages });
                }
            }
            Event::Switched { mode, to } => {
                tracing::info!(%feed, revision = to.revision, epoch = to.epoch, ?mode, "refreshed");
                self.error = None;
                self.good_at = Some(wall);
                self.end(history, now, wall);
            }
            Event::UpToDate => {
                self.error = None;
                self.good_at = Some(wall);
            }
            Event::Refused(refused) => {
                tracing::warn!(%feed, error = %refused, "the source offers something unacceptable");
                self.error = Some(refused.to_string());
            }
            Event::Lied { name } => {
                tracing::warn!(%feed, %name, "the source sent other bytes than were asked for");
                self.error = Some(format!("object {name} came with other bytes"));
            }
            Event::Mismatch { mode } => {
                tracing::warn!(%feed, ?mode, "the replica differs from its author and will be repaired");
                self.end(history, now, wall);
            }
            Event::Failed => {
                self.error.get_or_insert_with(|| "the source did not answer in time".to_owned());
                self.end(history, now, wall);
            }
        }
    }

    /// Notes how an attempt ended; of failures in a row only the first, or the history would hold nothing else.
    fn end(&mut self, history: &History, now: Instant, wall: Timestamp) {
        let failed_before = self.status.last.as_ref().is_some_and(|last| last.error.is_some());
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let took_ms = u64::try_from((now - attempt.since).as_millis()).unwrap_or(u64::MAX);
        let records = attempt.models.iter().map(|load| load.records).sum();
        let (mode, error) = (attempt.mode, self.error.clone());
        self.status.last = Some(Last { mode, at: wall, took_ms, records, error: error.clone() });
        if error.is_some() && failed_before {
            return;
        }
        history.record(Refresh {
            terminal: None,
            feed: self.feed.clone(),
            mode,
            position: self.machine.position(),
            at: wall,
            took_ms,
            error,
            models: attempt.models,
        });
    }

    pub(super) fn status(&self, now: Instant) -> FeedStatus {
        let progress = self.machine.progress();
        let records_per_s = match (&progress, &self.attempt) {
            (Some(progress), Some(attempt)) => {
                let ms = (now - attempt.since).as_millis().max(1);
                u64::try_from(u128::from(progress.records) * 1000 / ms).unwrap_or(u64::MAX)
            }
            _ => 0,
        };
        FeedStatus {
            position: self.machine.position(),
            phase: self.machine.phase(),
            progress,
            records_per_s,
            ..self.status.clone()
        }
    }

    fn note(&mut self, error: &SourceError) {
        tracing::debug!(feed = %self.feed, error = %chain(error), "the source did not help");
        self.error = Some(chain(error));
    }
}

/// Where the head is remembered that a replica stands at.
pub(super) fn head_path(dir: &Path, feed: &FeedId) -> PathBuf {
    dir.join(feed.as_str()).join("head")
}

/// A head that is remembered in this file, if one of these keys has signed it.
pub(super) fn remembered(path: &Path, keys: &[ed25519_dalek::VerifyingKey]) -> Option<Posted> {
    let bytes = Bytes::from(std::fs::read(path).ok()?);
    let head = SignedHead::parse(&bytes).and_then(|signed| signed.open(keys)).ok()?;
    Some(Posted { head: Arc::new(head), bytes })
}
