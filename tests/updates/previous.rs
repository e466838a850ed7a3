//! Data survives both ways: what the version before wrote is read, and what is written now it can read.
//!
//! `tests/vectors/previous/data.tar.gz` holds the data of a head office and a store as the version before left them:
//! 40 brands, one sale settled, two that head office does not have.
//! If this fails, do not change the data: the version before is what a box goes back to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox_tests::wait;

use crate::shop::{PATIENCE, executable};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/previous/data.tar.gz");
const HTTP: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\n";
/// Files whose first bytes say in which format they are.
const FORMATS: [(&str, usize); 6] = [
    ("outbox/journal/seg-0000000001.log", 10),
    ("devices/spool/seg-0000000001.log", 10),
    ("chronicle", 14),
    ("vault", 4),
    ("feeds/catalogue/CURRENT", 4),
    ("outbox/documents/conf", 40),
];

struct Past {
    main: Process,
    store: Process,
    till: String,
}

/// Both boxes of the version before, with this version's program.
async fn open(folder: &Path) -> anyhow::Result<Past> {
    let unpacked = folder.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    let tar = Command::new("tar").arg("-xzf").arg(DATA).arg("-C").arg(&unpacked).status()?;
    ensure!(tar.success(), "tar: {tar}");
    let place = |from: &str, node: &str| -> anyhow::Result<PathBuf> {
        let data = folder.join(node).join("data");
        fs::create_dir_all(folder.join(node))?;
        fs::rename(unpacked.join(from), &data)?;
        Ok(data)
    };
    place("main", "head-office")?;
    place("store", "store-1")?;
    let settings = format!("role = \"main\"\n{HTTP}");
    let mut main = Process::lay_out(executable(), folder, "head-office", &settings)?;
    let address = main.start().await?;
    let status = main.control("GET", "/v1/status", None).await?;
    let key = status["publicKey"].as_str().context("a key")?;
    let token_file = unpacked.join("store.token");
    let settings = format!(
        "role = \"store\"\n{HTTP}[main]\nurl = \"http://{address}\"\npublic_key = \"{key}\"\n\
         token_file = {token_file:?}\n"
    );
    let store = Process::lay_out(executable(), folder, "store-1", &settings)?;
    let till = fs::read_to_string(unpacked.join("till.token"))?.trim().to_owned();
    Ok(Past { main, store, till })
}

fn formats(data: &Path) -> anyhow::Result<BTreeMap<&'static str, Vec<u8>>> {
    let read = |(name, length): &(&'static str, usize)| {
        let bytes = fs::read(data.join(name)).with_context(|| (*name).to_owned())?;
        Ok((*name, bytes.into_iter().take(*length).collect()))
    };
    FORMATS.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_version_before_left_is_sold_from_and_settled() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Past { main, mut store, till } = open(folder.path()).await?;
    let address = store.start().await?;
    let client = reqwest::Client::new();
    let url = format!("http://{address}/v1/models/Brand/records/B7");
    let brand: Value = client.get(url).bearer_auth(&till).send().await?.json().await?;
    ensure!(brand.to_string().contains("Brand 7"), "{brand}");
    let sale = json!({
        "key": "0192d3a4-5b6c-7000-8000-000000000004", "kind": "Order", "terminal": "till-1",
        "epoch": 1, "sequence": 4, "lane": "ticket:4", "occurredAt": "2026-11-22T10:02:00Z",
        "clock": "plausible", "payload": {"id": "order-4", "gross": "1.00"}
    });
    let url = format!("http://{address}/v1/transactions");
    let sold = client.post(url).bearer_auth(&till).json(&sale).send().await?;
    ensure!(sold.status().is_success(), "{}", sold.text().await?);
    wait::until("all four are settled", PATIENCE, || async {
        let status = main.control("GET", "/v1/status", None).await?;
        Ok(status["ledger"]["settled"] == 4)
    })
    .await?;
    wait::until("the box knows it", PATIENCE, || async {
        let outbox = store.control("GET", "/v1/status", None).await?["outbox"].clone();
        Ok(outbox["accepted"] == 4 && outbox["waiting"] == 0)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_box_writes_the_formats_that_the_version_before_reads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Past { main, mut store, .. } = open(folder.path()).await?;
    let before = formats(&store.data())?;
    let config = fs::read_to_string(store.data().with_file_name("storebox.toml"))?;
    let settings =
        config.lines().filter(|line| !line.starts_with("node") && !line.starts_with("data_dir"));
    let settings = settings.map(|line| format!("{line}\n")).collect::<String>();
    let mut new = Process::lay_out(executable(), folder.path(), "store-2", &settings)?;
    let address = new.start().await?;
    wait::until("masterdata is there", PATIENCE, || async {
        let status = new.control("GET", "/v1/status", None).await?;
        let feeds = status["feeds"].as_array().cloned().unwrap_or_default();
        Ok(feeds.iter().any(|feed| feed["feed"] == "catalogue" && feed["records"] == 40))
    })
    .await?;
    let till = new.ask(&["terminal", "add", "till-1"])?;
    let sale = json!({
        "key": "0192d3a4-5b6c-7000-8000-000000000009", "kind": "Order", "terminal": "till-1",
        "epoch": 1, "sequence": 1, "lane": "ticket:9", "occurredAt": "2026-11-22T10:02:00Z",
        "clock": "plausible", "payload": {"id": "order-9", "gross": "1.00"}
    });
    let url = format!("http://{address}/v1/transactions");
    reqwest::Client::new().post(url).bearer_auth(till).json(&sale).send().await?;
    new.stop();
    let after = formats(&new.data())?;
    for (name, bytes) in &before {
        ensure!(after.get(name) == Some(bytes), "{name}: {bytes:02x?} became {:02x?}", after[name]);
    }
    drop(main);
    store.stop();
    Ok(())
}
