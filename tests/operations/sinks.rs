//! Two places for transactions: one that settles them, and one that is told as well as it goes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::ensure;
use ed25519_dalek::VerifyingKey;
use storebox::demo::line::Line;
use storebox::demo::process::Process;
use storebox::demo::stage::Stage;
use storebox::demo::state::State;
use storebox_tests::company::Company;
use storebox_tests::wait;

use crate::lines::Balancer;
use crate::site::{PATIENCE, Site, executable, sale};

const HTTP: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\n";

/// A server that settles, and what a store needs to reach it.
struct Office {
    process: Process,
    address: SocketAddr,
    line: Line,
    settings: String,
}

impl Office {
    async fn open(folder: &Path, node: &str) -> anyhow::Result<Self> {
        let settings = format!("role = \"main\"\n{HTTP}");
        let mut process = Process::lay_out(executable(), folder, node, &settings)?;
        let address = process.start().await?;
        let token_file = folder.join(format!("{node}.token"));
        fs::write(&token_file, process.ask(&["node", "add", "store-367"])?)?;
        let key = State::of(&process).await?.public_key;
        let line = Line::open(address).await?;
        let settings = format!(
            "url = \"http://{}\"\npublic_key = \"{key}\"\ntoken_file = {:?}\n",
            line.address(),
            token_file.to_string_lossy()
        );
        Ok(Self { process, address, line, settings })
    }

    async fn settled(&self) -> anyhow::Result<u64> {
        Ok(State::of(&self.process).await?.ledger.settled)
    }

    async fn await_settled(&self, count: u64) -> anyhow::Result<()> {
        wait::until("settled", PATIENCE, || async { Ok(self.settled().await? == count) }).await
    }
}

async fn open(folder: &Path, main: Office, archive: &Office) -> anyhow::Result<Site> {
    let settings = format!(
        "role = \"store\"\n{HTTP}[main]\n{}[[sink]]\nid = \"archive\"\n{}",
        main.settings, archive.settings
    );
    let mut store = Process::lay_out(executable(), folder, "store-367", &settings)?;
    let store_address = store.start().await?;
    let store_key = VerifyingKey::from_bytes(&[0; 32])?;
    let Office { process, address: main_address, line, .. } = main;
    Site::of(Stage { main: process, store, line, main_address, store_address, store_key }, folder)
}

/// Waits until the status says this about the line to a sink.
async fn await_said(site: &Site, to: &str, up: bool, detail: &str) -> anyhow::Result<()> {
    wait::until(detail, PATIENCE, || async {
        let status = site.stage.store.control("GET", "/v1/status", None).await?;
        let lines = status["lines"].as_array().cloned().unwrap_or_default();
        Ok(lines.iter().any(|line| {
            line["service"] == "transactions"
                && line["to"] == to
                && line["up"] == up
                && line["detail"] == detail
        }))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sink_gets_everything_in_its_own_time_and_holds_nobody_up() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let main = Office::open(folder.path(), "head-office").await?;
    let archive = Office::open(folder.path(), "archive").await?;
    let url = format!("http://{}", archive.line.address());
    let mut site = open(folder.path(), main, &archive).await?;
    for number in 1..=5 {
        site.sell(&sale(number, "1.00")).await?;
    }
    site.await_settled(5).await?;
    archive.await_settled(5).await?;
    await_said(&site, &url, true, "").await?;

    archive.line.set_up(false);
    for number in 6..=10 {
        site.sell(&sale(number, "1.00")).await?;
    }
    site.await_settled(10).await?;
    ensure!(archive.settled().await? == 5, "its line is cut");
    await_said(&site, &url, false, "tried again, 5 to go").await?;
    site.stage.store.kill();
    site.stage.store_address = site.stage.store.start().await?;
    archive.line.set_up(true);
    archive.await_settled(10).await?;
    await_said(&site, &url, true, "").await?;

    site.stage.line.set_up(false);
    for number in 11..=15 {
        site.sell(&sale(number, "1.00")).await?;
    }
    archive.await_settled(15).await?;
    let state = State::of(&site.stage.store).await?;
    ensure!(state.outbox.waiting == 5, "only the authoritative sink settles: {:?}", state.outbox);
    site.stage.line.set_up(true);
    site.await_settled(15).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_sink_over_tls_is_believed_by_its_authority_only() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = Company::found(&folder.path().join("company"))?;
    let other = Company::found(&folder.path().join("other"))?;
    let archive = Office::open(folder.path(), "archive").await?;
    let nginx = folder.path().join("nginx");
    let balancer = Balancer::open(&nginx, &company, archive.address).await?;
    let Some(balancer) = balancer else { return Ok(()) };
    let main = Office::open(folder.path(), "head-office").await?;
    let plain = format!("http://{}", archive.line.address());
    let over_tls = |authority: &Company| {
        let sink = archive.settings.replace(&plain, &format!("https://{}", balancer.address));
        format!("{sink}ca_file = {:?}\n", authority.authority())
    };
    let wary = Office { settings: over_tls(&other), ..archive };
    let mut site = open(folder.path(), main, &wary).await?;
    site.sell(&sale(1, "1.00")).await?;
    site.await_settled(1).await?;
    wait::until("the log says so", PATIENCE, || async {
        Ok(site.log()?.contains("the server is not believed"))
    })
    .await?;
    ensure!(wary.settled().await? == 0, "nothing went to a server that is not believed");
    let config = folder.path().join("store-367/storebox.toml");
    let (before, after) = (other.authority(), company.authority());
    let text = fs::read_to_string(&config)?;
    let text = text.replace(&format!("{before:?}"), &format!("{after:?}"));
    fs::write(&config, text)?;
    site.stage.store.kill();
    site.stage.store_address = site.stage.store.start().await?;
    wary.await_settled(1).await
}
