//! A small chain that uses everything a box can keep, on a disk where every write is on record.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use storebox::demo::device::Simulated;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox::pass::{Pass, SiteSecret};
use storebox::uplink::{Route, mirror};
use storebox_peripherals::printer::Profile;
use storebox_peripherals::sim::printer::PrinterSim;
use storebox_peripherals::sim::script::Script;
use storebox_tests::chain::{Chain, await_level};
use storebox_tests::wait;

use crate::disk::SmallDisk;
use crate::leavings;
use crate::programs::{Between, Programs};
use crate::shop::PATIENCE;

const SIZE: &str = "size=3g";
/// What all boxes of the store share.
const SECRET: &str = "what all boxes of this store share";
const PASSWORD: &str = "a-password-of-nobody";
/// Sales that are settled before head office is gone, and those after.
const SETTLED: usize = 40;
const HELD: usize = 60;
const PRODUCTS: usize = 1500;
/// Fixed ports: the network is this process's own.
const PORTS: [(&str, u16, u16); 3] =
    [("main", 9080, 9443), ("store", 8081, 8443), ("neighbour", 8082, 8444)];

/// Whose disk is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Main,
    Store,
    Neighbour,
}

/// All of them.
pub(crate) const NODES: [Node; 3] = [Node::Main, Node::Store, Node::Neighbour];

impl Node {
    pub(crate) fn name(self) -> &'static str {
        PORTS[self as usize].0
    }
}

/// A transaction that a till was told is safe, and how long the records were then.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) key: String,
    /// Its neighbour has it too.
    pub(crate) mirrored: bool,
    pub(crate) at: [usize; 3],
}

pub(crate) struct Specimen {
    _disk: SmallDisk,
    settings: [String; 3],
    /// What the store said is held while head office was gone, and what head office was said to have settled.
    pub(crate) held: Vec<Told>,
    pub(crate) settled: Vec<Told>,
    /// What the store said its neighbour has too, of what was never settled.
    pub(crate) mirrored: Vec<Told>,
    /// From here on the records show boxes that know each other and have masterdata.
    pub(crate) grown: [usize; 3],
    folder: tempfile::TempDir,
}

struct Chained {
    chain: Chain,
    main: Process,
    store: Process,
    neighbour: Process,
}

impl Chained {
    /// A box is stolen, and struck off; both boxes of the store write that down.
    async fn strike(&self, recorded: &Path, root: &Path) -> anyhow::Result<()> {
        let stolen = Process::lay_out(recorded, root, "stolen", "role = \"store\"\n")?;
        self.chain.adopt(&stolen, "stolen", "0007")?;
        let (office, list) = (self.chain.office(), self.chain.place("list"));
        self.chain.run(&["site", "revoke", "--office", &office, "--box", "stolen"])?;
        self.chain.run(&["site", "publish", "--office", &office, &list])?;
        self.main.ask(&["import", &list])?;
        let lists = [&self.store, &self.neighbour].map(|one| one.data().join("trust/strikes.json"));
        let are_there = || async { Ok(lists.iter().all(|list| list.exists())) };
        wait::until("both boxes know who is struck off", PATIENCE, are_there).await
    }
}

