//! A shop with masterdata and an outbox in a directory, for the tests of channels.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use storebox_proto::feed::{Record, Registry};
use storebox_proto::ids::{FeedId, TxKey};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::SinkDef;
use storebox_proto::time::Timestamp;
use tempfile::TempDir;

use super::{Caller, Channels, Context, Hooks, NoHooks, NoLog, Parts, Reply, Wish};
use crate::db::{BlockCache, FeedStore, Options, SegmentStore, Snapshot, SnapshotWriter};
use crate::masterdata::Masterdata;
use crate::replica::readers::Readers;
use crate::uplink::{LocalDocuments, Outbox, OutboxOpened, OutboxOptions};

/// The shop.
pub(super) struct World {
    pub(super) channels: Channels,
    pub(super) masterdata: Masterdata,
    pub(super) documents: LocalDocuments,
    pub(super) outbox: Outbox,
    _stores: Vec<FeedStore>,
    dir: TempDir,
}

/// A channel with every service, a terminal that may write and one that may ask.
pub(super) fn estate() -> Vec<(&'static str, Value)> {
    let services = storebox_proto::estate::channel::ServiceType::ALL.iter();
    let service = |service: &storebox_proto::estate::channel::ServiceType| {
        let name = service.as_str();
        ("ChannelService", json!({"id": format!("web-{name}"), "channelId": "web", "type": name}))
    };
    let mut records: Vec<_> = services.map(service).collect();
    records.extend([
        ("Channel", json!({"id": "web", "searchKey": "web", "name": "Web", "type": "web-shop"})),
        ("Channel", json!({"id": "kiosk", "name": "Kiosk", "type": "kiosk"})),
        ("Access", json!({"id": "a1", "channelId": "web", "roleId": "shop", "right": "write"})),
        (
            "Access",
            json!({"id": "a2", "channelId": "web", "userId": "guest", "right": "read-only"}),
        ),
        ("User", json!({"id": "guest", "name": "Guest", "pin": "1234"})),
        (
            "Terminal",
            json!({"id": "web-1", "channelId": "web", "roleId": "shop",
                            "organizationId": "S1", "priceListId": "PL1"}),
        ),
        ("Terminal", json!({"id": "web-2", "channelId": "web", "userId": "guest"})),
        ("Terminal", json!({"id": "web-3", "channelId": "web"})),
        ("Terminal", json!({"id": "kiosk-1", "channelId": "kiosk", "roleId": "shop"})),
        ("Terminal", json!({"id": "lost-1"})),
        ("Organization", json!({"id": "S1", "name": "Store 1", "parentId": "R"})),
        ("Organization", json!({"id": "S1a", "name": "Corner", "parentId": "S1"})),
        ("Organization", json!({"id": "S2", "name": "Store 2", "parentId": "R"})),
        ("Organization", json!({"id": "R", "name": "Region", "parentId": "S1a"})),
    ]);
    records
}

impl World {
    /// Opens a shop with these records.
    pub(super) fn open(records: &[(&str, Value)]) -> Self {
        Self::with(records, Arc::new(NoHooks))
    }

    /// Opens a shop whose hooks run in this engine.
    pub(super) fn with(records: &[(&str, Value)], hooks: Arc<dyn Hooks>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let segments = SegmentStore::open(&dir.path().join("segments")).unwrap();
        let registry = Registry::built_in();
        let (readers, mut stores) = (Readers::new(), Vec::new());
        for feed in registry.feeds() {
            let store = feed_store(&dir, &segments, &registry, &feed, records);
            readers.add(feed, store.reader());
            stores.push(store);
        }
        let masterdata = Masterdata::new(readers);
        let OutboxOpened { outbox, documents, .. } = open_outbox(&dir);
        let parts = Parts {
            masterdata: masterdata.clone(),
            outbox: outbox.clone(),
            documents: documents.clone(),
            hooks,
            log: Arc::new(NoLog),
        };
        let channels = Channels::new(parts);
        Self { channels, masterdata, documents, outbox, _stores: stores, dir }
    }

