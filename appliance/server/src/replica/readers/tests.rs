use std::path::Path;

use bytes::Bytes;
use serde_json::json;
use storebox_proto::feed::Manifest;
use storebox_proto::time::Timestamp;

use super::*;
use crate::db::{BlockCache, FeedStore, Options, SegmentStore, Snapshot, SnapshotWriter};

/// An estate with a model and excerpts for two stores, of which one is of a later version.
fn estate(dir: &Path) -> (FeedStore, Vec<Manifest>) {
    let segments = SegmentStore::open(&dir.join("segments")).unwrap();
    let feed: FeedId = ESTATE.parse().unwrap();
    let defs: Vec<_> = Registry::built_in().of_feed(&feed).cloned().collect();
    let mut manifests = Vec::new();
    for def in &defs {
        let mut writer = SnapshotWriter::new(&segments, def.name.clone()).unwrap();
        let records = match def.name.as_str() {
            EXCERPT => vec![
                json!({"id": "odd", "sites": ["s2"], "only": [{"model": "Product"}]}),
                json!({"id": "small", "sites": ["s1"], "assortmentIds": ["A"], "newer": true}),
            ],
            MODEL_OF_MODELS => vec![json!({"id": "ShopVoucher", "feed": "catalogue"})],
            _ => Vec::new(),
        };
        for record in records {
            let id = record["id"].as_str().unwrap().parse().unwrap();
            let body = Bytes::from(serde_json::to_vec(&record).unwrap());
            writer.push(&Record { id, body }).unwrap();
        }
        manifests.push(writer.finish().unwrap());
    }
    let options = Options { cache: BlockCache::new(1 << 20), overlay_max: 1000 };
    let opened = FeedStore::open(&dir.join("feeds"), feed, defs, segments, options);
    let mut store = opened.unwrap().store;
    let (published, all) = (Timestamp::from_unix_ms(1), manifests.clone());
    store.adopt(Snapshot { epoch: 3, revision: 7, published, manifests }).unwrap();
    (store, all)
}

#[test]
fn what_cannot_be_read_of_the_estate_changes_neither_the_extent_nor_the_models() {
    let dir = tempfile::tempdir().unwrap();
    let (store, manifests) = estate(dir.path());
    let readers = Readers::new();
    readers.add(ESTATE.parse().unwrap(), store.reader());
    assert!(readers.look_for_models());
    let voucher: ModelName = "ShopVoucher".parse().unwrap();
    assert!(readers.registry().get(&voucher).is_some());
    let extent = |site: &str| {
        let (feed, node) = ("catalogue".parse().unwrap(), "box-1".parse().unwrap());
        let extent = readers.extent(&feed, &node, &site.parse().unwrap());
        extent.map(|extent| extent.to_string())
    };
    assert_eq!(extent("s1").as_deref(), Some("catalogue--small"));
    assert_eq!(extent("s2"), None, "an excerpt that is not understood is not none");
    assert_eq!(extent("s3").as_deref(), Some("catalogue"));
    for segment in manifests.iter().flat_map(|manifest| &manifest.segments) {
        // In its place, so that whoever has the file open reads it too.
        let hex = segment.name.to_string();
        let path = dir.path().join("segments").join(&hex[..2]).join(&hex);
        let length = std::fs::read(&path).unwrap().len();
        std::fs::write(&path, vec![0; length]).unwrap();
    }
    assert_eq!([extent("s1"), extent("s2"), extent("s3")], [None, None, None]);
    assert!(!readers.look_for_models());
    assert!(readers.registry().get(&voucher).is_some(), "nor are the models of before unlearnt");
}