impl Specimen {
    /// Lives a short life with everything in it.
    pub(crate) async fn live(programs: &Programs) -> anyhow::Result<Self> {
        let folder = leavings::folder()?;
        let disk = SmallDisk::mount_sized(&folder.path().join("disk"), SIZE)?;
        let recorded =
            programs.script("recorded", &Between { record: true, ..Between::default() })?;
        let mut own = Self {
            _disk: disk,
            settings: Default::default(),
            held: Vec::new(),
            settled: Vec::new(),
            mirrored: Vec::new(),
            grown: [0; 3],
            folder,
        };
        let printer = own.root().join("printer");
        let sim = PrinterSim::new(Profile::epson_m30(), Script::default());
        let _printer = Simulated::plug_in(sim, PrinterSim::act, &printer)?;
        let mut chained = own.found(&recorded).await?;
        own.grown = own.recorded();
        chained.strike(&recorded, &own.root()).await?;
        let till = Till::admit(&chained.store, PORTS[1].1).await?;
        till.everything(&chained).await?;
        own.settled =
            till.sell(1..=SETTLED, "?wait=settled&timeout_s=30", || own.recorded()).await?;
        chained.store.ask(&["refresh", "--full"])?;
        chained.chain.import(&chained.main, &catalogue(2))?;
        await_level(&chained.main, &chained.store).await?;
        chained.main.stop();
        own.held = till.sell(SETTLED + 1..=SETTLED + HELD, "", || own.recorded()).await?;
        own.mirrored = own.held.iter().filter(|told| told.mirrored).cloned().collect();
        ensure!(!own.mirrored.is_empty(), "no till was told that two boxes have its sale");
        till.print(HELD).await?;
        chained.store.kill();
        chained.neighbour.kill();
        drop(chained);
        for node in NODES {
            fs::rename(own.root().join(node.name()).join("data"), own.kept(node))?;
        }
        Ok(own)
    }

    async fn found(&mut self, recorded: &Path) -> anyhow::Result<Chained> {
        let root = self.root();
        let chain = Chain::found(recorded, &root)?;
        let out = root.join("out");
        let more = format!("[[deliver]]\nid = \"erp\"\nto = \"files\"\nurl = {out:?}\n");
        self.settings[0] = format!("role = \"main\"\n{}{more}", listen(Node::Main));
        let mut main = Process::lay_out(recorded, &root, "main", &self.settings[0])?;
        chain.adopt(&main, "main", "head-office")?;
        main.start().await?;
        let key = State::of(&main).await?.public_key;
        let secret = root.join("store.secret");
        fs::write(&secret, SECRET)?;
        let settings = |node: Node, other: u16, more: &str| {
            format!(
                "role = \"store\"\n{}[main]\nurl = \"https://127.0.0.1:{}\"\npublic_key = \"{key}\"\n\
                 [peers]\ndiscover = true\nsecret_file = {secret:?}\n\
                 [discovery]\nannounce = false\nsite = \"0007\"\nboxes = [\"127.0.0.1:{other}\"]\n{more}",
                listen(node),
                PORTS[0].2
            )
        };
        let devices = format!(
            "[mirror]\npeer = \"peer-neighbour\"\n[outbox]\nreserve_bytes = 1048576\n\
             [[device]]\nid = \"printer\"\nkind = \"printer\"\nat = {:?}\nmodel = \"epson-tm-m30\"\n",
            root.join("printer")
        );
        self.settings[1] = settings(Node::Store, PORTS[2].1, &devices);
        self.settings[2] =
            settings(Node::Neighbour, PORTS[1].1, "[outbox]\nreserve_bytes = 1048576\n");
        let mut boxes = Vec::new();
        for node in [Node::Store, Node::Neighbour] {
            let mut one =
                Process::lay_out(recorded, &root, node.name(), &self.settings[node as usize])?;
            chain.adopt(&one, node.name(), "0007")?;
            one.start().await?;
            boxes.push(one);
        }
        let (Some(neighbour), Some(store)) = (boxes.pop(), boxes.pop()) else {
            anyhow::bail!("two boxes")
        };
        chain.import(&main, &catalogue(1))?;
        let body = json!({"password": PASSWORD});
        let hash = store.control("POST", "/v1/logins/hash", Some(&body)).await?["hash"].clone();
        chain.import(&main, &estate(&hash))?;
        for one in [&store, &neighbour] {
            await_level(&main, one).await?;
        }
        main.ask(&["seal", "new", "--site", "0007", "--scope", "tills"])?;
        Ok(Chained { chain, main, store, neighbour })
    }

    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("disk")
    }

    /// How long the records are.
    fn recorded(&self) -> [usize; 3] {
        NODES.map(|node| {
            let about = fs::metadata(self.root().join(node.name()).join("record"));
            about.map_or(0, |about| usize::try_from(about.len()).unwrap_or(usize::MAX))
        })
    }

    pub(crate) fn record(&self, node: Node) -> anyhow::Result<Vec<u8>> {
        Ok(fs::read(self.root().join(node.name()).join("record"))?)
    }

    /// The files of a node as they were at the end.
    pub(crate) fn kept(&self, node: Node) -> std::path::PathBuf {
        self.root().join(node.name()).join("kept")
    }

    /// Gives a node back what it had at the end.
    pub(crate) fn lay_out(&self, node: Node) -> anyhow::Result<()> {
        let data = self.root().join(node.name()).join("data");
        let _ = fs::remove_dir_all(&data);
        let mut copy = Command::new("cp");
        let copied = copy.arg("-a").arg(self.kept(node)).arg(&data).status()?;
        ensure!(copied.success(), "copy the files of {}", node.name());
        Ok(())
    }

    /// The store's transactions that the neighbour has, as the store asks for them.
    pub(crate) async fn copies(&self) -> anyhow::Result<Vec<String>> {
        let store = Node::Store.name();
        let pass = Pass::Site(SiteSecret::new(SECRET), store.parse()?);
        let near = Route::near(format!("http://127.0.0.1:{}", PORTS[2].1), pass);
        let path = format!("/sync/v1/mirror/{store}/keys");
        let keys = mirror::call(&mirror::client()?, &near, "GET", &path, Default::default()).await;
        keys.context("the neighbour says which copies it has")
    }

    /// The same box with the program as it is.
    pub(crate) fn again(&self, programs: &Programs, node: Node) -> anyhow::Result<Process> {
        let settings = &self.settings[node as usize];
        Ok(Process::lay_out(programs.plain(), &self.root(), node.name(), settings)?)
    }
}