    /// The box is stopped and started again.
    pub(super) async fn restarted(mut self) -> Self {
        self.outbox.stop().await;
        drop((self.channels, self.documents, self.outbox));
        let OutboxOpened { outbox, documents, .. } = open_outbox(&self.dir);
        let parts = Parts {
            masterdata: self.masterdata.clone(),
            outbox: outbox.clone(),
            documents: documents.clone(),
            hooks: Arc::new(NoHooks),
            log: Arc::new(NoLog),
        };
        (self.channels, self.outbox, self.documents) = (Channels::new(parts), outbox, documents);
        self
    }

    pub(super) fn context(&self, terminal: &str) -> Result<Context, Problem> {
        let terminal = terminal.parse().unwrap();
        let correlation = "test-1".to_owned();
        self.channels.context(Caller { terminal, user: None, is_operator: false, correlation })
    }

    /// Calls a service as a terminal.
    pub(super) async fn call(
        &self,
        terminal: &str,
        service: &str,
        request: Value,
    ) -> Result<Reply, Problem> {
        let context = self.context(terminal)?;
        self.channels.execute(service, request, &context, Wish::AsDefined).await
    }

    /// Calls a service as the terminal that may write, and must succeed.
    pub(super) async fn done(&self, service: &str, request: Value) -> Value {
        self.call("web-1", service, request).await.unwrap().json
    }

    /// Calls a service as the terminal that may write, and is refused for a field.
    pub(super) async fn refused(&self, service: &str, request: Value) -> String {
        let problem = self.call("web-1", service, request).await.unwrap_err();
        assert_eq!(problem.code, Code::FieldInvalid, "{problem}");
        problem.detail
    }

    /// The rows of a query.
    pub(super) async fn rows(&self, entity: &str, criteria: Value) -> Vec<Value> {
        let request = json!({"entity": entity, "criteria": criteria});
        self.done("query", request).await["data"].as_array().unwrap().clone()
    }
}

fn open_outbox(dir: &TempDir) -> OutboxOpened {
    let sink = SinkDef { id: "main".parse().unwrap(), authoritative: true };
    let signer = SigningKey::from_bytes(&[7; 32]);
    let path = dir.path().join("outbox");
    let options = OutboxOptions::new(path, vec![sink], "store-1".parse().unwrap(), signer);
    Outbox::open(options).unwrap()
}

fn feed_store(
    dir: &TempDir,
    segments: &SegmentStore,
    registry: &Registry,
    feed: &FeedId,
    records: &[(&str, Value)],
) -> FeedStore {
    let defs: Vec<_> = registry.of_feed(feed).cloned().collect();
    let mut manifests = Vec::new();
    for def in &defs {
        let own = records.iter().filter(|(model, _)| *model == def.name.as_str());
        let sorted: BTreeMap<String, &Value> =
            own.map(|(_, body)| (body["id"].as_str().unwrap().to_owned(), body)).collect();
        let mut writer = SnapshotWriter::new(segments, def.name.clone()).unwrap();
        for (id, body) in sorted {
            let body = Bytes::from(serde_json::to_vec(body).unwrap());
            writer.push(&Record { id: id.parse().unwrap(), body }).unwrap();
        }
        manifests.push(writer.finish().unwrap());
    }
    let options = Options { cache: BlockCache::new(1 << 20), overlay_max: 1000 };
    let root = dir.path().join("feeds").join(feed.as_str());
    let mut store =
        FeedStore::open(&root, feed.clone(), defs, segments.clone(), options).unwrap().store;
    let published = Timestamp::from_unix_ms(1);
    store.adopt(Snapshot { epoch: 1, revision: 1, published, manifests }).unwrap();
    store
}

/// A key that a caller could have minted.
pub(super) fn key(number: u64) -> TxKey {
    format!("0192d3a4-5b6c-7000-8000-{number:012x}").parse().unwrap()
}
