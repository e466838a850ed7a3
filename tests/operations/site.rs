//! A head office, a shop and a till, as real processes with little data.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox::demo::stage::Stage;
use storebox::demo::state::State;
use storebox_tests::wait;

/// No condition of a test takes longer, unless it is never met.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    pub(crate) stage: Stage,
    pub(crate) folder: PathBuf,
    pub(crate) client: Client,
    pub(crate) token: String,
    imports: AtomicUsize,
}

/// The program under test.
pub(crate) fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_storebox-under-test"))
}

/// The number as a key that a till could have minted.
pub(crate) fn key(number: u64) -> String {
    format!("0192d3a4-5b6c-7000-8000-{number:012x}")
}

/// A sale of `till-1`; its content follows from its number and its amount.
pub(crate) fn sale(number: u64, gross: &str) -> Value {
    json!({
        "key": key(number), "kind": "Order", "terminal": "till-1", "epoch": 1,
        "sequence": number, "lane": format!("ticket:{number}"),
        "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
        "payload": {"id": format!("order-{number}"), "gross": gross}
    })
}

impl Site {
    /// Starts both boxes, `settings` at the end of both configurations, and adds a till.
    pub(crate) async fn open(folder: &Path, settings: &str) -> anyhow::Result<Self> {
        Self::of(Stage::set(executable(), folder, settings).await?, folder)
    }

    /// Adds a till to a stage.
    pub(crate) fn of(stage: Stage, folder: &Path) -> anyhow::Result<Self> {
        let token = stage.add_till(&"till-1".parse()?)?;
        let client = Client::builder().timeout(PATIENCE).build()?;
        Ok(Self { stage, folder: folder.to_owned(), client, token, imports: AtomicUsize::new(0) })
    }

    /// Imports whole models at head office, each as its lines.
    pub(crate) fn import(&self, models: &[(&str, &str)]) -> anyhow::Result<()> {
        let dir = self.new_folder()?;
        for (model, lines) in models {
            fs::write(dir.join(format!("{model}.ndjson")), lines)?;
        }
        self.stage.main.ask(&["import", &dir.to_string_lossy()])?;
        Ok(())
    }

    /// Imports changes at head office.
    pub(crate) fn change(&self, lines: &str) -> anyhow::Result<()> {
        let dir = self.new_folder()?;
        fs::write(dir.join("changes.ndjson"), lines)?;
        self.stage.main.ask(&["import", "--changes", &dir.to_string_lossy()])?;
        Ok(())
    }

    fn new_folder(&self) -> anyhow::Result<PathBuf> {
        let number = self.imports.fetch_add(1, Ordering::Relaxed);
        let dir = self.folder.join(format!("import-{number}"));
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// A request of the till.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        at(&self.client, self.stage.store_address, path).bearer_auth(&self.token)
    }

    /// Posts as the till.
    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("http://{}{path}", self.stage.store_address);
        self.client.post(url).bearer_auth(&self.token).json(body)
    }

    /// Hands a transaction over and returns the receipt.
    pub(crate) async fn sell(&self, envelope: &Value) -> anyhow::Result<Value> {
        let (status, answer) = told(self.post("/v1/transactions", envelope)).await?;
        anyhow::ensure!(status == 200, "{status} {answer}");
        Ok(answer)
    }

    /// Waits until the outbox has settled all that is not in a person's hands.
    pub(crate) async fn await_settled(&self, settled: u64) -> anyhow::Result<()> {
        wait::until("settled", PATIENCE, || async {
            Ok(State::of(&self.stage.store).await?.outbox.settled == settled)
        })
        .await
    }

    /// Waits until the shop's replica stands where head office stands.
    pub(crate) async fn await_level(&self) -> anyhow::Result<()> {
        wait::until("replica = author", PATIENCE, || async {
            let author = State::of(&self.stage.main).await?;
            Ok(State::of(&self.stage.store).await?.is_level_with(&author))
        })
        .await
    }

    /// What the shop's box has logged.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        log_of(&self.stage.store)
    }
}

/// What a box has logged.
pub(crate) fn log_of(process: &Process) -> anyhow::Result<String> {
    let data = process.data();
    let log = data.parent().context("a data directory has a parent")?.join("log");
    Ok(String::from_utf8_lossy(&fs::read(log)?).into_owned())
}

/// A request without a token.
pub(crate) fn at(client: &Client, address: SocketAddr, path: &str) -> RequestBuilder {
    client.get(format!("http://{address}{path}"))
}

/// Status and JSON of an answer.
pub(crate) async fn told(request: RequestBuilder) -> anyhow::Result<(u16, Value)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
