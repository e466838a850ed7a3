//! A box's replica of one feed: the machine that fetches, a disk that survives crashes, and nothing else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use storebox_proto::feed::manifest::Manifest;
use storebox_proto::feed::position::Position;
use storebox_proto::feed::segment::Segment;
use storebox_proto::feed::{Head, Run};
use storebox_proto::ids::{FeedId, Hash32, ModelName};
use storebox_proto::sync::fetch::{
    Event, Fetch, Load, Options, Outcome, Request, Shelf, Verdict, Wish,
};

use crate::author::{Digests, Models, apply, digests};
use crate::defects::Defect;
use crate::keys;

/// What a crash leaves: the generation in service and the files on the shelf.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) generation: Option<Generation>,
    /// The head of what is in service.
    pub(crate) head: Option<Bytes>,
    /// The newest head all of whose snapshot is here.
    pub(crate) whole: Option<Bytes>,
    files: BTreeMap<Hash32, Bytes>,
}

/// What readers see.
pub(crate) struct Generation {
    pub(crate) position: Position,
    pub(crate) models: Models,
}

impl Shelf for Disk {
    fn room(&self) -> u64 {
        u64::MAX
    }

    fn holds(&self, name: &Hash32) -> bool {
        self.files.contains_key(name)
    }

    fn load(&self, name: &Hash32) -> Option<Bytes> {
        self.files.get(name).filter(|bytes| Hash32::of(bytes) == *name).cloned()
    }

    fn equal(&self, _model: &ModelName, _digest: &Hash32) -> Option<Hash32> {
        None
    }
}

/// A replica while its box runs.
pub(crate) struct Replica {
    fetch: Fetch,
}

impl Replica {
    /// The machine as it is after a start: it knows what the disk holds.
    pub(crate) fn start(feed: &FeedId, number: u64, follow: bool, disk: &Disk) -> Self {
        let options = Options {
            in_flight_max: 3,
            page_timeout: Duration::from_secs(8),
            line_floor: u32::MAX,
            follow,
            snapshot_bytes_max: 1 << 30,
            seed: number,
            order: vec![],
        };
        let position = disk.generation.as_ref().map(|generation| generation.position);
        let keys = vec![keys::author().verifying_key()];
        Self { fetch: Fetch::new(feed.clone(), keys, options, position) }
    }

    pub(crate) fn wish(&mut self, wish: Wish) {
        self.fetch.handle_wish(wish);
    }

    pub(crate) fn head(&mut self, head: Option<&Bytes>, disk: &Disk, now: Instant) {
        match head {
            Some(bytes) => self.fetch.handle_head(bytes, disk, now),
            None => self.fetch.handle_unchanged(now),
        }
    }

    pub(crate) fn object(
        &mut self,
        name: &Hash32,
        bytes: Option<&Bytes>,
        disk: &mut Disk,
        now: Instant,
    ) {
        let Some(bytes) = bytes else { return self.fetch.handle_object_gone(name, now) };
        match self.fetch.handle_object(name, bytes, now) {
            Verdict::Keep => {
                disk.files.insert(*name, bytes.clone());
                self.fetch.handle_stored(name, disk, now);
            }
            Verdict::Lied | Verdict::Unwanted => {}
        }
    }

    pub(crate) fn head_failed(&mut self, now: Instant) {
        self.fetch.handle_head_failed(now);
    }

    pub(crate) fn object_failed(&mut self, name: &Hash32, now: Instant) {
        self.fetch.handle_object_failed(name, now);
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        self.fetch.handle_timeout(now);
    }

    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.fetch.poll_timeout()
    }

    pub(crate) fn requests(&mut self, now: Instant) -> Vec<Request> {
        std::iter::from_fn(|| self.fetch.poll_request(now)).collect()
    }

    /// What the machine tells the log.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.fetch.poll_event()).collect()
    }

    /// Carries out a load, if the machine has one; tells whether a new generation is in service.
    pub(crate) fn load(&mut self, disk: &mut Disk, defect: Defect, now: Instant) -> bool {
        let Some((load, signed)) = self.fetch.poll_load() else { return false };
        let whole = matches!(load, Load::Snapshot { .. });
        let outcome = match load {
            Load::Changes { head, runs } => take_changes(disk, &head, &runs, defect),
            Load::Snapshot { head, manifests } => take_snapshot(disk, &head, &manifests, defect),
        };
        let switched = outcome == Outcome::Switched;
        if switched {
            disk.whole = disk.whole.take().filter(|_| !whole).or(whole.then(|| signed.clone()));
            disk.head = Some(signed);
        }
        self.fetch.handle_outcome(outcome, now);
        switched
    }
}

impl Disk {
    /// What a neighbour is given, rotten or not.
    pub(crate) fn file(&self, name: &Hash32) -> Option<Bytes> {
        self.files.get(name).cloned()
    }

    /// A byte of a file rots.
    pub(crate) fn rot(&mut self, rng: &mut ChaCha8Rng) {
        let place = rng.random_range(0..self.files.len().max(1));
        if let Some(bytes) = self.files.values_mut().nth(place) {
            let mut rotten = bytes.to_vec();
            let at = rng.random_range(0..rotten.len());
            rotten[at] ^= 1 << rng.random_range(0..8);
            *bytes = Bytes::from(rotten);
        }
    }

    /// A record in service changes without anybody noticing, as bad memory does it.
    pub(crate) fn rot_silently(&mut self, rng: &mut ChaCha8Rng) {
        let Some(generation) = &mut self.generation else { return };
        let records = generation.models.values_mut().next().expect("a feed has models");
        let place = rng.random_range(0..records.len().max(1));
        if let Some(body) = records.values_mut().nth(place) {
            *body = Bytes::from_static(b"{\"rotten\":true}");
        }
    }

    fn segment(&mut self, name: &Hash32) -> Result<Segment, Outcome> {
        let sound = self.load(name).and_then(|bytes| Segment::parse(bytes).ok());
        sound.ok_or_else(|| {
            self.files.remove(name);
            Outcome::Damaged(vec![*name])
        })
    }
}

fn take_changes(disk: &mut Disk, head: &Head, runs: &[Run], defect: Defect) -> Outcome {
    let mut models = disk.generation.as_ref().map_or_else(Models::new, |old| old.models.clone());
    for page in runs.iter().flat_map(|run| &run.pages) {
        let segment = match disk.segment(&page.name) {
            Ok(segment) => segment,
            Err(outcome) => return outcome,
        };
        let Ok((_, changes)) = segment.changes() else { return Outcome::Mismatch };
        apply(models.entry(page.model.clone()).or_default(), &changes);
    }
    switch(disk, head, models, defect)
}

fn take_snapshot(disk: &mut Disk, head: &Head, manifests: &[Manifest], defect: Defect) -> Outcome {
    let mut models = Models::new();
    for manifest in manifests {
        let records = models.entry(manifest.model.clone()).or_default();
        for entry in &manifest.segments {
            let segment = match disk.segment(&entry.name) {
                Ok(segment) => segment,
                Err(outcome) => return outcome,
            };
            let Ok((_, changes)) = segment.changes() else { return Outcome::Mismatch };
            apply(records, &changes);
        }
    }
    switch(disk, head, models, defect)
}

fn switch(disk: &mut Disk, head: &Head, models: Models, defect: Defect) -> Outcome {
    let wanted: Digests =
        head.models.iter().map(|model| (model.model.clone(), model.digest)).collect();
    if defect != Defect::Unverified && digests(&models) != wanted {
        return Outcome::Mismatch;
    }
    disk.generation = Some(Generation { position: head.position(), models });
    Outcome::Switched
}
