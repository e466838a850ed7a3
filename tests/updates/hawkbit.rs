//! A chain's own hawkBit server: its device API, spoken to a server that was made from its public description.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox_image::slot::Slot;
use storebox_image::slot::grubenv::EnvFile;
use storebox_image::steward::history::Event;
use storebox_image::steward::{Places, slots};
use storebox_tests::wait;

use crate::shop::{Office, PATIENCE, noise};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/updates/ddi_server.py");
const TOKEN: &str = "bH7XXAprK1ChnLfKSdtlsp7NOlPnZAYY";

struct Ddi {
    process: Child,
    port: String,
    log: PathBuf,
}

impl Drop for Ddi {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ddi {
    /// Serves a bundle whose first download is cut; nothing where there is no Python.
    fn start(folder: &Path, bundle: &[u8], cut: usize) -> anyhow::Result<Option<Self>> {
        if Command::new("python3").arg("--version").output().is_err() {
            return Ok(storebox_tests::skip("needs python3"));
        }
        let (file, log) = (folder.join("hawkbit.raucb"), folder.join("hawkbit.log"));
        fs::write(&file, bundle)?;
        let mut process = Command::new("python3")
            .arg(SERVER)
            .arg(&file)
            .args(["1.5.0", "store-1", TOKEN, &cut.to_string()])
            .arg(&log)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut port = String::new();
        let out = process.stdout.take().context("its output")?;
        BufReader::new(out).read_line(&mut port)?;
        Ok(Some(Self { process, port: port.trim().to_owned(), log }))
    }

    /// What goes wrong from now on.
    fn play(&self, tricks: &Value) -> anyhow::Result<()> {
        let path = self.log.with_extension("log.tricks");
        let new = path.with_extension("new");
        fs::write(&new, tricks.to_string())?;
        Ok(fs::rename(new, path)?)
    }

    /// How a box is told of it.
    fn settings(&self, folder: &Path) -> anyhow::Result<String> {
        settings(folder, &format!("http://127.0.0.1:{}", self.port))
    }

    /// What the device said and asked for.
    fn heard(&self, what: &str) -> anyhow::Result<Vec<Value>> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        Ok(lines?.into_iter().filter(|line| line["what"] == what).collect())
    }

    /// The word that ends the action.
    async fn await_closed(&self) -> anyhow::Result<Value> {
        let closing = || -> anyhow::Result<Option<Value>> {
            Ok(self.heard("feedback")?.into_iter().find(|line| line["execution"] == "closed"))
        };
        wait::until("the server is told", PATIENCE, || async { Ok(closing()?.is_some()) }).await?;
        closing()?.context("it was there")
    }
}

