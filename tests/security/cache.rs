//! A cache of somebody else between box and tills: it answers equal reads, also while the box is away, and reads none.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use storebox_proto::seal::answer::{self, Question};
use storebox_proto::seal::read::{self, Query};
use storebox_proto::seal::{Keys, Ring, RingState, SealError};
use storebox_tests::wait;

use crate::box_of::skipped;
use crate::people::Shop;

const PATIENCE: Duration = Duration::from_secs(60);

/// nginx as a cache, which is told nothing about what it carries.
struct Cache {
    child: Child,
    address: SocketAddr,
}

impl Cache {
    async fn open(folder: &Path, to: SocketAddr) -> anyhow::Result<Option<Self>> {
        if Command::new("nginx").arg("-v").output().is_err() {
            skipped("nginx is not installed; tests/setup installs it");
            return Ok(None);
        }
        fs::create_dir_all(folder)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (home, conf) = (folder.display(), folder.join("nginx.conf"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {home}/{kind};\n")).concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {home}/pid;\nerror_log {home}/log;\nuser root;\nevents {{}}\n\
             http {{\naccess_log {home}/asked;\n{temporary}proxy_cache_path {home}/kept keys_zone=kept:1m;\n\
             server {{\nlisten {address};\nadd_header x-cache $upstream_cache_status;\n\
             location / {{ proxy_cache kept; proxy_pass http://{to}; }}\n}}\n}}\n"
        );
        fs::write(&conf, text)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&conf).stdin(Stdio::null());
        let cache = Self { child: command.spawn()?, address };
        wait::until("nginx answers", PATIENCE, || async {
            Ok(TcpStream::connect(address).is_ok())
        })
        .await?;
        Ok(Some(cache))
    }

    async fn ask(&self, url: &str) -> anyhow::Result<Told> {
        // A connection of its own, as another till has.
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.get(format!("http://{}{url}", self.address)).send().await?;
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (status, said, control) =
            (answer.status().as_u16(), header("x-cache"), header("cache-control"));
        Ok(Told { status, said, control, sealed: answer.bytes().await?.to_vec() })
    }
}

/// What a till hears through the cache.
struct Told {
    status: u16,
    /// What the cache made of it.
    said: String,
    /// What the box lets a cache do with it.
    control: String,
    sealed: Vec<u8>,
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keys_of(shop: &Shop, scope: &str) -> anyhow::Result<Keys> {
    shop.store.ask(&["seal", "new", "--site", "0007", "--scope", scope])?;
    let ring = shop.store.ask(&["seal", "show", "--site", "0007", "--scope", scope])?;
    let ring = Ring::resume(serde_json::from_str::<RingState>(&ring)?);
    ring.keys(ring.epoch_at(storebox::env::believable())).context("the epoch of now")
}

/// All that the cache has on its disk.
fn kept(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let (mut bytes, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => bytes.extend(fs::read(&path)?),
            }
        }
    }
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_cache_answers_equal_reads_for_a_box_that_is_away_and_reads_none_of_them()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // Long enough for a machine with much else to do.
    let settings = "[seal]\nmax_age_s = 600\n";
    let mut shop = Shop::open(folder.path(), "0007", settings).await?;
    let (tills, boxes) = (keys_of(&shop, "tills")?, keys_of(&shop, "boxes")?);
    let home = folder.path().join("cache");
    let Some(cache) = Cache::open(&home, shop.open).await? else { return Ok(()) };
    let path = "/v1/models/Product/records";
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let pairs = [pair("field", "barcode"), pair("value", "4001")];
    let [one, other] = [pairs.to_vec(), pairs.iter().rev().cloned().collect()]
        .map(|pairs| Query::new(path, pairs).map(|query| read::seal(&tills, &query)));
    let (url, same) = (one?, other?);
    ensure!(url == same, "equal reads are equal addresses");
    let first = cache.ask(&url).await?;
    ensure!(first.said == "MISS", "{}", first.said);
    only_for_its_caller(&cache, &tills).await?;
    shop.store.stop();
    let told = cache.ask(&same).await?;
    ensure!(told.said == "HIT" && told.sealed == first.sealed, "the box is away: {}", told.said);
    let (first, second) = (first.sealed, told.sealed);
    let opened = answer::open(&tills, &Question::read(&same), &second)?;
    opened.check_age(storebox::env::believable())?;
    let body = String::from_utf8(opened.body)?;
    ensure!(opened.status == 200 && body.contains("Marmalade"), "{body}");
    // What another till asks differs in one word and is another address, which the cache cannot answer.
    let differs = Query::new(path, vec![pair("field", "barcode"), pair("value", "4002")])?;
    let told = cache.ask(&read::seal(&tills, &differs)).await?;
    ensure!(told.status == 502, "the box is away and the cache has no answer: {}", told.status);
    let swapped = answer::open(&tills, &Question::read(&read::seal(&tills, &differs)), &second);
    ensure!(matches!(swapped, Err(SealError::Broken)), "{swapped:?}");
    ensure!(answer::open(&boxes, &Question::read(&url), &second).is_err(), "another scope");
    let kept = kept(&home)?;
    ensure!(kept.windows(first.len()).any(|window| window == first), "the cache keeps the answer");
    let asked = fs::read_to_string(home.join("asked"))?;
    ensure!(asked.contains(&url), "the cache writes down what it is asked");
    for plain in ["Marmalade", "4001", "barcode", "Product", "/v1/"] {
        let shows = kept.windows(plain.len()).any(|window| window == plain.as_bytes());
        ensure!(!shows && !asked.contains(plain), "the cache can read {plain:?}");
    }
    Ok(())
}

/// What is one caller's is in no cache: a refusal is asked for again each time.
async fn only_for_its_caller(cache: &Cache, tills: &Keys) -> anyhow::Result<()> {
    let missing = Query::new("/v1/models/Product/records/none", Vec::new())?;
    let url = read::seal(tills, &missing);
    for _ in 0..2 {
        let told = cache.ask(&url).await?;
        ensure!(
            told.said == "MISS" && told.control == "no-store",
            "{} {}",
            told.said,
            told.control
        );
    }
    Ok(())
}
