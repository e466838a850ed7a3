//! PostgreSQL: rows by key, tables by kind.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use storebox_tests::company::Company;
use storebox_tests::postgres::Postgres;
use storebox_tests::wait;

use crate::office::{Office, key, kind};

fn delivery(server: &Postgres) -> String {
    format!("[[deliver]]\nid = \"erp\"\nto = \"postgres\"\nurl = {:?}\n", server.url())
}

fn check(server: &Postgres, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let found =
        server.query("select key, kind from storebox.transactions order by position, key")?;
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    let wanted = numbers.map(|number| format!("{}|{}", key(number), kind(number)));
    let mut wanted: Vec<_> = wanted.collect();
    wanted.sort_unstable();
    ensure!(found == wanted, "{} rows, {} wanted", found.len(), wanted.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_settled_transaction_is_one_row_whoever_is_killed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mut server) = Postgres::open(folder.path()).await? else { return Ok(()) };
    let mut office = Office::open(folder.path(), &delivery(&server)).await?;
    office.settle(1..301).await?;
    office.await_level().await?;
    check(&server, 1..301)?;
    let cash_ups = server.query("select count(*) from storebox.\"CashUp\"")?;
    ensure!(cash_ups == "33", "each kind is a table: {cash_ups}");
    let early = office.remember()?;

    office.settle(301..401).await?;
    server.kill();
    office.settle(401..901).await?;
    office.await_failing().await?;
    server.start().await?;
    office.await_level().await?;
    check(&server, 1..901)?;

    for round in 0..4_u64 {
        let first = 901 + round * 500;
        office.settle(first..first + 500).await?;
        wait::moment(Duration::from_millis(7 * round)).await;
        office.restart().await?;
    }
    office.await_level().await?;
    check(&server, 1..2901)?;

    office.forget(&early).await?;
    office.await_level().await?;
    check(&server, 1..2901)?;
    let row = "select terminal, epoch, sequence, session, clock, occurred_at at time zone 'utc',
        payload->>'name', position, node from storebox.transactions where sequence = 7";
    let row = server.query(row)?;
    let wanted = "till-1|1|7|s-7|plausible|2026-11-22 10:02:00|Café ☕ \"1\"|7|store-1";
    ensure!(row == wanted, "{row}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_cannot_hold_is_set_aside_and_named_and_the_rest_goes_on()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(server) = Postgres::open(folder.path()).await? else { return Ok(()) };
    let office = Office::open(folder.path(), &delivery(&server)).await?;
    let odd = json!({
        "key": key(77), "kind": "Order", "terminal": "till-1", "epoch": 1, "sequence": 77,
        "lane": "ticket:77", "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
        "payload": {"name": "a zero \u{0} within"}
    });
    office.settle(1..10).await?;
    office.settle_these(&[odd]).await?;
    office.settle(10..20).await?;
    office.await_level().await?;
    check(&server, 1..20)?;
    let state = office.delivery().await?;
    ensure!(state["aside"] == 1 && state["position"] == 20, "{state}");
    let aside = std::fs::read_to_string(office.main.data().join("deliver/erp.aside.ndjson"))?;
    ensure!(aside.contains(&key(77)) && aside.contains("position"), "{aside}");
    let listed: Value = serde_json::from_str(&office.main.ask(&["ledger", "aside", "erp"])?)?;
    let first = &listed["aside"][0];
    ensure!(
        first["key"] == key(77) && first["number"] == 1 && first["why"].is_string(),
        "{listed}"
    );
    let other = office.main.ask(&["ledger", "aside", "pre"]).unwrap_err().to_string();
    ensure!(other.contains("must be one of erp"), "{other}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_database_is_believed_by_its_authority_only() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = Company::found(&folder.path().join("company"))?;
    let other = Company::found(&folder.path().join("other"))?;
    let server = Postgres::open_secure(folder.path(), &company.certify()?).await?;
    let Some(server) = server else { return Ok(()) };
    let delivery = |authority: PathBuf| {
        let url = server.secure_url();
        format!(
            "[[deliver]]\nid = \"erp\"\nto = \"postgres\"\nurl = {url:?}\nca_file = {authority:?}\n"
        )
    };
    let office = Office::open(&folder.path().join("a"), &delivery(other.authority())).await?;
    office.settle(1..5).await?;
    office.await_failing().await?;
    let failing = office.delivery().await?["failing"].to_string();
    ensure!(failing.contains("certificate"), "{failing}");
    let office = Office::open(&folder.path().join("b"), &delivery(company.authority())).await?;
    office.settle(1..30).await?;
    office.await_level().await?;
    check(&server, 1..30)?;
    let lines = "select ssl, version from pg_stat_ssl join pg_stat_activity using (pid)
        where application_name = 'storebox'";
    let lines = server.query(lines)?;
    ensure!(lines == "t|TLSv1.3", "{lines}");
    Ok(())
}
