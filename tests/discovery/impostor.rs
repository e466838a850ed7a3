//! A host that pretends to be a box of the store: it announces itself, answers probes, serves old and damaged feeds,
//! and plays what it is asked with to the real box.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use storebox::discovery::{AnnounceConfig, Announcer};
use storebox::trust::call::Connection;
use storebox::trust::client::Way;
use storebox_proto::beacon::Beacon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::estate::{Estate, program, said};
use crate::host::{PORT, say};
use crate::lan::{Lan, lan};
use crate::proc::{Proc, now, tell, until};

const SOON: Duration = Duration::from_secs(30);
const SIEGE_MS: u64 = 8_000;
const SECRET: &str = "what all boxes of this store share";

/// What the impostor is and has.
pub(crate) struct Impostor {
    pub(crate) beacon: Beacon,
    pub(crate) announce: AnnounceConfig,
    pub(crate) node: String,
    /// A former publication of head office.
    pub(crate) feeds: PathBuf,
    /// The real box, over TLS.
    pub(crate) victim: SocketAddr,
}

/// The part of that host.
pub(crate) async fn play(impostor: Impostor) {
    let Impostor { beacon, announce, node, feeds, victim } = impostor;
    let (_beacons, watched) = watch::channel(beacon);
    let listener = TcpListener::bind(("::", PORT)).await.expect("a free port in a free network");
    let (_namesakes, nobody) = watch::channel(None);
    let announcer = Announcer::start(announce, watched, nobody).expect("mDNS starts");
    say("announcing");
    let serve = async {
        let mut served = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            while served.try_join_next().is_some() {}
            served.spawn(serve(stream, node.clone(), feeds.clone(), victim));
        }
    };
    tokio::join!(announcer.run(CancellationToken::new()), serve);
}

async fn serve(mut stream: TcpStream, node: String, feeds: PathBuf, victim: SocketAddr) {
    let mut request = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut request).await {
        let text = String::from_utf8_lossy(&request[..read]).into_owned();
        let path = text.split(' ').nth(1).unwrap_or("/").to_owned();
        let header = text.lines().find_map(|line| {
            line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        });
        if let Some((_, header)) = header.filter(|_| path.starts_with("/sync/v1/")) {
            replay(victim, &path, header).await;
        }
        let body = lie(&feeds, &path);
        let head = format!(
            "HTTP/1.1 200 OK\r\nstorebox-node: {node}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let is_head = text.starts_with("HEAD ");
        let answer = [head.as_bytes(), if is_head { &[] } else { &body[..] }].concat();
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// An old head as it once was, and objects with a byte that is another one.
fn lie(feeds: &Path, path: &str) -> Vec<u8> {
    let mut parts = path.split('?').next().unwrap_or(path).rsplit('/');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if last == "head" {
        return std::fs::read(feeds.join("v1/heads").join(before)).unwrap_or_default();
    }
    let folder = feeds.join("v1/objects").join(last.get(..2).unwrap_or_default());
    let mut bytes = std::fs::read(folder.join(last)).unwrap_or_else(|_| b"garbage".to_vec());
    if let Some(byte) = bytes.last_mut() {
        *byte ^= 1;
    }
    bytes
}

/// Shows the real box what this one was asked with.
async fn replay(victim: SocketAddr, path: &str, header: &str) {
    let Ok(mut connection) = Connection::open(victim, &Way::proven_later(), None).await else {
        return;
    };
    let headers = [("authorization", header)];
    if let Ok(answer) = connection.send(Method::GET, path, &headers, "").await {
        let kind = header.split(' ').next().unwrap_or_default();
        say(&format!("replayed {kind} {}", answer.status.as_u16()));
    }
}

/// A main server on a host of the LAN.
struct Office<'a> {
    lan: &'a Lan,
    folder: PathBuf,
}

impl Office<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = self.lan.command("office", &program().to_string_lossy());
        command.arg("--config").arg(self.folder.join("storebox.toml")).args(arguments);
        said(&command.output().expect("the program is there"))
    }

    fn open<'a>(lan: &'a Lan, folder: &Path) -> (Office<'a>, Proc) {
        let office = Office { lan, folder: folder.join("office") };
        let settings = format!(
            "role = \"main\"\nnode = \"main\"\ndata_dir = {:?}\n[http]\nlisten = [\"{}:8080\"]\n\
             [discovery]\nannounce = false\n",
            office.folder.join("data"),
            lan.address("office")
        );
        std::fs::create_dir_all(office.folder.join("data")).expect("a folder of the test");
        std::fs::write(office.folder.join("storebox.toml"), settings).expect("the same");
        let mut command = lan.command("office", &program().to_string_lossy());
        command.arg("--config").arg(office.folder.join("storebox.toml")).arg("run");
        let running = Proc::start(command);
        let at = office.folder.join("data/http.addr");
        until(SOON, "head office", || at.exists());
        (office, running)
    }

    fn prices(&self, price: u32) {
        let folder = self.folder.join(format!("prices-{price}"));
        let line = |id| {
            let record = json!({"id": format!("P{id:05}"), "productId": "P1", "listPrice": price.to_string()});
            format!("{record}\n")
        };
        std::fs::create_dir_all(&folder).expect("a folder of the test");
        let lines: String = (0..2000).map(line).collect();
        std::fs::write(folder.join("ProductPrice.ndjson"), lines).expect("the same");
        self.run(&["import", &folder.to_string_lossy()]);
    }
}

