//! A chain's own hawkBit server: its device API, spoken to a server that was made from its public description.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox_image::steward::history::Event;
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

    /// What the device said and asked for.
    fn heard(&self, what: &str) -> anyhow::Result<Vec<Value>> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
        Ok(lines?.into_iter().filter(|line| line["what"] == what).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_hawkbit_is_fetched_with_ranges_and_answered_to_its_end()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = noise(2_000_000, 7);
    let Some(ddi) = Ddi::start(folder.path(), &bundle, 700_000)? else { return Ok(()) };
    let office = Office::open(folder.path()).await?;
    let token_file = folder.path().join("hawkbit.token");
    fs::write(&token_file, TOKEN)?;
    let settings = format!(
        "[update]\nwindow = \"\"\nhawkbit_url = \"http://127.0.0.1:{}\"\nhawkbit_token_file = {token_file:?}\n",
        ddi.port
    );
    let shop = office.shop("store-1", &settings).await?;
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
    wait::until("the server is told", PATIENCE, || async {
        Ok(ddi.heard("feedback")?.iter().any(|line| line["execution"] == "closed"))
    })
    .await?;
    let last = ddi.heard("feedback")?.pop().context("a word")?;
    ensure!(last["result"]["finished"] == "failure", "{last}");
    ensure!(last["details"][0] == "the service did not start", "{last}");
    ensure!(!shop.bundle("1.5.0").exists(), "it is not tried again");
    Ok(())
}
