//! The listeners and routes as a client meets them: real sockets on loopback, real replicas in a directory.

mod guests;
mod limits;
mod listing;
mod login;
mod patience;
mod rollout;
mod rules;
mod sealed;
mod session;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use storebox_proto::feed::{Change, Record, Registry};
use storebox_proto::ids::FeedId;
use storebox_proto::time::Timestamp;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use zeroize::Zeroizing;

use super::gate::Gate;
use super::rate::Rates;
use super::sealed::Sealing;
use super::server::Server;
use super::terminal::Counter;
use super::traffic::Traffic;
use super::{admin, masterdata, openapi, session as sessions, terminal};
use crate::config::{self, Http, TerminalDefaults};
use crate::db::{
    BlockCache, ChangeSet, FeedStore, Options, SegmentStore, Snapshot, SnapshotWriter,
};
use crate::login::{Logins, Settings};
use crate::masterdata::Masterdata;
use crate::replica::history::History;
use crate::replica::readers::Readers;
use crate::seal::Seals;
use crate::secrets::Vault;
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
    seals: Seals,
    access: Access,
    logins: Logins,
    client: reqwest::Client,
    estate: FeedStore,
    dir: TempDir,
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
        Self::plan(products, limits).open().await
    }

    /// A box that is not open yet.
    fn plan(products: usize, limits: Http) -> Plan {
        let (seal, login) = (config::Seal::default(), config::Login::default());
        let (estate, assortment) = (Vec::new(), Vec::new());
        Plan { products, limits, seal, login, estate, assortment }
    }
}

fn described(value: &Value) -> Record {
    let id = value["id"].as_str().unwrap().parse().unwrap();
    Record { id, body: Bytes::from(serde_json::to_vec(value).unwrap()) }
}

/// What a box is to be like.
struct Plan {
    products: usize,
    limits: Http,
    seal: config::Seal,
    login: config::Login,
    estate: Vec<(&'static str, Value)>,
    /// Records of `AssortmentProduct`.
    assortment: Vec<Value>,
}

/// Who logs in at a box with this name.
fn logins(dir: &Path, node: &str, times: config::Login) -> Logins {
    Logins::new(Settings {
        data_dir: dir,
        node: node.parse().unwrap(),
        site: "store-7".parse().unwrap(),
        key: &ed25519_dalek::SigningKey::from_bytes(&[1; 32]),
        pepper: Some(Zeroizing::new([2; 32])),
        times,
    })
}

/// A feed with these records.
fn feed_of(dir: &Path, feed: &str, records: &dyn Fn(&str) -> Vec<Record>) -> FeedStore {
    let feed: FeedId = feed.parse().unwrap();
    let segments = SegmentStore::open(&dir.join("segments")).unwrap();
    let defs: Vec<_> = Registry::built_in().of_feed(&feed).cloned().collect();
    let mut manifests = Vec::new();
    for def in &defs {
        let mut writer = SnapshotWriter::new(&segments, def.name.clone()).unwrap();
        let mut found = records(def.name.as_str());
        found.sort_by(|a, b| a.id.cmp(&b.id));
        for record in found {
            writer.push(&record).unwrap();
        }
        manifests.push(writer.finish().unwrap());
    }
    let options = Options { cache: BlockCache::new(1 << 20), overlay_max: 1000 };
    let mut store =
        FeedStore::open(&dir.join("feeds"), feed, defs, segments, options).unwrap().store;
    let published = Timestamp::from_unix_ms(1);
    store.adopt(Snapshot { epoch: 3, revision: 7, published, manifests }).unwrap();
    store
}

impl Plan {
    async fn open(self) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let count = self.products;
        let assortment = self.assortment.clone();
        let products = |model: &str| match model {
            "Product" => {
                (0..count).map(|number| product(number, &format!("Apple {number}"))).collect()
            }
            "AssortmentProduct" => assortment.iter().map(described).collect(),
            _ => Vec::new(),
        };
        let store = feed_of(dir.path(), "catalogue", &products);
        let estate = self.estate.clone();
        let of_estate = |model: &str| {
            let of = estate.iter().filter(|(name, _)| *name == model);
            of.map(|(_, value)| described(value)).collect()
        };
        let estate = feed_of(dir.path(), "estate", &of_estate);
        let readers = Readers::new();
        readers.add("catalogue".parse().unwrap(), store.reader());
        if !self.estate.is_empty() {
            readers.add("estate".parse().unwrap(), estate.reader());
        }
        let masterdata = Masterdata::new(readers);
        self.serve(dir, store, estate, masterdata).await
    }

    async fn serve(
        self,
        dir: TempDir,
        store: FeedStore,
        estate: FeedStore,
        masterdata: Masterdata,
    ) -> Site {
        let Self { limits, seal, login, .. } = self;
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
        let logins = logins(dir.path(), "box-1", login);
        logins.read_from(masterdata.clone());
        let routers = [
            masterdata::routes(masterdata.clone()),
            admin::routes(access.clone()),
            terminal::routes(counter),
            sessions::routes(logins.clone()),
        ];
        let (router, _) = openapi::assemble(routers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let control = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let supervisor = Supervisor::new();
        let traffic = Traffic::default();
        let vault = Vault::open(dir.path(), Path::new("")).unwrap();
        let seals = Seals::open(vault).unwrap();
        let server = Server {
            access: access.clone(),
            router,
            traffic: traffic.clone(),
            sealing: Sealing::new(seals.clone(), &seal),
            logins: logins.clone(),
            rates: Rates::new(&limits),
            limits,
            gate: Gate::default(),
            secure: None,
        };
        server.start(&supervisor, vec![listener], control);
        let client = reqwest::Client::new();
        let token = token.unwrap();
        Site {
            address,
            token,
            store,
            masterdata,
            supervisor,
            traffic,
            seals,
            access,
            logins,
            client,
            estate,
            dir,
        }
    }
}

impl Site {
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
        let (epoch, after) = (current.epoch(), current.revision());
        let revision = after + 1;
        let published = Timestamp::from_unix_ms(2);
        self.store.apply(ChangeSet { epoch, after, revision, published, changes }, None).unwrap();
    }

    async fn close(self) {
        assert_eq!(self.supervisor.stop(Duration::from_secs(9)).await, Vec::<String>::new());
    }
}
