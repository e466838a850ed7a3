//! Masterdata out of a PostgreSQL: changes, late commits and deletions.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox::demo::process::Process;
use storebox_tests::postgres::Postgres;
use storebox_tests::wait;

use crate::office::PATIENCE;

const TABLE: &str = "create schema erp;
    create table erp.products (sku text primary key, title text, price numeric(10, 2), stock int,
        ean text, updated_at timestamptz not null default now());
    insert into erp.products select 'p-' || n, 'Product ' || n, n / 7.0, n, null
        from generate_series(1, 500) n";

fn settings(server: &Postgres, reconcile_s: u64) -> String {
    format!(
        "role = \"main\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[[intake]]\nid = \"erp\"\nurl = {:?}\n\
         every_s = 1\noverlap_s = 0\nreconcile_s = {reconcile_s}\n[[intake.table]]\nmodel = \"Product\"\n\
         from = \"erp.products\"\nkey = \"sku\"\nupdated = \"updated_at\"\n[intake.table.fields]\n\
         name = \"title\"\nprice = \"price\"\nstock = \"stock\"\nbarcode = \"ean\"\n",
        server.url()
    )
}

async fn start(folder: &Path, settings: &str) -> anyhow::Result<Process> {
    let executable = Path::new(env!("CARGO_BIN_EXE_storebox-under-test"));
    let mut main = Process::lay_out(executable, folder, "head-office", settings)?;
    main.start().await?;
    Ok(main)
}

async fn product(main: &Process, id: &str) -> Option<Value> {
    main.control("GET", &format!("/v1/models/Product/records/{id}"), None).await.ok()
}

async fn await_name(main: &Process, id: &str, name: Option<&str>) -> anyhow::Result<()> {
    wait::until(&format!("{id} is {name:?}"), PATIENCE, || async {
        let found = product(main, id).await;
        let found = found.as_ref().map(|found| found["name"].as_str().unwrap_or_default());
        Ok(found == name)
    })
    .await
}

/// All products as the box has them, as lines of id and name.
async fn names(main: &Process) -> anyhow::Result<Vec<String>> {
    let path = "/v1/models/Product/records?limit=1000";
    let answer = main.control("GET", path, None).await?;
    let records = answer["records"].as_array().context("records")?.iter();
    let text = |record: &Value, field: &str| record[field].as_str().unwrap_or_default().to_owned();
    let mut names: Vec<_> =
        records.map(|record| format!("{}|{}", text(record, "id"), text(record, "name"))).collect();
    names.sort_unstable();
    Ok(names)
}

/// A session in which a transaction is held open.
fn session(server: &Postgres) -> anyhow::Result<Child> {
    let folder = server.url();
    Ok(Command::new("psql")
        .args(["-X", "-q", &folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_soon_and_late_commits_and_deletions_with_the_comparison_of_the_whole()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(server) = Postgres::open(folder.path()).await? else { return Ok(()) };
    server.query(TABLE)?;
    let mut main = start(folder.path(), &settings(&server, 86_400)).await?;
    await_name(&main, "p-500", Some("Product 500")).await?;
    let found = product(&main, "p-5").await.context("the fifth")?;
    let wanted = serde_json::json!({"id": "p-5", "name": "Product 5", "price": "0.71", "stock": 5});
    ensure!(found == wanted, "{found}");

    let mut held = session(&server)?;
    let input = held.stdin.as_mut().context("piped above")?;
    let late =
        "begin; update erp.products set title = 'late', updated_at = now() where sku = 'p-1';";
    writeln!(input, "{late}\nselect pg_advisory_lock(7);")?;
    wait::until("the transaction is open", PATIENCE, || async {
        Ok(server.query("select count(*) from pg_locks where locktype = 'advisory'")? == "1")
    })
    .await?;
    let change = |id: &str, title: &str| {
        server.query(&format!(
            "update erp.products set title = '{title}', updated_at = clock_timestamp() where sku = '{id}'"
        ))
    };
    change("p-2", "changed")?;
    await_name(&main, "p-2", Some("changed")).await?;
    writeln!(held.stdin.as_mut().context("piped above")?, "commit;")?;
    drop(held.stdin.take());
    ensure!(held.wait()?.success());
    server.query("delete from erp.products where sku = 'p-3'")?;
    server.query(
        "insert into erp.products values ('short', 'lived', 1, 1, null, clock_timestamp())",
    )?;
    await_name(&main, "short", Some("lived")).await?;
    server.query("delete from erp.products where sku = 'short'")?;
    server.query(
        "insert into erp.products values ('ahead', 'of its time', 1, 1, null, '2099-01-01')",
    )?;
    await_name(&main, "ahead", Some("of its time")).await?;
    change("p-4", "a marker")?;
    await_name(&main, "p-4", Some("a marker")).await?;
    await_name(&main, "p-1", Some("Product 1")).await?;
    await_name(&main, "p-3", Some("Product 3")).await?;

    main.stop();
    let main = start(folder.path(), &settings(&server, 1)).await?;
    await_name(&main, "p-1", Some("late")).await?;
    await_name(&main, "p-3", None).await?;
    await_name(&main, "short", None).await?;
    ensure!(names(&main).await?.len() == 500);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_or_box_that_is_killed_loses_nothing_and_a_bad_row_is_named()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mut server) = Postgres::open(folder.path()).await? else { return Ok(()) };
    server.query(TABLE)?;
    let mut main = start(folder.path(), &settings(&server, 1)).await?;
    for round in 0..3 {
        server.query(&format!(
            "update erp.products set title = 'round {round} ' || sku where stock % 3 = {round};
             delete from erp.products where stock % 50 = {round}"
        ))?;
        main.kill();
        main.start().await?;
        server.kill();
        server.start().await?;
    }
    let wanted = server.query("select sku, title from erp.products order by 1")?;
    let mut wanted: Vec<_> = wanted.lines().map(str::to_owned).collect();
    wanted.sort_unstable();
    wait::until("what is there is published", PATIENCE, || async {
        Ok(names(&main).await.is_ok_and(|names| names == wanted))
    })
    .await?;

    server.query("insert into erp.products values (repeat('x', 200), 'bad', 1, 1, null)")?;
    wait::until("the bad row is named", PATIENCE, || async {
        let status = main.control("GET", "/v1/status", None).await?;
        let line = status["lines"].as_array().and_then(|lines| lines.first().cloned());
        let line = line.unwrap_or_default();
        let detail = line["detail"].as_str().unwrap_or_default().to_owned();
        Ok(line["up"] == false && detail.contains("field id") && detail.contains("128"))
    })
    .await
}
