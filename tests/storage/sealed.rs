//! Storage that may not read what it keeps, and neighbours that only carry it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox::demo::process::Process;

use storebox_tests::wait;

use crate::chain::{Chain, PATIENCE, await_fault};
use crate::servers;

/// So many bytes of a plain file are looked for in the sealed ones.
const WINDOW: usize = 24;

fn publish(chain: &Chain, to: &Path, ring: Option<&str>) -> anyhow::Result<Value> {
    let to = to.to_string_lossy();
    let mut order = vec!["publish", "--to", &to];
    order.extend(ring.iter().flat_map(|ring| ["--ring", ring]));
    Ok(serde_json::from_str(&chain.main.ask(&order)?)?)
}

/// All files below a folder by their names within it.
fn files(root: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
                    found.insert(name, fs::read(&path)?);
                }
            }
        }
    }
    Ok(found)
}

fn holds(file: &[u8], what: &[u8]) -> bool {
    file.windows(what.len()).any(|window| window == what)
}

fn give_ring(from: &Process, to: &Process, folder: &Path) -> anyhow::Result<()> {
    let ring = from.ask(&["seal", "show", "--site", "head-office", "--scope", "boxes"])?;
    let file = folder.join("ring.json");
    fs::write(&file, ring)?;
    to.ask(&["seal", "add", &file.to_string_lossy()])?;
    Ok(())
}

/// A box that has the ring before it looks at the storage for the first time.
async fn with_ring(chain: &Chain, node: &str, settings: &str) -> anyhow::Result<Process> {
    let mut store = chain.store(node, "").await?;
    give_ring(&chain.main, &store, &chain.folder)?;
    store.stop();
    let config = chain.folder.join(node).join("storebox.toml");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, format!("{text}{settings}"))?;
    store.start().await?;
    Ok(store)
}

