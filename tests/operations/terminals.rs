//! A till through its day: login, announced refresh, a closed ticket, and what it sees of other tills.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox::demo::state::State;
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, told};

const SCHEDULED: &str =
    "[masterdata]\nmode = \"scheduled\"\n[terminal]\nincremental_minutes = 600\n";

/// Reads an event stream until an event of this name, and returns its data.
async fn event(stream: &mut reqwest::Response, name: &str) -> anyhow::Result<Value> {
    let mut text = String::new();
    loop {
        let part = tokio::time::timeout(PATIENCE, stream.chunk()).await??;
        let part = part.context("the stream ended")?;
        text.push_str(&String::from_utf8_lossy(&part));
        for block in text.split("\n\n") {
            let mut lines = block.lines();
            let is_it = lines.any(|line| line == format!("event: {name}"));
            let data = block.lines().find_map(|line| line.strip_prefix("data: "));
            if let (true, Some(data)) = (is_it, data)
                && let Ok(data) = serde_json::from_str(data)
            {
                return Ok(data);
            }
        }
    }
}

async fn idle(site: &Site, happening: &str) -> anyhow::Result<Value> {
    let (status, answer) =
        told(site.post("/v1/terminal/idle", &json!({"event": happening}))).await?;
    ensure!(status == 200, "{answer}");
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_refresh_waits_for_the_ticket_and_then_the_box_fetches() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), SCHEDULED).await?;
    site.import(&[("Product", r#"{"id":"1","name":"Apple","barcode":"4001"}"#)])?;
    let (status, welcome) = told(site.post("/v1/terminal/login", &json!({}))).await?;
    ensure!(status == 200, "{welcome}");
    ensure!(welcome["plan"] == json!({"refresh": "full", "mustSucceed": true}), "{welcome}");
    let banner = "Master data refresh will happen after this ticket is closed";
    ensure!(welcome["banner"] == banner && welcome["popupWindowS"] == 300, "{welcome}");
    site.await_level().await?;

    let mut changes = site.get("/v1/changes").timeout(Duration::from_secs(300)).send().await?;
    ensure!(changes.status() == 200);
    site.change(r#"{"model":"Product","record":{"id":"1","name":"Pear","barcode":"4001"}}"#)?;
    let answer = idle(&site, "timer").await?;
    ensure!(answer["orders"] == json!(["showBanner"]) && answer["pending"] == true, "{answer}");
    let (_, product) = told(site.get("/v1/models/Product/records/1")).await?;
    ensure!(product["name"] == "Apple", "nobody has asked for it yet: {product}");
    let level =
        State::of(&site.stage.store).await?.is_level_with(&State::of(&site.stage.main).await?);
    ensure!(!level, "a scheduled box does not follow");

    let answer = idle(&site, "ticketClosed").await?;
    ensure!(answer["orders"] == json!(["hide", "run"]), "{answer}");
    let change = event(&mut changes, "changes").await?;
    ensure!(change["models"]["Product"]["changed"] == json!(["1"]), "{change}");
    let (_, product) = told(site.get("/v1/models/Product/records/1")).await?;
    ensure!(product["name"] == "Pear", "{product}");
    let report = json!({"extent": "incremental", "succeeded": true,
                        "models": [{"model": "Product", "records": 1}]});
    let (_, noted) = told(site.post("/v1/terminal/refreshed", &report)).await?;
    ensure!(noted["then"] == "work", "{noted}");
    let answer = idle(&site, "timer").await?;
    ensure!(answer["orders"] == json!([]) && answer["pending"] == false, "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_till_created_is_seen_by_the_others_until_the_central_record_comes()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    site.import(&[("BusinessPartner", r#"{"id":"C0","name":"Zoe"}"#)])?;
    site.await_level().await?;
    site.stage.line.set_up(false);
    let customer = json!({
        "key": crate::site::key(1), "kind": "ChangedBusinessPartners", "terminal": "till-1",
        "epoch": 1, "sequence": 1, "lane": "customer:C1", "clock": "plausible",
        "occurredAt": "2026-11-22T10:02:00Z", "payload": {"id": "C1", "name": "Anna"}
    });
    site.sell(&customer).await?;
    let other = site.stage.add_till(&"till-2".parse()?)?;
    let path = "/v1/documents/ChangedBusinessPartners/C1";
    let url = format!("http://{}{path}", site.stage.store_address);
    let document = || told(site.client.get(&url).bearer_auth(&other));
    let (status, seen) = document().await?;
    ensure!(status == 200 && seen["payload"]["name"] == "Anna", "{seen}");
    ensure!(seen["grade"] == "held", "the line is cut: {seen}");
    site.stage.line.set_up(true);
    site.await_settled(1).await?;
    let (status, seen) = document().await?;
    ensure!(status == 200 && seen["grade"] == "settled", "{seen}");

    let central = r#"{"model":"BusinessPartner","record":{"id":"C1","name":"Anna Central"}}"#;
    site.change(central)?;
    wait::until("the local document has given way", PATIENCE, || async {
        Ok(document().await?.0 == 404)
    })
    .await?;
    let (_, record) = told(site.get("/v1/models/BusinessPartner/records/C1")).await?;
    ensure!(record["name"] == "Anna Central", "{record}");
    Ok(())
}