fn settings(folder: &Path, url: &str) -> anyhow::Result<String> {
    let token_file = folder.join("hawkbit.token");
    fs::write(&token_file, TOKEN)?;
    Ok(format!(
        "[update]\nwindow = \"\"\nhawkbit_url = {url:?}\nhawkbit_token_file = {token_file:?}\n"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_hawkbit_is_fetched_with_ranges_and_answered_to_its_end()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = noise(2_000_000, 7);
    let Some(ddi) = Ddi::start(folder.path(), &bundle, 700_000)? else { return Ok(()) };
    let office = Office::open(folder.path()).await?;
    let shop = office.shop("store-1", &ddi.settings(folder.path())?).await?;
    let there = shop.await_state("handed-over").await?;
    ensure!(fs::read(shop.bundle("1.5.0"))? == bundle, "{there}");
    let downloads = ddi.heard("download")?;
    ensure!(downloads.len() == 2 && downloads[0]["begin"] == 0, "{downloads:?}");
    let begin = downloads[1]["begin"].as_u64().context("a range")?;
    ensure!((1..=700_000).contains(&begin), "what had arrived is asked for again: {begin}");
    let fetched = there["fetchedBytes"].as_u64().context("bytes")?;
    ensure!(fetched == 2_000_000, "{fetched} bytes of {}", bundle.len());
    ensure!(ddi.heard("config")?[0]["data"]["data"]["board"] == "x86-64");
    let said = ddi.heard("feedback")?;
    ensure!(said.iter().any(|line| line["execution"] == "proceeding"), "{said:?}");

    shop.steward_notes(Event::FellBack, "1.5.0", "the service did not start")?;
    let last = ddi.await_closed().await?;
    ensure!(last["result"]["finished"] == "failure", "{last}");
    ensure!(last["details"][0] == "the service did not start", "{last}");
    ensure!(!shop.bundle("1.5.0").exists(), "it is not tried again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_not_what_was_announced_is_given_up_once_and_everybody_hears_why()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = noise(300_000, 11);
    let Some(ddi) = Ddi::start(folder.path(), &bundle, 0)? else { return Ok(()) };
    ddi.play(&json!({"sha256": "ab".repeat(32)}))?;
    let office = Office::open(folder.path()).await?;
    let shop = office.shop("store-1", &ddi.settings(folder.path())?).await?;
    let last = ddi.await_closed().await?;
    ensure!(last["result"]["finished"] == "failure", "{last}");
    ensure!(last["details"][0].as_str().is_some_and(|why| why.contains("SHA-256")), "{last}");
    let downloads = ddi.heard("download")?;
    ensure!(downloads.len() == 1, "it is not fetched for ever: {downloads:?}");
    wait::until("head office hears of it", PATIENCE, || async {
        let boxes = office.main.control("GET", "/v1/boxes", None).await?;
        let failed = &boxes[0]["said"]["release"]["failed"][0];
        Ok(failed["event"] == "broken" && failed["version"] == "1.5.0")
    })
    .await?;
    ensure!(!shop.bundle("1.5.0").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_stalls_keeps_nothing_else_waiting_and_its_link_leads_nowhere_else()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = noise(900_000, 12);
    let Some(ddi) = Ddi::start(folder.path(), &bundle, 0)? else { return Ok(()) };
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0")?;
    elsewhere.set_nonblocking(true)?;
    let host = format!("//{}", elsewhere.local_addr()?);
    ddi.play(&json!({"stall": 300_000, "host": host}))?;
    let office = Office::open(folder.path()).await?;
    let shop = office.shop("store-1", &ddi.settings(folder.path())?).await?;
    let there = |update: &Value| update["haveBytes"].as_u64().is_some_and(|have| have >= 300_000);
    shop.await_update("a part of it", there).await?;
    let token = shop.store.ask(&["terminal", "add", "till-1"])?;
    shop.line.cut_after(0);
    let sale = json!({
        "key": "0192d3a4-5b6c-7000-8000-000000000001", "kind": "Order", "terminal": "till-1",
        "epoch": 1, "sequence": 1, "lane": "ticket:1", "occurredAt": "2026-11-22T10:02:00Z",
        "clock": "plausible", "payload": {"id": "order-1", "gross": "1.00"}
    });
    let url = format!("http://{}/v1/transactions", shop.address);
    let sold = reqwest::Client::new().post(url).bearer_auth(token).json(&sale).send().await?;
    ensure!(sold.status().is_success(), "{}", sold.text().await?);
    wait::until("the steward is told meanwhile", PATIENCE, || async {
        let note = fs::read_to_string(shop.updates.join("hold")).unwrap_or_default();
        Ok(note.contains("1 transactions"))
    })
    .await?;
    ddi.play(&json!({"host": host}))?;
    shop.await_state("held").await?;
    shop.line.mend();
    shop.await_state("handed-over").await?;
    ensure!(fs::read(shop.bundle("1.5.0"))? == bundle);
    let download = ddi.heard("download")?.remove(0);
    let path = download["path"].as_str().context("a path")?;
    // This server folds slashes at the beginning.
    ensure!(path.contains(&host[2..]), "{path}");
    let asked = elsewhere.accept().map_err(|error| error.kind());
    ensure!(asked.err() == Some(std::io::ErrorKind::WouldBlock), "somebody else was asked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_line_keeps_what_was_fetched_before_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let office = Office::open(folder.path()).await?;
    // Nobody listens there any more.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let part =
        folder.path().join("store-1-root/var/lib/storebox-updates/storebox-x86-64-1.5.0.part");
    fs::create_dir_all(part.parent().context("a folder")?)?;
    fs::write(&part, noise(100_000, 13))?;
    let settings = settings(folder.path(), &format!("http://{address}"))?;
    let shop = office.shop("store-1", &settings).await?;
    let is_down =
        |update: &Value| update["why"].as_str().is_some_and(|why| why.contains("ask hawkBit"));
    shop.await_update("no answer", is_down).await?;
    // Seen only by a later look, after the first one is over.
    let system = "ID=debian\nIMAGE_VERSION=1.4.1\nSTOREBOX_BOARD=x86-64\n";
    fs::write(shop.root.join("usr/lib/os-release"), system)?;
    shop.await_update("another look", |update| update["running"] == "1.4.1").await?;
    ensure!(part.exists(), "it was thrown away before anybody was asked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn success_is_told_once_the_slot_is_confirmed_and_what_is_installed_is_not_taken_back()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(ddi) = Ddi::start(folder.path(), &noise(300_000, 14), 0)? else { return Ok(()) };
    let office = Office::open(folder.path()).await?;
    let shop = office.shop("store-1", &ddi.settings(folder.path())?).await?;
    shop.await_state("handed-over").await?;
    let said = |what: &'static str| {
        let heard = ddi.heard("feedback");
        async move { Ok(heard?.iter().any(|line| line.to_string().contains(what))) }
    };
    // It was told that the steward has the bundle; that he may not use it is another thing.
    let why = "1.5.0 may not be installed: nobody has approved it";
    shop.steward_notes(Event::Unapproved, "1.5.0", why)?;
    wait::until("the server is told why", PATIENCE, || said("nobody has approved it")).await?;
    shop.steward_notes(Event::Installed, "1.5.0", "")?;
    // The service has to know it before it is asked to take that back.
    let starts_next = |update: &Value| update["why"] == "it is installed and starts next";
    shop.await_update("it is installed", starts_next).await?;
    ddi.play(&json!({"cancel": "9"}))?;
    wait::until("the server is answered", PATIENCE, || async {
        Ok(!ddi.heard("cancel")?.is_empty())
    })
    .await?;
    let answer = ddi.heard("cancel")?.remove(0);
    ensure!(answer["id"] == "9" && answer["execution"] == "rejected", "{answer}");
    ddi.play(&json!({}))?;

    // It starts, in the other slot.
    let places = Places::new(&shop.root);
    fs::write(shop.root.join("proc/cmdline"), "quiet rauc.slot=B ro")?;
    let system = "ID=debian\nIMAGE_VERSION=1.5.0\nSTOREBOX_BOARD=x86-64\n";
    slots::publish(&places);
    fs::write(shop.root.join("usr/lib/os-release"), system)?;
    wait::until("it has started", PATIENCE, || said("has not proved itself yet")).await?;
    let early = ddi.heard("feedback")?;
    ensure!(early.iter().all(|line| line["execution"] != "closed"), "{early:?}");
    let file = EnvFile::new(shop.root.join("efi/grub/grubenv"));
    let mut env = file.load()?;
    let mut state = env.state();
    state.confirm(Slot::B);
    env.set_state(&state);
    file.store(&env)?;
    slots::publish(&places);
    wait::until("success", PATIENCE, || said("success")).await
}
