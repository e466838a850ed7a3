//! Certificates of members, shown over TLS.

use std::fs;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use storebox::trust::call::Connection;
use storebox::trust::client::{Credentials, Way};
use storebox::trust::house::{self, House};
use storebox::trust::office::Office;
use storebox_proto::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Bench, Wanted, ask, disbelief};

const DAY_MS: i64 = 86_400_000;
/// A box is certified for two years, and honoured for a month more.
const LONG_AGO: i64 = 2 * 365 + 60;

/// The papers of a box below the bench, as they are or as somebody has changed them.
fn credentials(
    bench: &Bench,
    node: &str,
    change: impl FnOnce(&mut Value),
) -> anyhow::Result<(Way, Credentials)> {
    let data = bench.folder.join(node).join("data");
    let file = house::folder(&data).join("papers.json");
    let mut papers: Value = serde_json::from_slice(&fs::read(&file)?)?;
    change(&mut papers);
    fs::write(&file, papers.to_string())?;
    let house = House::open(&data, false)?.context("papers")?;
    Ok(house.way_to("0007".parse()?))
}

/// A box that head office has certified for a site, as of some time.
fn certify(bench: &Bench, node: &str, site: &str, days_ago: i64) -> anyhow::Result<()> {
    let data = bench.folder.join(node).join("data");
    fs::create_dir_all(&data)?;
    let request = house::request(&data, node, Vec::new())?;
    let now = storebox::env::believable();
    let then = Timestamp::from_unix_ms(now.unix_ms() - days_ago * DAY_MS);
    let mut office = Office::open(std::path::Path::new(&bench.shop.chain.office()), now)?;
    let papers = office.issue(&site.parse()?, &request, then)?;
    let text = serde_json::to_vec(&papers)?;
    Ok(fs::write(house::folder(&data).join("papers.json"), text)?)
}

pub(super) async fn try_all(bench: &mut Bench) -> anyhow::Result<()> {
    for (node, site, days_ago) in
        [("old", "0007", LONG_AGO), ("thief", "0007", 0), ("far", "0008", 0), ("forged", "0007", 0)]
    {
        certify(bench, node, site, days_ago)?;
    }
    let expired = disbelief("expired certificate", "certificate_expired");
    show(bench, expired, "old").await?;

    let office = bench.shop.chain.office();
    bench.shop.chain.run(&["site", "revoke", "--office", &office, "--box", "thief"])?;
    bench.shop.store.ask(&["site", "strike", &format!("{office}/strikes.json")])?;
    let revoked = disbelief("revoked certificate", "revoked");
    show(bench, revoked, "thief").await?;
    let foreign = disbelief("foreign-site certificate", "foreign_site");
    show(bench, foreign, "far").await?;

    let flip = |papers: &mut Value| {
        let text = papers["certificate"].as_str().unwrap_or_default();
        let mut bytes = STANDARD.decode(text).unwrap_or_default();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        papers["certificate"] = Value::String(STANDARD.encode(bytes));
    };
    credentials(bench, "forged", flip)?;
    let tampered = disbelief("tampered certificate", "certificate_invalid");
    show(bench, tampered, "forged").await?;
    replaced(bench).await?;
    mixed(bench).await?;

    let (way, (chain, key)) = credentials(bench, "far", |_| {})?;
    let many = std::iter::repeat_n(chain[1].clone(), 5);
    let long = std::iter::once(chain[0].clone()).chain(many).collect();
    let oversized = disbelief("oversized certificate chain", "handshake");
    let at = bench.shop.secure;
    let attempt = async {
        let connection = Connection::open(at, &way, Some((long, key))).await;
        let said = ask(connection, "/sync/v1/feeds", None).await;
        Ok(if said.is_empty() { "handshake".to_owned() } else { said })
    };
    bench.expect(oversized, attempt).await?;
    let downgraded = disbelief("downgraded TLS", "downgraded");
    bench.expect(downgraded, async { greet_in_tls_1_2(at).await }).await
}

/// Shows the papers of a box of the bench and looks at what that leaves behind.
async fn show(bench: &mut Bench, wanted: Wanted, node: &str) -> anyhow::Result<()> {
    let (way, credentials) = credentials(bench, node, |_| {})?;
    let at = bench.shop.secure;
    let attempt = async move {
        Ok(ask(Connection::open(at, &way, Some(credentials)).await, "/sync/v1/feeds", None).await)
    };
    bench.expect(wanted, attempt).await
}

/// A till whose name was given to another one shows what it still has.
async fn replaced(bench: &mut Bench) -> anyhow::Result<()> {
    let shop = &bench.shop;
    let (at, to) = (shop.secure, shop.secure.to_string());
    let before = shop.chain.join_by_slip(&shop.store, at, "till-7")?;
    let slip = shop.store.ask(&["enrol", "slip", "--by", "manager", "--replace"])?;
    let dir = shop.chain.place("another-till");
    let join = ["enrol", "join", "--dir", &dir, "--name", "till-7", "--slip", &slip];
    shop.chain.run(&[&join[..], &["--address", &to]].concat())?;
    let replayed = disbelief("replayed certificate of a till that was replaced", "revoked");
    let attempt = async move { Ok(ask(before.connect(at).await, "/v1/models", None).await) };
    bench.expect(replayed, attempt).await
}

/// A member's own certificate with those above it exchanged for others of the same chain.
async fn mixed(bench: &mut Bench) -> anyhow::Result<()> {
    certify(bench, "near", "0007", 0)?;
    let (way, (near, key)) = credentials(bench, "near", |_| {})?;
    let (_, (far, _)) = credentials(bench, "far", |_| {})?;
    let order = vec![near[0].clone(), far[1].clone(), far[0].clone()];
    let reordered = disbelief("re-ordered certificate chain", "certificate_invalid");
    let at = bench.shop.secure;
    let attempt = async move {
        Ok(ask(Connection::open(at, &way, Some((order, key))).await, "/sync/v1/feeds", None).await)
    };
    bench.expect(reordered, attempt).await
}

/// A greeting that offers TLS 1.2 and nothing newer; the alert is the answer.
async fn greet_in_tls_1_2(at: std::net::SocketAddr) -> anyhow::Result<String> {
    let extensions =
        [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 13, 0, 4, 0, 2, 4, 3], &[0, 11, 0, 2, 1, 0]];
    let extensions = extensions.concat();
    let length = u16::try_from(extensions.len())?.to_be_bytes();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0], &length, &extensions];
    let body = body.concat();
    let handshake = [&[1, 0][..], &u16::try_from(body.len())?.to_be_bytes(), &body].concat();
    let length = u16::try_from(handshake.len())?.to_be_bytes();
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(&[&[22, 3, 1][..], &length, &handshake].concat()).await?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    anyhow::ensure!(answer.first() == Some(&21), "an alert, not a handshake: {answer:?}");
    Ok("downgraded".to_owned())
}
