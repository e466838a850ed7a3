//! The listeners and routes as a client meets them: real sockets on loopback, real replicas in a directory.

mod listing;
mod login;
mod patience;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use storebox_proto::feed::{Change, Record, Registry};
use storebox_proto::ids::FeedId;
use storebox_proto::time::Timestamp;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};

use super::gate::Gate;
use super::server::Server;
use super::terminal::Counter;
use super::traffic::Traffic;
use super::{admin, masterdata, openapi, terminal};
use crate::config::{Http, TerminalDefaults};
use crate::db::{
    BlockCache, ChangeSet, FeedStore, Options, SegmentStore, Snapshot, SnapshotWriter,
};
use crate::masterdata::Masterdata;
use crate::replica::history::History;
use crate::replica::readers::Readers;
use crate::supervise::Supervisor;
use crate::terminal::access::{Access, Kind};
use crate::terminal::desk::Desk;

/// A box with a catalogue, served on loopback.
struct Site {
    address: SocketAddr,
    token: String,
    store: FeedStore,
    masterdata: Masterdata,
    supervisor: Supervisor,
    traffic: Traffic,
    client: reqwest::Client,
    _dir: TempDir,
}

fn product(number: usize, name: &str) -> Record {
    let body = json!({"barcode": format!("40{number:06}"), "id": format!("P{number:05}"),
                      "name": name, "searchKey": number.to_string()});
    let id = format!("P{number:05}").parse().unwrap();
    Record { id, body: Bytes::from(serde_json::to_vec(&body).unwrap()) }
}

impl Site {
    /// Opens a box with this many products.
    async fn open(products: usize, limits: Http) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let feed: FeedId = "catalogue".parse().unwrap();
        let registry = Registry::built_in();
        let segments = SegmentStore::open(&dir.path().join("segments")).unwrap();
        let defs: Vec<_> = registry.of_feed(&feed).cloned().collect();
        let mut manifests = Vec::new();
        for def in &defs {
            let mut writer = SnapshotWriter::new(&segments, def.name.clone()).unwrap();
            for number in 0..products * usize::from(def.name.as_str() == "Product") {
                writer.push(&product(number, &format!("Apple {number}"))).unwrap();
            }
            manifests.push(writer.finish().unwrap());
        }
        let options = Options { cache: BlockCache::new(1 << 20), overlay_max: 1000 };
        let root = dir.path().join("feeds");
        let mut store =
            FeedStore::open(&root, feed.clone(), defs, segments, options).unwrap().store;
        let published = Timestamp::from_unix_ms(1);
        store.adopt(Snapshot { epoch: 3, revision: 7, published, manifests }).unwrap();
        let readers = Readers::new();
        readers.add(feed, store.reader());
        let masterdata = Masterdata::new(readers);
        Self::serve(dir, store, masterdata, limits).await
    }

    async fn serve(dir: TempDir, store: FeedStore, masterdata: Masterdata, limits: Http) -> Self {
        let access = Access::open(dir.path()).unwrap();
        let token = access.add(Kind::Terminal, "till-1", [5; 32], Timestamp::from_unix_ms(1));
        let counter = Counter {
            access: access.clone(),
            desk: Desk::open(dir.path()),
            masterdata: masterdata.clone(),
            defaults: TerminalDefaults::default(),
            nudge: Arc::new(|| {}),
            history: History::open(&dir.path().join("history"), "store-1".parse().unwrap())
                .unwrap(),
        };
        let routers = [
            masterdata::routes(masterdata.clone()),
            admin::routes(access.clone()),
            terminal::routes(counter),
        ];
        let (router, _) = openapi::assemble(routers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let supervisor = Supervisor::new();
        let traffic = Traffic::default();
        let (gate, secure) = (Gate::default(), None);
        let traffic_of = traffic.clone();
        let server = Server { access, router, limits, traffic: traffic_of, gate, secure };
        server.start(&supervisor, vec![listener], control);
        let client = reqwest::Client::new();
        let token = token.unwrap();
        Self { address, token, store, masterdata, supervisor, traffic, client, _dir: dir }
    }

    async fn ask(&self, path: &str, etag: Option<&str>) -> reqwest::Response {
        let request = self.client.get(format!("http://{}{path}", self.address));
        let request = request.bearer_auth(&self.token);
        let request = match etag {
            Some(etag) => request.header("if-none-match", etag),
            None => request,
        };
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.ask(path, None).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The next revision changes one product.
    fn change(&mut self, number: usize, name: &str) {
        let current = self.store.current().unwrap();
        let Record { id, body } = product(number, name);
        let change = Change { id, body: Some(body) };
        let changes = BTreeMap::from([("Product".parse().unwrap(), vec![change])]);
        let (epoch, revision) = (current.epoch(), current.revision() + 1);
        let published = Timestamp::from_unix_ms(2);
        self.store.apply(ChangeSet { epoch, revision, published, changes }, None).unwrap();
    }

    async fn close(self) {
        assert_eq!(self.supervisor.stop(Duration::from_secs(9)).await, Vec::<String>::new());
    }
}
