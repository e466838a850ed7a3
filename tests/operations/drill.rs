//! Drills: the line to head office cut on purpose, in a shop that goes on selling.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox_tests::wait;

use crate::pushes;
use crate::site::{PATIENCE, Site, executable, sale, told};
use crate::target::Target;

async fn reports(site: &Site) -> anyhow::Result<Vec<Value>> {
    let answer = site.stage.store.control("GET", "/v1/drill", None).await?;
    Ok(answer.as_array().cloned().unwrap_or_default())
}

async fn status(site: &Site) -> anyhow::Result<Value> {
    Ok(site.stage.store.control("GET", "/v1/status", None).await?)
}

async fn settled_at_main(site: &Site) -> anyhow::Result<u64> {
    let status = site.stage.main.control("GET", "/v1/status", None).await?;
    Ok(status["ledger"]["settled"].as_u64().unwrap_or_default())
}

async fn begin(site: &Site, seconds: u64) -> anyhow::Result<Value> {
    let order = json!({"seconds": seconds, "by": "anna"});
    Ok(site.stage.store.control("POST", "/v1/drill", Some(&order)).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_sells_through_a_drill_and_the_report_says_what_worked() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    site.import(&[("Brand", r#"{"id":"B1","name":"Own"}"#)])?;
    site.await_level().await?;
    site.sell(&sale(1, "1.00")).await?;
    site.await_settled(1).await?;

    begin(&site, 8).await?;
    for number in 2..=4 {
        let receipt = site.sell(&sale(number, "1.00")).await?;
        ensure!(receipt["grade"] == "held", "{receipt}");
    }
    let cut = status(&site).await?;
    ensure!(cut["findings"][0]["code"] == "drill" && cut["drill"]["by"] == "anna", "{cut}");
    let sentence = cut["findings"][0]["text"].as_str().unwrap_or_default();
    ensure!(sentence.contains("3 sales waiting, selling continues"), "{sentence}");
    // Who wants to wait for head office is told that it takes longer; that is no failure of the box.
    let waits = "/v1/transactions?wait=settled&timeout_s=0";
    let (late, problem) = told(site.post(waits, &sale(5, "1.00"))).await?;
    ensure!(late == 504 && problem["code"] == "not_settled_yet", "{problem}");
    let again = begin(&site, 8).await.unwrap_err().to_string();
    ensure!(again.contains("state_conflict"), "{again}");
    site.change(r#"{"model":"Brand","record":{"id":"B2","name":"New"}}"#)?;
    ensure!(settled_at_main(&site).await? == 1, "a drill lets nothing through");

    wait::until("the end of the drill", PATIENCE, || async {
        Ok(reports(&site).await?.first().is_some_and(|report| report["finished"] == true))
    })
    .await?;
    let report = reports(&site).await?.remove(0);
    for (field, wanted) in [
        ("accepted", json!(4)),
        ("waiting", json!(4)),
        ("failed", json!(0)),
        ("end", json!("time")),
        ("by", json!("anna")),
    ] {
        ensure!(report[field] == wanted, "{field} of {report}");
    }
    let drained = report["drainedMs"].as_u64().context("it drained")?;
    ensure!(drained < 5000 && report["longestUs"].is_u64(), "{report}");
    ensure!(settled_at_main(&site).await? == 5);
    site.await_level().await?;
    let well = status(&site).await?;
    ensure!(well["drill"].is_null() && well["findings"][0]["code"] == "normal", "{well}");
    let listed = site.stage.store.ask(&["drill", "list"])?;
    ensure!(listed.contains("drill of anna") && listed.contains("ended by itself"), "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_cuts_pushes_and_storage_that_a_person_names_too() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let target = Target::open().await?;
    pushes::import(&site, &target).await?;
    site.await_level().await?;
    pushes::heard(&target, &pushes::BEGIN).await?;
    begin(&site, 600).await?;
    let ticket = json!({"documentNo": "W/1", "lines": [{"productId": "1", "quantity": 1}]});
    let (sold, made) = told(site.post("/v1/channel/ticket", &ticket)).await?;
    ensure!(sold == 200, "the shop sells: {made}");
    wait::until("the push waits", PATIENCE, || async {
        let push = pushes::figure(&site, "tickets").await?;
        let error = push["error"].as_str().unwrap_or_default();
        Ok(push["waiting"] == 1 && error.contains("a drill cuts the line"))
    })
    .await?;
    let from = json!({"url": "http://127.0.0.1:9/feeds"});
    let refused = site.stage.store.control("POST", "/v1/refresh/from", Some(&from)).await;
    let refused = refused.unwrap_err().to_string();
    ensure!(refused.contains("a drill cuts the line"), "{refused}");
    site.stage.store.ask(&["drill", "end", "--by", "ben"])?;
    wait::until("the push has arrived", PATIENCE, || async {
        Ok(pushes::figure(&site, "tickets").await?["waiting"] == 0)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_a_drill_and_another_one_ends_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let data = site.stage.store.data();
    let run = Command::new(executable())
        .args(["--data-dir", &data.to_string_lossy()])
        .args(["drill", "run", "--minutes", "30", "--by", "anna"])
        .stdout(Stdio::piped())
        .spawn()?;
    wait::until("the drill", PATIENCE, || async { Ok(!reports(&site).await?.is_empty()) }).await?;
    site.sell(&sale(1, "1.00")).await?;
    let ended = site.stage.store.ask(&["drill", "end", "--by", "ben"])?;
    ensure!(ended.contains("ben ended it") && ended.contains("after the line was back"), "{ended}");
    let told = tokio::task::spawn_blocking(|| run.wait_with_output()).await??;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    ensure!(told.contains("is cut until") && told.contains("sales accepted      1"), "{told}");
    let none = site.stage.store.ask(&["drill", "end"]).unwrap_err().to_string();
    ensure!(none.contains("no drill is under way"), "{none}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_loses_its_power_in_a_drill_has_its_line_afterwards() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    begin(&site, 14_400).await?;
    site.sell(&sale(1, "1.00")).await?;
    site.stage.store.kill();
    site.stage.store_address = site.stage.store.start().await?;
    wait::until("settled", PATIENCE, || async { Ok(settled_at_main(&site).await? == 1) }).await?;
    let report = reports(&site).await?.remove(0);
    ensure!(report["end"] == "restart" && report["finished"] == true, "{report}");
    for order in [json!({"seconds": 0}), json!({"seconds": 14_401}), json!({"by": "anna"})] {
        let refused = site.stage.store.control("POST", "/v1/drill", Some(&order)).await;
        ensure!(refused.is_err(), "{order}");
    }
    Ok(())
}
