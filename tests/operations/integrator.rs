//! A chain's own back office as the main server, by the contract in `appliance/docs/integrators.md`.
//!
//! The other side is a program in another language that shares no code with the box.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_tests::{skip, wait};

use crate::site::{PATIENCE, at, executable, key, sale, told};

const TOKEN: &str = "a-token-that-the-back-office-gave-out";

struct BackOffice {
    child: Child,
    ask: ChildStdin,
    heard: BufReader<ChildStdout>,
    address: String,
    public_key: String,
}

impl BackOffice {
    fn start(python: &Path, ledger: &Path) -> anyhow::Result<Self> {
        let script = repository().join("appliance/docs/main_server.py");
        let mut child = Command::new(python)
            .args([&script, ledger])
            .arg(TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = child.stdin.take().context("standard input is piped")?;
        let mut heard = BufReader::new(child.stdout.take().context("standard output is piped")?);
        let mut line = String::new();
        heard.read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)?;
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let (address, public_key) = (text("address"), text("publicKey"));
        Ok(Self { child, ask, heard, address, public_key })
    }

    /// Publishes a change set and returns the revisions that it became.
    fn publish(&mut self, changes: &Value) -> anyhow::Result<Value> {
        writeln!(self.ask, "{changes}")?;
        let mut line = String::new();
        self.heard.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for BackOffice {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Python that `tests/operations/setup` made.
fn python() -> Option<PathBuf> {
    let python = repository().join("target/back-office/python/bin/python");
    if python.exists() { Some(python) } else { skip("tests/operations/setup has not run") }
}

async fn record(box_: &Process, id: &str) -> anyhow::Result<Value> {
    box_.control("GET", &format!("/v1/models/Product/records/{id}"), None).await.map_err(Into::into)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_office_in_another_language_feeds_a_box_and_settles_its_sales() -> anyhow::Result<()>
{
    let Some(python) = python() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger");
    let mut office = BackOffice::start(&python, &ledger)?;
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, TOKEN)?;
    let settings = format!(
        "role = \"store\"\n[main]\nurl = \"{}\"\npublic_key = \"{}\"\ntoken_file = {:?}\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n",
        office.address, office.public_key, token_file
    );
    let mut store = Process::lay_out(executable(), folder.path(), "store-1", &settings)?;
    let address = store.start().await?;

    // Enough products for several segments, so that both sides must cut a model at the same records.
    let product = |number: usize| json!({"name": format!("Product {number}"), "barcode": format!("40{number:05}")});
    let many: serde_json::Map<_, _> = (0..9000).map(|n| (n.to_string(), product(n))).collect();
    ensure!(office.publish(&json!({"Product": many}))? == json!({"catalogue": 2}));
    let records = async |records: u64| {
        wait::until("records of the back office", PATIENCE, || async {
            Ok(State::of(&store).await?.records() == records)
        })
        .await
    };
    records(9000).await?;
    let changes =
        json!({"Product": {"5": null, "6": {"name": "Changed"}}, "Brand": {"1": {"name": "Own"}}});
    ensure!(office.publish(&changes)? == json!({"catalogue": 3}));
    records(9000).await?;
    wait::until("the change", PATIENCE, || async {
        Ok(record(&store, "6").await.is_ok_and(|record| record["name"] == "Changed"))
    })
    .await?;
    ensure!(record(&store, "5").await.is_err(), "a removed product is still there");

    let token = store.ask(&["terminal", "add", "till-1"])?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let url = format!("http://{address}/v1/transactions?wait=settled&timeout_s=30");
    for number in 1..=3 {
        let sale = sale(number, "12.30");
        let (status, receipt) = told(client.post(&url).bearer_auth(&token).json(&sale)).await?;
        ensure!(status == 200 && receipt["grade"] == "settled", "{status} {receipt}");
        ensure!(receipt["node"] == "back-office", "{receipt}");
    }
    let settled = std::fs::read_to_string(&ledger)?;
    let keys: Vec<_> = settled
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line).ok()?["key"].as_str().map(str::to_owned)
        })
        .collect();
    ensure!(keys == [key(1), key(2), key(3)], "{settled}");
    let (status, _) = told(at(&client, address, "/healthz")).await?;
    ensure!(status == 200);
    Ok(())
}

/// The block of code in the guide that begins like this, with something true in place of what it leaves open.
fn example(begins: &str, filled: &[(&str, &str)]) -> String {
    let guide = repository().join("appliance/docs/integrators.md");
    let guide = std::fs::read_to_string(guide).expect("the guide is there");
    let at = guide.find(begins).unwrap_or_else(|| panic!("no example begins with {begins}"));
    let lines = guide[at..].lines();
    let block: String = lines.take_while(|line| !line.trim().is_empty()).collect();
    filled.iter().fold(block, |text, (open, value)| text.replace(open, value))
}

#[test]
fn the_examples_of_the_guide_are_what_boxes_read() {
    use storebox_proto::feed::Head;
    use storebox_proto::ids::Hash32;
    use storebox_proto::ticket::settle::KeyedAnswer;
    use storebox_proto::ticket::{Answer, SettleRequest};
    let hash = format!("\"{}\"", Hash32::of(b"guide"));
    let head = example(
        "{\"version\":1,\"feed\"",
        &[
            ("{\"revision\":42,…}", "{\"revision\":42,\"pages\":[]}"),
            ("bytes\":…", "bytes\":7"),
            ("…", &hash),
        ],
    );
    let head: Head = serde_json::from_str(&head).unwrap();
    assert_eq!((head.revision, head.runs.len(), head.models[0].count), (42, 2, 9000));
    let uuid = format!("\"{}\"", key(1));
    let time = "\"2026-11-22T10:02:00Z\"";
    let known = [
        ("[…]", "[]"),
        ("{…}", "{}"),
        ("\"occurredAt\":…", &format!("\"occurredAt\":{time}")),
        ("…", &uuid),
    ];
    let batch: SettleRequest =
        serde_json::from_str(&example("{\"node\":\"store-367\",\"envelopes\"", &known)).unwrap();
    assert_eq!(batch.envelopes[0].check().err().map(|error| error.to_string()), None);
    let problem =
        r#"{"type":"about:blank","status":503,"code":"busy","detail":"later","retryable":true}"#;
    for result in ["later", "refused"] {
        let begins = format!("{{\"key\":…,\"result\":\"{result}\"");
        let line = example(&begins, &[("{…}", problem), ("…", &uuid)]);
        let line = line.split('`').next().unwrap();
        let answer: KeyedAnswer = serde_json::from_str(line).unwrap();
        assert!(!matches!(answer.answer, Answer::Taken { .. }), "{line}");
    }
}