fn source(url: &str, ring: &str) -> String {
    format!("[[source]]\nid = \"bucket\"\nkind = \"storage\"\nurl = {url:?}\nring = {ring:?}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_what_is_published_can_be_read_where_it_lies() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let chain = Chain::open(folder.path(), "").await?;
    let (plain, sealed) = (folder.path().join("plain"), folder.path().join("sealed"));
    fs::create_dir(&plain)?;
    fs::create_dir(&sealed)?;
    let refused = publish(&chain, &sealed, Some("head-office"));
    ensure!(refused.is_err_and(|error| error.to_string().contains("no ring of site head-office")));
    ensure!(
        files(&sealed)?.is_empty(),
        "without a ring nothing is written, least of all in the open"
    );
    chain.main.ask(&["seal", "new", "--site", "head-office", "--scope", "boxes"])?;
    publish(&chain, &plain, None)?;
    let first = publish(&chain, &sealed, Some("head-office"))?;
    ensure!(first["objects"].as_u64() > Some(1), "{first}");
    ensure!(publish(&chain, &sealed, Some("head-office"))?["objects"] == 0, "all of it is there");

    let (open, shut) = (files(&plain)?, files(&sealed)?);
    ensure!(open.keys().any(|name| name == "v1/heads/catalogue"), "{:?}", open.keys());
    ensure!(open["v1/heads/catalogue"].windows(12).any(|window| window == b"ProductPrice"));
    let all: Vec<u8> = shut.values().flatten().copied().collect();
    for (name, bytes) in &open {
        let last = name.rsplit('/').next().context("a name")?;
        ensure!(!shut.keys().any(|sealed| sealed.contains(last)), "the name {name} is told");
        for window in bytes.chunks_exact(WINDOW).take(200) {
            ensure!(!holds(&all, window), "a piece of {name} lies there as it is");
        }
    }
    for word in ["ProductPrice", "catalogue", "PL1-", "listPrice", "head-office", "epoch"] {
        ensure!(!holds(&all, word.as_bytes()), "{word:?} can be read");
        ensure!(!shut.keys().any(|name| name.contains(word)), "{word:?} is in a name");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_ring_reads_and_who_has_not_is_told_so() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bucket = folder.path().join("bucket");
    fs::create_dir(&bucket)?;
    let standing =
        format!("[[publish]]\nid = \"bucket\"\nurl = {bucket:?}\nring = \"head-office\"\n");
    let chain = Chain::open(folder.path(), &standing).await?;
    chain.main.ask(&["seal", "new", "--site", "head-office", "--scope", "boxes"])?;
    let url = bucket.to_string_lossy().into_owned();
    let reader = with_ring(&chain, "store-1", &source(&url, "head-office")).await?;
    chain.await_level(&reader).await?;

    let stranger = chain.store("store-2", &source(&url, "")).await?;
    await_fault(&stranger, "bucket", "does not let this box in").await?;
    let order = ["refresh", "--from", &url, "--ring", "head-office"];
    let refused = stranger.ask(&order).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("no ring of site head-office"), "{refused}");
    // A ring of the same name from somewhere else.
    stranger.ask(&["seal", "new", "--site", "head-office", "--scope", "boxes"])?;
    let refused = stranger.ask(&order).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("is sealed with the key"), "{refused}");

    // The next generation: whoever has it reads on, and what lies there is sealed anew.
    chain.main.ask(&["seal", "new", "--site", "head-office", "--scope", "boxes"])?;
    give_ring(&chain.main, &reader, folder.path())?;
    chain.prices(3001, 2)?;
    reader.ask(&["refresh"])?;
    chain.await_level(&reader).await?;
    // Somebody changes what lies there: it is refused by name, and nothing in service is harmed.
    let before = files(&bucket)?.len();
    ensure!(before > 2, "{before}");
    for (name, mut bytes) in files(&bucket)? {
        if name.starts_with("v1/x/") {
            let last = bytes.last_mut().context("a seal")?;
            *last ^= 1;
            fs::write(bucket.join(&name), bytes)?;
        }
    }
    let late = with_ring(&chain, "store-3", &source(&url, "head-office")).await?;
    await_fault(&late, "bucket", "gave something forged or damaged").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_former_key_had_sealed_goes_when_that_key_is_over() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bucket = folder.path().join("bucket");
    fs::create_dir(&bucket)?;
    let standing =
        format!("[[publish]]\nid = \"bucket\"\nurl = {bucket:?}\nring = \"head-office\"\n");
    let mut chain = Chain::open(folder.path(), &standing).await?;
    let begin = ["seal", "new", "--site", "head-office", "--scope", "boxes"];
    let memory = chain.main.data().join("published-bucket");
    let stands_at = |tag: Option<String>| -> anyhow::Result<Option<Value>> {
        let Ok(bytes) = fs::read(&memory) else { return Ok(None) };
        let known: Value = serde_json::from_slice(&bytes)?;
        let is_new = known["tag"].is_string() && known["tag"].as_str() != tag.as_deref();
        Ok(is_new.then_some(known))
    };
    chain.main.ask(&begin)?;
    chain.prices(3001, 2)?;
    wait::until("sealed", PATIENCE, || async { Ok(stands_at(None)?.is_some()) }).await?;
    let first = stands_at(None)?.context("it is there")?;
    let tag = first["tag"].as_str().map(str::to_owned);
    let before: Vec<String> =
        files(&bucket)?.into_keys().filter(|name| name.starts_with("v1/x/")).collect();
    chain.main.ask(&begin)?;
    chain.prices(3002, 3)?;
    wait::until("sealed anew", PATIENCE, || async { Ok(stands_at(tag.clone())?.is_some()) })
        .await?;
    let mut next = stands_at(tag)?.context("it is there")?;
    let former = next["former"].as_object_mut().context("former files")?;
    ensure!(before.iter().all(|name| former.contains_key(name)), "{former:?}");
    ensure!(
        before.iter().all(|name| bucket.join(name).exists()),
        "readers may still be in the middle"
    );
    // Two days later.
    for since in former.values_mut() {
        *since = Value::from(0);
    }
    chain.main.stop();
    fs::write(&memory, next.to_string())?;
    chain.main.start().await?;
    wait::until("the former files are gone", PATIENCE, || async {
        Ok(before.iter().all(|name| !bucket.join(name).exists()))
    })
    .await?;
    let reader =
        with_ring(&chain, "store-1", &source(&bucket.to_string_lossy(), "head-office")).await?;
    chain.await_level(&reader).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_without_keys_carries_what_is_sealed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("copy");
    fs::create_dir(&copy)?;
    let chain = Chain::open(folder.path(), "").await?;
    chain.main.ask(&["seal", "new", "--site", "head-office", "--scope", "boxes"])?;
    publish(&chain, &copy, Some("head-office"))?;
    let Some(server) = servers::python("web", &copy) else { return Ok(()) };
    let settings = source(&format!("http://127.0.0.1:{}", server.port), "head-office");
    let reader = with_ring(&chain, "store-1", &settings).await?;
    chain.await_level(&reader).await
}
