//! A source and a disk in memory, for the tests of the machine.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;

use super::super::*;
use crate::feed::head::{HeadModel, Run, RunPage};
use crate::feed::manifest::{Manifest, SegmentEntry};
use crate::ids::ModelName;
use crate::time::Timestamp;

/// An author whose segments are arbitrary bytes: the machine does not look into them.
pub(super) struct World {
    pub(super) key: SigningKey,
    pub(super) feed: FeedId,
    pub(super) objects: BTreeMap<Hash32, Bytes>,
    pub(super) epoch: u64,
    pub(super) revision: u64,
    pub(super) horizon: u64,
    pub(super) runs: Vec<Run>,
}

#[derive(Default, Clone)]
pub(super) struct Disk {
    pub(super) objects: BTreeMap<Hash32, Bytes>,
    pub(super) equal: BTreeMap<Hash32, Hash32>,
    /// Bytes that were here before.
    pub(super) taken: u64,
}

impl Shelf for Disk {
    fn holds(&self, name: &Hash32) -> bool {
        self.objects.contains_key(name)
    }
    fn load(&self, name: &Hash32) -> Option<Bytes> {
        self.objects.get(name).cloned()
    }
    fn equal(&self, _: &ModelName, digest: &Hash32) -> Option<Hash32> {
        self.equal.get(digest).copied()
    }
    fn room(&self) -> u64 {
        DISK_BYTES - self.taken
    }
}

pub(super) const MODELS: [&str; 2] = ["Brand", "Product"];
pub(super) const SEGMENTS: u64 = 6;
pub(super) const DISK_BYTES: u64 = 1 << 30;

impl World {
    pub(super) fn new() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let (objects, runs) = (BTreeMap::new(), Vec::new());
        let feed = "catalogue".parse().unwrap();
        Self { key, feed, objects, epoch: 1, revision: 1, horizon: 1, runs }
    }

    pub(super) fn put(&mut self, text: String) -> (Hash32, u32) {
        let bytes = Bytes::from(text);
        let name = Hash32::of(&bytes);
        let len = u32::try_from(bytes.len()).unwrap();
        self.objects.insert(name, bytes);
        (name, len)
    }

    pub(super) fn publish(&mut self) {
        self.revision += 1;
        let revision = self.revision;
        let pages = MODELS.map(|model| {
            let (name, bytes) = self.put(format!("run {model} {revision} {}", self.epoch));
            RunPage { model: model.parse().unwrap(), name, digest: name, count: 2, bytes }
        });
        self.runs.push(Run { revision, pages: pages.to_vec() });
    }

    /// Segment `n` changes with every `n+1`-th revision.
    pub(super) fn segment(&mut self, model: &str, n: u64) -> SegmentEntry {
        let version = self.revision / (n + 1);
        let (name, bytes) = self.put(format!("segment {model} {n} {version}"));
        let id = |end: &str| format!("{n}{end}").parse().unwrap();
        SegmentEntry { first: id("a"), last: id("z"), count: 100, bytes, name, digest: name }
    }

    pub(super) fn head(&mut self) -> Head {
        let models = MODELS.map(|model| {
            let segments = (0..SEGMENTS).map(|n| self.segment(model, n)).collect();
            let manifest = Manifest { model: model.parse().unwrap(), segments };
            let text = String::from_utf8(manifest.to_bytes().unwrap().to_vec()).unwrap();
            let (name, manifest_bytes) = self.put(text);
            let (digest, count) = (manifest.digest(), manifest.count());
            HeadModel { model: manifest.model, count, digest, manifest: name, manifest_bytes }
        });
        Head {
            version: 1,
            feed: self.feed.clone(),
            epoch: self.epoch,
            revision: self.revision,
            horizon: self.horizon,
            published: Timestamp::from_unix_ms(0),
            models: models.to_vec(),
            runs: self.runs.iter().filter(|run| run.revision > self.horizon).cloned().collect(),
        }
    }

    pub(super) fn signed(&mut self) -> Bytes {
        let head = self.head();
        sign(&head, &self.key)
    }
}

pub(super) fn sign(head: &Head, key: &SigningKey) -> Bytes {
    serde_json::to_vec(&SignedHead::sign(head, key).unwrap()).unwrap().into()
}

pub(super) fn options() -> Options {
    Options {
        in_flight_max: 3,
        page_timeout: Duration::from_secs(10),
        line_floor: limits::LINE_FLOOR_BYTES_PER_S,
        follow: false,
        snapshot_bytes_max: 1 << 20,
        seed: 1,
        order: vec!["Product".parse().unwrap()],
    }
}

pub(super) fn machine(world: &World, position: Option<Position>) -> Fetch {
    let keys = vec![world.key.verifying_key()];
    Fetch::new("catalogue".parse().unwrap(), keys, options(), position)
}

/// Serves every request until the machine loads or waits; returns the load and what was fetched.
pub(super) fn serve(
    machine: &mut Fetch,
    world: &mut World,
    disk: &mut Disk,
    now: Instant,
) -> (Option<Load>, usize) {
    let mut fetched = 0;
    while let Some(request) = machine.poll_request(now) {
        match request {
            Request::Head { after, .. } => {
                let bytes = world.signed();
                if after == Some(Position { epoch: world.epoch, revision: world.revision }) {
                    machine.handle_unchanged(now);
                } else {
                    machine.handle_head(&bytes, disk, now);
                }
            }
            Request::Object { name, .. } => {
                let bytes = world.objects[&name].clone();
                assert_eq!(machine.handle_object(&name, &bytes, now), Verdict::Keep);
                disk.objects.insert(name, bytes);
                machine.handle_stored(&name, disk, now);
                fetched += 1;
            }
        }
    }
    (machine.poll_load().map(|(load, _)| load), fetched)
}

pub(super) fn events(machine: &mut Fetch) -> Vec<Event> {
    std::iter::from_fn(|| machine.poll_event()).collect()
}

/// A machine that has taken its first snapshot.
pub(super) fn settled(world: &mut World, disk: &mut Disk, now: Instant) -> Fetch {
    let mut machine = machine(world, None);
    machine.handle_wish(Wish::Incremental);
    let (load, _) = serve(&mut machine, world, disk, now);
    assert!(matches!(load, Some(Load::Snapshot { .. })));
    machine.handle_outcome(Outcome::Switched, now);
    events(&mut machine);
    machine
}
