//! What head office refuses: seen, retried, repaired, given up by a person at the command line.

use std::fs;

use anyhow::ensure;
use serde_json::{Value, json};
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, key, sale};

/// Settles transactions at head office as an earlier life of the shop's box would have.
async fn settled_before(site: &Site, envelopes: &[Value]) -> anyhow::Result<()> {
    let token = fs::read_to_string(site.folder.join("store.token"))?;
    let url = format!("http://{}/sync/v1/transactions", site.stage.main_address);
    let body = json!({"node": "store-367", "envelopes": envelopes});
    let request = site.client.post(url).bearer_auth(token.trim()).json(&body);
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    ensure!(answer["answers"][0]["result"] == "taken", "{answer}");
    Ok(())
}

async fn await_quarantine(site: &Site, count: u64) -> anyhow::Result<()> {
    wait::until("quarantine", PATIENCE, || async {
        let status = site.stage.store.control("GET", "/v1/status", None).await?;
        Ok(status["outbox"]["quarantined"] == count)
    })
    .await
}

fn json_of(said: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(said)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_is_seen_on_both_sides_and_given_up_at_the_command_line()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    settled_before(&site, &[sale(1, "1.00")]).await?;
    let mut payment = sale(2, "2.00");
    payment["lane"] = json!("ticket:1");
    for envelope in [sale(1, "9.99"), payment, sale(3, "3.00")] {
        site.sell(&envelope).await?;
    }
    await_quarantine(&site, 1).await?;
    site.await_settled(1).await?;
    let (one, store, main) = (key(1), &site.stage.store, &site.stage.main);
    let listed = store.ask(&["outbox", "list"])?;
    ensure!(listed.contains(&one) && listed.contains("key_conflict"), "{listed}");
    ensure!(listed.contains(&format!("waits for {one}")), "{listed}");
    let quarantined = json_of(&store.ask(&["outbox", "list", "--quarantined", "--json"])?)?;
    ensure!(quarantined["entries"].as_array().map(Vec::len) == Some(1), "{quarantined}");
    let shown = json_of(&store.ask(&["outbox", "show", &one])?)?;
    ensure!(shown["envelope"]["payload"]["gross"] == "9.99", "{shown}");

    let early = store.ask(&["outbox", "drop", &key(2), "--by", "anna", "--reason", "x"]);
    ensure!(early.is_err_and(|e| e.to_string().contains("state_conflict")), "it is on its way");
    let nobody = store.ask(&["outbox", "drop", &one, "--by", " ", "--reason", "x"]);
    ensure!(nobody.is_err_and(|e| e.to_string().contains("field_invalid")), "who decides it");
    store.ask(&["outbox", "retry", &one])?;
    await_quarantine(&site, 1).await?;
    let why = "sold twice, agreed with head office";
    let dropped = json_of(&store.ask(&["outbox", "drop", &one, "--by", "anna", "--reason", why])?)?;
    ensure!(dropped["state"] == "given-up", "{dropped}");
    site.await_settled(2).await?;

    site.stage.store.kill();
    site.stage.store_address = site.stage.store.start().await?;
    let store = &site.stage.store;
    let kept = json_of(&store.ask(&["outbox", "list", "--given-up", "--json"])?)?;
    ensure!(kept["entries"][0]["key"] == one, "it is still there to be read: {kept}");
    let audit = json_of(&store.ask(&["outbox", "audit"])?)?;
    let acts: Vec<_> = audit.as_array().into_iter().flatten().map(|act| &act["action"]).collect();
    ensure!(acts == ["retry", "drop"] && audit[1]["reason"] == why, "{audit}");
    let status = store.ask(&["status"])?;
    ensure!(status.contains("0 waiting, 2 settled of 3, 0 quarantined, 1 given up"), "{status}");

    let refusals = json_of(&main.ask(&["ledger", "refusals"])?)?;
    let last = refusals["refusals"].as_array().and_then(|list| list.last()).unwrap();
    ensure!(last["problem"]["code"] == "key_conflict" && last["node"] == "store-367", "{refusals}");
    ensure!(last["envelope"]["payload"]["gross"] == "9.99", "{refusals}");
    ensure!(last["settled"]["envelope"]["payload"]["gross"] == "1.00", "{refusals}");
    let ledger = json_of(&main.ask(&["ledger", "list"])?)?;
    ensure!(ledger["entries"].as_array().map(Vec::len) == Some(3), "{ledger}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_payment_is_repaired_at_the_command_line_and_settles_once() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let store = &site.stage.store;
    let mut circle = [sale(1, "1.00"), sale(2, "2.00")];
    circle[0]["dependsOn"] = json!([key(2)]);
    circle[1]["dependsOn"] = json!([key(1)]);
    for envelope in &circle {
        site.sell(envelope).await?;
    }
    let again = site.post("/v1/transactions", &sale(1, "7.00")).send().await?;
    ensure!(again.status() == 409, "{}", again.text().await?);
    await_quarantine(&site, 1).await?;
    let stuck = json_of(&store.ask(&["outbox", "list", "--quarantined", "--json"])?)?;
    let stuck_key = stuck["entries"][0]["key"].as_str().unwrap().to_owned();
    let payload = folder.path().join("payload.json");
    fs::write(&payload, r#"{"id":"order-1","gross":"1.50"}"#)?;
    let repair = |key: &str| {
        let file = payload.to_string_lossy();
        store.ask(&["outbox", "repair", key, &file, "--by", "anna", "--reason", "wrong amount"])
    };
    ensure!(repair(&key(77)).is_err_and(|error| error.to_string().contains("not known")));
    repair(&stuck_key)?;
    await_quarantine(&site, 1).await?;
    store.ask(&["outbox", "drop", &stuck_key, "--by", "anna", "--reason", "a circle"])?;
    await_quarantine(&site, 1).await?;
    let other = json_of(&store.ask(&["outbox", "list", "--quarantined", "--json"])?)?;
    ensure!(other["entries"][0]["problem"]["code"] == "dependency_refused", "{other}");

    let conflicts = json_of(&store.ask(&["outbox", "conflicts"])?)?;
    ensure!(conflicts[0]["envelope"]["payload"]["gross"] == "7.00", "{conflicts}");
    let number = conflicts[0]["number"].to_string();
    let dismiss = ["outbox", "dismiss", &number, "--by", "anna", "--reason", "a double click"];
    ensure!(json_of(&store.ask(&dismiss)?)? == json!([]));
    let audit = json_of(&store.ask(&["outbox", "audit"])?)?;
    let acts: Vec<_> = audit.as_array().into_iter().flatten().map(|act| &act["action"]).collect();
    ensure!(acts == ["repair", "drop", "dismiss"], "{audit}");
    Ok(())
}
