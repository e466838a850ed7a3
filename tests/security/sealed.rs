//! A shop and head office that talk sealed only, with somebody on the line who reads and changes everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::box_of::executable;

const PATIENCE: Duration = Duration::from_secs(60);
const LISTEN: &str = "[http]\nlisten = [\"127.0.0.1:0\"]\n";

/// Everything that went over the line, both ways.
#[derive(Clone, Default)]
struct Tap(Arc<Mutex<Vec<u8>>>);

/// A line that is overheard for as long as this is held.
struct Line {
    address: std::net::SocketAddr,
    _carrying: tokio::task::JoinSet<()>,
}

impl Tap {
    /// A line to this address on which every byte is overheard.
    async fn open(&self, to: std::net::SocketAddr) -> anyhow::Result<Line> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let tap = self.clone();
        let lines = async move {
            let mut lines = tokio::task::JoinSet::new();
            while let Ok((here, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect(to).await else { continue };
                let (from_here, to_here) = here.into_split();
                let (from_there, to_there) = there.into_split();
                lines.spawn(tap.clone().carry(from_here, to_there));
                lines.spawn(tap.clone().carry(from_there, to_here));
            }
        };
        let mut carrying = tokio::task::JoinSet::new();
        carrying.spawn(lines);
        Ok(Line { address, _carrying: carrying })
    }

    async fn carry(self, mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            self.0.lock().expect("no thread panics with it").extend_from_slice(&buffer[..read]);
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }

    fn heard(&self, what: &str) -> bool {
        let heard = self.0.lock().expect("no thread panics with it");
        heard.windows(what.len()).any(|window| window == what.as_bytes())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_replicates_and_settles_sealed_and_the_line_learns_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let main = format!("role = \"main\"\n{LISTEN}[seal]\nrequired = [\"boxes\"]\n");
    let mut main = Process::lay_out(executable(), folder, "head-office", &main)?;
    let address = main.start().await?;
    let token = main.ask(&["node", "add", "store-7"])?;
    std::fs::write(folder.join("store.token"), &token)?;
    main.ask(&["seal", "new", "--site", "store-7", "--scope", "boxes"])?;
    let ring = main.ask(&["seal", "show", "--site", "store-7", "--scope", "boxes"])?;
    std::fs::write(folder.join("ring.json"), &ring)?;
    let dir = folder.join("import");
    std::fs::create_dir(&dir)?;
    std::fs::write(
        dir.join("Product.ndjson"),
        r#"{"id":"1","name":"Marmalade","barcode":"4001"}"#,
    )?;
    main.ask(&["import", &dir.to_string_lossy()])?;

    let tap = Tap::default();
    let line = tap.open(address).await?;
    let settings = format!(
        "role = \"store\"\n{LISTEN}[main]\nurl = \"http://{}\"\nsealed = true\npublic_key = \"{}\"\ntoken_file = \"{}\"\n",
        line.address,
        State::of(&main).await?.public_key,
        folder.join("store.token").display()
    );
    let mut store = Process::lay_out(executable(), folder, "store-7", &settings)?;
    let at = store.start().await?;
    store.ask(&["seal", "add", &folder.join("ring.json").to_string_lossy()])?;
    wait::until("replica = author", PATIENCE, || async {
        Ok(State::of(&store).await?.is_level_with(&State::of(&main).await?))
    })
    .await?;

    let till = store.ask(&["terminal", "add", "till-1"])?;
    let sale = json!({
        "key": "0192d3a4-5b6c-7000-8000-000000000001", "kind": "Order", "terminal": "till-1",
        "epoch": 1, "sequence": 1, "lane": "ticket:1", "occurredAt": "2026-11-22T10:02:00Z",
        "clock": "plausible", "payload": {"id": "order-1", "gross": "Gooseberry"}
    });
    let client = reqwest::Client::new();
    let sold = client.post(format!("http://{at}/v1/transactions")).bearer_auth(till.trim());
    let sold = sold.json(&sale).send().await?;
    ensure!(sold.status() == 200, "{}", sold.text().await?);
    wait::until("settled", PATIENCE, || async { Ok(State::of(&store).await?.outbox.settled == 1) })
        .await?;
    ensure!(tap.heard("/x/"), "the line was overheard");
    for plain in ["Marmalade", "Gooseberry", "/sync/v1", "catalogue", "store-7", token.trim()] {
        ensure!(!tap.heard(plain), "the line carried {plain:?}");
    }
    let open = client.get(format!("http://{address}/sync/v1/feeds")).bearer_auth(token.trim());
    let refused: serde_json::Value = open.send().await?.json().await?;
    ensure!(refused["code"] == "seal_required", "{refused}");
    Ok(())
}