fn listen(node: Node) -> String {
    let (_, open, secure) = PORTS[node as usize];
    format!("[http]\nlisten = [\"127.0.0.1:{open}\"]\n[tls]\nlisten = [\"127.0.0.1:{secure}\"]\n")
}

/// All products, at prices that differ between revisions.
fn catalogue(revision: usize) -> Vec<(&'static str, String)> {
    let product = |id: usize| json!({"id": format!("P{id:05}"), "name": format!("Product {id}"), "barcode": format!("4{id:012}")});
    let price = |id: usize| {
        json!({"id": format!("L{id:05}"), "productId": format!("P{id:05}"), "priceListId": "L",
               "listPrice": format!("{revision}.{:02}", id % 100)})
    };
    let lines = |record: &dyn Fn(usize) -> Value| {
        (0..PRODUCTS).map(|id| format!("{}\n", record(id))).collect()
    };
    vec![("Product", lines(&product)), ("ProductPrice", lines(&price))]
}

/// People, a channel with every kind of thing that is kept for it, and targets that are not there.
fn estate(hash: &Value) -> Vec<(&'static str, String)> {
    let nowhere = json!({"url": "http://127.0.0.1:9/nowhere", "timeoutMs": 300});
    let services: Vec<String> = ["customer", "query", "ticket"]
        .iter()
        .map(|name| json!({"id": name, "channelId": "web", "type": name}).to_string())
        .collect();
    vec![
        ("User", json!({"id": "ann", "searchKey": "ann", "name": "Ann", "password": hash, "roles": ["manager"]}).to_string()),
        ("Role", json!({"id": "manager", "rights": ["sell", "print", "weigh", "drawer", "manage"]}).to_string()),
        ("Channel", json!({"id": "web", "name": "Web", "type": "web-shop"}).to_string()),
        ("ChannelService", services.join("\n")),
        ("Access", json!({"id": "a", "channelId": "web", "roleId": "manager", "right": "write"}).to_string()),
        ("Terminal", json!({"id": "till-1", "channelId": "web", "roleId": "manager"}).to_string()),
        ("Hook", json!({"id": "tell", "channelId": "web", "type": "after-complete", "entity": "Ticket", "implementation": "webhook", "webhook": nowhere}).to_string()),
        ("PushDefinition", json!({"id": "erp", "channelId": "web", "entity": "Product", "delivery": "webhook", "webhook": nowhere}).to_string()),
    ]
}