fn feeds(status: &str) -> BTreeSet<(String, u64)> {
    let status: Value = serde_json::from_str(status).expect("JSON");
    let feeds = status["feeds"].as_array().cloned().unwrap_or_default();
    let at = |feed: &Value| Some((feed["feed"].as_str()?.to_owned(), feed["revision"].as_u64()?));
    feeds.iter().filter_map(at).collect()
}

#[test]
fn a_shop_sells_and_stays_true_while_a_host_pretends_to_be_its_neighbour() {
    let Some(lan) = lan(&["office", "box", "till", "peer", "evil"]) else { return };
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (office, _main) = Office::open(&lan, folder.path());
    office.prices(1);
    // What anybody who has once seen the storage has kept: an old revision with the right signature.
    let old = folder.path().join("old");
    std::fs::create_dir(&old).expect("a folder of the test");
    office.run(&["publish", "--to", &old.to_string_lossy()]);
    let [secret, token] = ["secret", "token"].map(|name| folder.path().join(name));
    std::fs::write(&secret, SECRET).expect("a folder of the test");
    std::fs::write(&token, office.run(&["node", "add", "box-1"])).expect("the same");
    let more = format!(
        "[discovery]\nsite = \"0007\"\n[main]\nurl = \"http://{}:8080\"\npublic_key = \"{}\"\n\
         token_file = {token:?}\n[peers]\ndiscover = true\nsecret_file = {secret:?}\n",
        lan.address("office"),
        office.run(&["key"])
    );
    let shop = Estate::with(&lan, "box", folder.path(), &more);
    let _box = shop.start();
    said(&shop.join("till", "till-1", &shop.slip(), "box"));
    let at = format!("{}:{PORT}", lan.address("box"));
    let pretence = json!({
        "label": "storebox-c0ffee", "node": "box-9", "site": "0007", "services": ["peers", "tills"],
        "priority": 0, "memory": old, "address": at
    });
    let mut peer = lan.play("peer", "impostor", &pretence);
    peer.wait(SOON, |line| line == "@announcing");
    let status = || said(&shop.run("box", &["status", "--json"]));
    until(SOON, "the neighbour in the book", || status().contains("peer-box-9"));
    let forged = json!({"address": lan.address("evil"), "packets": 2_000});
    let _flood = lan.play("evil", "flood", &forged);
    let begun = now();
    let work = json!({"address": at, "time_ms": SIEGE_MS, "memory": shop.path("till-1")});
    let mut seller = lan.play("till", "seller", &work);
    office.prices(2);
    let wanted = feeds(&office.run(&["status", "--json"]));
    until(SOON, "what head office has", || feeds(&status()) == wanted);
    tell(&format!("true beside a lying neighbour after {} ms", begun.elapsed().as_millis()));
    let (_, replayed) = peer.wait(SOON, |line| line.starts_with("@replayed "));
    assert_eq!(replayed, "@replayed Storebox-Site 401", "what was lured out is worth nothing");
    let patience = Duration::from_millis(SIEGE_MS) + SOON;
    let (_, line) = seller.wait(patience, |line| line.starts_with('@'));
    assert!(line.starts_with("@sold "), "{line}");
    tell(&format!("beside a lying neighbour: {line}"));
    let status: Value = serde_json::from_str(&status()).expect("JSON");
    let sources = status["sources"].as_array().cloned().unwrap_or_default();
    let liar = sources.iter().find(|source| source["id"] == "peer-box-9").expect("it is listed");
    tell(&format!("the liar: {}", liar["lastFault"]));
    assert!(liar["lastFault"].is_string(), "it is known by name: {liar}");
}
