//! A main server that delivers, and a store's box that settles there.

use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use reqwest::Client;
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox_tests::wait;

/// No condition of a test takes longer, unless it is never met.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Office {
    pub(crate) main: Process,
    address: SocketAddr,
    token: String,
    client: Client,
}

/// The key of a transaction.
pub(crate) fn key(number: u64) -> String {
    format!("0192d3a4-5b6c-7000-8000-{number:012x}")
}

/// Every ninth is a cash-up.
pub(crate) fn kind(number: u64) -> &'static str {
    if number.is_multiple_of(9) { "CashUp" } else { "Order" }
}

fn envelope(number: u64) -> Value {
    json!({
        "key": key(number), "kind": kind(number), "terminal": "till-1", "epoch": 1,
        "sequence": number, "lane": format!("ticket:{number}"), "session": format!("s-{number}"),
        "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
        "payload": {"id": format!("order-{number}"), "name": "Café ☕ \"1\"", "gross": "12.30"}
    })
}

impl Office {
    /// Starts a main server with these deliveries.
    pub(crate) async fn open(folder: &Path, deliveries: &str) -> anyhow::Result<Self> {
        let executable = Path::new(env!("CARGO_BIN_EXE_storebox-under-test"));
        let settings = format!("role = \"main\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n{deliveries}");
        let mut main = Process::lay_out(executable, folder, "head-office", &settings)?;
        let address = main.start().await?;
        let token = main.ask(&["node", "add", "store-1"])?;
        let client = Client::builder().timeout(PATIENCE).build()?;
        Ok(Self { main, address, token, client })
    }

    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.main.kill();
        self.address = self.main.start().await?;
        Ok(())
    }

    /// Settles these transactions, a few dozen at once.
    pub(crate) async fn settle(&self, numbers: Range<u64>) -> anyhow::Result<()> {
        self.settle_these(&numbers.map(envelope).collect::<Vec<_>>()).await
    }

    pub(crate) async fn settle_these(&self, envelopes: &[Value]) -> anyhow::Result<()> {
        for envelopes in envelopes.chunks(50) {
            let url = format!("http://{}/sync/v1/transactions", self.address);
            let body = json!({"node": "store-1", "envelopes": envelopes});
            let request = self.client.post(url).bearer_auth(&self.token).json(&body);
            let answer: Value = request.send().await?.error_for_status()?.json().await?;
            let text = answer.to_string();
            ensure!(text.matches("\"settled\"").count() == envelopes.len(), "{text}");
        }
        Ok(())
    }

    /// What the status says of the one delivery.
    pub(crate) async fn delivery(&self) -> anyhow::Result<Value> {
        Ok(self.main.control("GET", "/v1/status", None).await?["deliveries"][0].clone())
    }

    /// Waits until all that is settled has been dealt with.
    pub(crate) async fn await_level(&self) -> anyhow::Result<()> {
        wait::until("delivered", PATIENCE, || async {
            let delivery = self.delivery().await?;
            Ok(delivery["behind"] == 0 && delivery["failing"].is_null())
        })
        .await
    }

    /// Waits until the delivery is known to fail.
    pub(crate) async fn await_failing(&self) -> anyhow::Result<()> {
        wait::until("failing", PATIENCE, || async {
            Ok(self.delivery().await?["failing"].is_string())
        })
        .await
    }

    fn cursor(&self) -> PathBuf {
        self.main.data().join("deliver/erp.cursor.json")
    }

    /// What the box would know of its deliveries if it lost power now.
    pub(crate) fn remember(&self) -> anyhow::Result<Vec<u8>> {
        Ok(fs::read(self.cursor())?)
    }

    /// Kills the box and lets it begin from an earlier cursor, as if it had never heard the answers since.
    pub(crate) async fn forget(&mut self, cursor: &[u8]) -> anyhow::Result<()> {
        self.main.kill();
        fs::write(self.cursor(), cursor)?;
        self.address = self.main.start().await?;
        Ok(())
    }
}