/// The till of the store.
struct Till {
    base: String,
    token: String,
    client: Client,
}

impl Till {
    async fn admit(store: &Process, port: u16) -> anyhow::Result<Self> {
        let token = store.ask(&["terminal", "add", "till-1"])?;
        let client = Client::builder().timeout(Duration::from_secs(40)).build()?;
        Ok(Self { base: format!("http://127.0.0.1:{port}"), token, client })
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, String)> {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let answer = request.json(body).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Each sale, and how long the record was when the till was told.
    async fn sell(
        &self,
        numbers: std::ops::RangeInclusive<usize>,
        wait: &str,
        recorded: impl Fn() -> [usize; 3],
    ) -> anyhow::Result<Vec<Told>> {
        let mut told = Vec::new();
        for number in numbers {
            let key = format!("0192d3a4-5b6c-7000-8000-{number:012x}");
            let sale = json!({
                "key": key, "kind": "Order", "terminal": "till-1", "epoch": 1, "sequence": number,
                "lane": format!("ticket:{number}"), "occurredAt": "2026-11-22T10:02:00Z",
                "clock": "plausible", "payload": {"id": number.to_string(), "gross": "12.30", "note": "x".repeat(number * 29 % 1500)}
            });
            let (status, said) = self.post(&format!("/v1/transactions{wait}"), &sale).await?;
            ensure!(status == 200, "sale {number}: {status} {said}");
            let said: Value = serde_json::from_str(&said)?;
            told.push(Told { key, mirrored: said["grade"] == "mirrored", at: recorded() });
        }
        Ok(told)
    }

    async fn print(&self, number: usize) -> anyhow::Result<()> {
        for at in 0..10 {
            let body =
                json!({"key": format!("receipt-{number}-{at}"), "receiptline": "one|1.00\n="});
            let (status, said) = self.post("/v1/printers/printer/jobs?wait_s=5", &body).await?;
            ensure!(status == 201, "{status} {said}");
        }
        Ok(())
    }

    /// Everything that leaves something on a disk, once.
    async fn everything(&self, chained: &Chained) -> anyhow::Result<()> {
        let Chained { chain, store, .. } = chained;
        for password in [PASSWORD, "another"] {
            self.post("/v1/session", &json!({"user": "ann", "password": password})).await?;
        }
        wait::until("the printer is open", PATIENCE, || async {
            Ok(store.control("GET", "/v1/devices", None).await?["devices"][0]["link"] == "open")
        })
        .await?;
        self.print(0).await?;
        let ticket =
            json!({"documentNo": "W/9", "lines": [{"productId": "P00001", "quantity": 1}]});
        for _ in 0..3 {
            let (status, said) = self.post("/v1/channel/ticket", &ticket).await?;
            ensure!(status == 200, "{status} {said}");
        }
        self.post("/v1/channel/customer", &json!({"name": "Ada"})).await?;
        let drill = json!({"seconds": 1, "by": "ann"});
        store.control("POST", "/v1/drill", Some(&drill)).await?;
        let secure: SocketAddr = ([127, 0, 0, 1], PORTS[1].2).into();
        chain.join_by_slip(store, secure, "kiosk")?;
        wait::until("the drill has ended", PATIENCE, || async {
            let drills = store.control("GET", "/v1/drill", None).await?;
            Ok(drills[0]["finished"] == true)
        })
        .await?;
        let loaded = json!({"extent": "incremental", "succeeded": true, "models": [{"model": "Product", "records": 1}]});
        let (status, said) = self.post("/v1/terminal/refreshed", &loaded).await?;
        ensure!(status == 200, "{status} {said}");
        let history = store.ask(&["history"])?;
        ensure!(!history.is_empty(), "refreshes are remembered");
        let status = store.control("GET", "/v1/status", None).await?;
        status["outbox"].as_object().context("an outbox")?;
        Ok(())
    }
}
