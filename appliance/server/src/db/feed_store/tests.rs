//! The replica as a whole: an author and replicas of it, side by side.

mod agreement;
mod damage;
mod queries;
mod service;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use storebox_proto::feed::{Change, IndexDef, IndexKind, Manifest, ModelDef, Record, Scope};
use storebox_proto::ids::{Hash32, ModelName, RecordId};
use storebox_proto::time::Timestamp;
use tempfile::TempDir;

use super::{ChangeSet, FeedStore, Opened, Options, Snapshot};
use crate::db::{BlockCache, SegmentStore};

pub(super) const EPOCH: u64 = 5;

/// A box with one feed.
pub(super) struct Node {
    pub(super) dir: TempDir,
    pub(super) segments: SegmentStore,
    pub(super) store: FeedStore,
}

impl Node {
    pub(super) fn new(overlay_max: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (segments, opened) = open(dir.path(), overlay_max);
        assert_eq!(opened.incident, None);
        Self { dir, segments, store: opened.store }
    }

    /// Closes and opens again.
    pub(super) fn restart(self, overlay_max: usize) -> Self {
        let Self { dir, segments, store } = self;
        drop((store, segments));
        let (segments, opened) = open(dir.path(), overlay_max);
        assert_eq!(opened.incident, None);
        Self { dir, segments, store: opened.store }
    }

    /// Fetches the segments that it lacks from another node.
    pub(super) fn fetch(&self, from: &Node, manifests: &[Manifest]) -> usize {
        let mut fetched = 0;
        for entry in manifests.iter().flat_map(|manifest| &manifest.segments) {
            if !self.segments.contains(entry.name) {
                let bytes = from.segments.read(entry.name).unwrap();
                self.segments.put(&bytes).unwrap();
                fetched += 1;
            }
        }
        fetched
    }

    pub(super) fn content(&self) -> BTreeMap<RecordId, Bytes> {
        let generation = self.store.current().unwrap();
        let mut content = BTreeMap::new();
        let model = product();
        generation.each(&model, |record| content.insert(record.id, record.body).is_none()).unwrap();
        content
    }

    pub(super) fn digest(&self) -> Hash32 {
        self.store.current().unwrap().digest(&product()).unwrap()
    }
}

pub(super) fn open(dir: &Path, overlay_max: usize) -> (SegmentStore, Opened) {
    let segments = SegmentStore::open(&dir.join("segments")).unwrap();
    let options = Options { cache: BlockCache::new(1 << 20), overlay_max };
    let feeds = dir.join("feeds");
    let opened =
        FeedStore::open(&feeds, "catalogue".parse().unwrap(), defs(), segments.clone(), options);
    (segments, opened.unwrap())
}

pub(super) fn product() -> ModelName {
    "Product".parse().unwrap()
}

pub(super) fn defs() -> Vec<ModelDef> {
    let index = |field: &str, kind| IndexDef { field: field.to_owned(), kind };
    vec![ModelDef {
        name: product(),
        feed: "catalogue".parse().unwrap(),
        scope: Scope::Central,
        indexes: vec![
            index("barcode", IndexKind::Exact),
            index("categoryId", IndexKind::Exact),
            index("name", IndexKind::Text),
        ],
    }]
}

pub(super) fn id(number: u32) -> RecordId {
    format!("{number:06}").parse().unwrap()
}

/// A product as its JSON; `version` makes the same product different.
pub(super) fn body(number: u32, version: u32) -> Bytes {
    let json = serde_json::json!({
        "barcode": format!("40{number:011}"),
        "categoryId": format!("C{}", number % 7),
        "id": format!("{number:06}"),
        "name": format!("Milk {} No {version}", ["fresh", "sour", "crushed"][number as usize % 3]),
    });
    Bytes::from(json.to_string())
}

pub(super) fn record(number: u32, version: u32) -> Record {
    Record { id: id(number), body: body(number, version) }
}

pub(super) fn changes(
    revision: u64,
    numbers: impl IntoIterator<Item = (u32, Option<u32>)>,
) -> ChangeSet {
    let changes: BTreeMap<u32, Option<u32>> = numbers.into_iter().collect();
    let changes = changes.into_iter().map(|(number, version)| Change {
        id: id(number),
        body: version.map(|version| body(number, version)),
    });
    let changes = BTreeMap::from([(product(), changes.collect())]);
    let (after, published) = (revision - 1, Timestamp::from_unix_ms(0));
    ChangeSet { epoch: EPOCH, after, revision, published, changes }
}

pub(super) fn snapshot(revision: u64, manifests: Vec<Manifest>) -> Snapshot {
    Snapshot { epoch: EPOCH, revision, published: Timestamp::from_unix_ms(0), manifests }
}
