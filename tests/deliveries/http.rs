//! Signed requests, to a receiver in another language that was made from the specification.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use storebox_tests::company::{Certified, Company};
use storebox_tests::{skip, wait};

use crate::office::{Office, key};

const SECRET: &str = "a shared secret";

struct Receiver {
    database: PathBuf,
    port: u16,
    certified: Option<Certified>,
    child: Option<Child>,
}

impl Receiver {
    fn open(folder: &Path, certified: Option<Certified>) -> anyhow::Result<Option<Self>> {
        if Command::new("python3").args(["-c", "import sqlite3"]).output().is_err() {
            return Ok(skip("python3 is not installed"));
        }
        let database = folder.join("received.sqlite");
        let mut receiver = Self { database, port: 0, certified, child: None };
        receiver.start(SECRET)?;
        Ok(Some(receiver))
    }

    fn start(&mut self, secret: &str) -> anyhow::Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deliveries/receiver.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(&self.database).args([self.port.to_string().as_str(), secret]);
        if let Some(Certified { certificate, key }) = &self.certified {
            command.arg(certificate).arg(key);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("piped above")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        self.port = line.trim().parse().context("the receiver says its port")?;
        self.child = Some(child);
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn query(&self, statement: &str) -> anyhow::Result<String> {
        let program = "import sqlite3,sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]):\n print(row[0])";
        let output = Command::new("python3")
            .args(["-c", program])
            .arg(&self.database)
            .arg(statement)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn check(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        let found = self.query("select key from taken order by key")?;
        let wanted: Vec<_> = numbers.map(key).collect();
        ensure!(found.lines().eq(&wanted), "{} wanted, {found}", wanted.len());
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}

fn delivery(folder: &Path, receiver: &Receiver) -> anyhow::Result<String> {
    let secret = folder.join("erp.secret");
    fs::write(&secret, format!("{SECRET}\n"))?;
    let scheme = if receiver.certified.is_some() { "https" } else { "http" };
    Ok(format!(
        "[[deliver]]\nid = \"erp\"\nto = \"http\"\nurl = \"{scheme}://127.0.0.1:{}/sales\"\nsecret_file = {:?}\n",
        receiver.port,
        secret.to_string_lossy()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_settled_transaction_has_its_effect_once_whoever_is_killed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mut receiver) = Receiver::open(folder.path(), None)? else { return Ok(()) };
    let mut office = Office::open(folder.path(), &delivery(folder.path(), &receiver)?).await?;
    office.settle(1..301).await?;
    office.await_level().await?;
    receiver.check(1..301)?;
    let early = office.remember()?;

    office.settle(301..401).await?;
    receiver.kill();
    office.settle(401..701).await?;
    office.await_failing().await?;
    receiver.start("another secret")?;
    wait::until("refused by its signature", crate::office::PATIENCE, || async {
        let failing = office.delivery().await?["failing"].to_string();
        Ok(failing.contains("not signed by whom we know"))
    })
    .await?;
    receiver.kill();
    receiver.start(SECRET)?;
    office.await_level().await?;
    receiver.check(1..701)?;

    for round in 0..4_u64 {
        let first = 701 + round * 300;
        office.settle(first..first + 300).await?;
        wait::moment(Duration::from_millis(7 * round)).await;
        office.restart().await?;
    }
    office.await_level().await?;
    office.forget(&early).await?;
    office.await_level().await?;
    receiver.check(1..1901)?;
    let heard: u64 = receiver.query("select sum(entries) from heard")?.parse()?;
    ensure!(heard > 1900, "some came twice, {heard} entries were heard");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_that_a_receiver_refuses_stops_no_other() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(receiver) = Receiver::open(folder.path(), None)? else { return Ok(()) };
    let office = Office::open(folder.path(), &delivery(folder.path(), &receiver)?).await?;
    let poison = json!({
        "key": key(500), "kind": "Order", "terminal": "till-1", "epoch": 1, "sequence": 500,
        "lane": "ticket:500", "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
        "payload": {"poison": true}
    });
    office.settle(1..6).await?;
    office.settle_these(&[poison]).await?;
    office.settle(6..11).await?;
    office.await_level().await?;
    receiver.check(1..11)?;
    ensure!(office.delivery().await?["aside"] == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_receiver_is_believed_by_its_authority_only() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = Company::found(&folder.path().join("company"))?;
    let other = Company::found(&folder.path().join("other"))?;
    let receiver = Receiver::open(folder.path(), Some(company.certify()?))?;
    let Some(receiver) = receiver else { return Ok(()) };
    let believing = |authority: PathBuf| -> anyhow::Result<String> {
        Ok(format!("{}ca_file = {authority:?}\n", delivery(folder.path(), &receiver)?))
    };
    let office = Office::open(&folder.path().join("a"), &believing(other.authority())?).await?;
    office.settle(1..5).await?;
    office.await_failing().await?;
    receiver.check(1..1)?;
    let office = Office::open(&folder.path().join("b"), &believing(company.authority())?).await?;
    office.settle(1..30).await?;
    office.await_level().await?;
    receiver.check(1..30)
}
