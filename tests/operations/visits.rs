//! Visits: head office looks at a box for a while, because somebody at the store lets it.

use std::cell::Cell;

use anyhow::ensure;
use serde_json::{Value, json};
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, log_of, told};

/// What head office's operator gets when it asks the shop's box for something.
async fn look(site: &Site, operator: &str, path: &str) -> anyhow::Result<(u16, Value)> {
    let url = format!("http://{}/v1/boxes/store-367/look", site.stage.main_address);
    let body = json!({"path": path, "by": "olga"});
    told(site.client.post(url).bearer_auth(operator).json(&body)).await
}

async fn await_open(site: &Site, operator: &str) -> anyhow::Result<Value> {
    // What was seen is what counts: another look may come after the visit's end.
    let seen = Cell::new(Value::Null);
    wait::until("the visit is open", PATIENCE, || async {
        let (status, shown) = look(site, operator, "/v1/status").await?;
        seen.set(shown);
        Ok(status == 200)
    })
    .await?;
    Ok(seen.into_inner())
}

async fn findings(site: &Site) -> anyhow::Result<String> {
    let status = site.stage.store.control("GET", "/v1/status", None).await?;
    Ok(status["findings"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn head_office_sees_a_box_only_while_somebody_at_the_store_lets_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    let operator = site.stage.main.ask(&["operator", "add", "olga"])?;
    let (status, refused) = look(&site, &operator, "/v1/status").await?;
    ensure!(status == 409 && refused["code"] == "state_conflict", "closed: {refused}");
    let knocked = site.stage.main.ask(&["visit", "knock", "store-367"])?;
    ensure!(knocked.contains("if its configuration lets it"), "{knocked}");

    site.stage.store.ask(&["visit", "open", "--minutes", "5", "--by", "anna"])?;
    let shown = await_open(&site, &operator).await?;
    let seen: Value = serde_json::from_str(shown["body"].as_str().unwrap_or_default())?;
    ensure!(seen["node"] == "store-367" && seen["visit"]["by"] == "anna", "{seen}");
    ensure!(seen["tasks"].is_array(), "as its own operator sees it");
    ensure!(findings(&site).await?.contains("Head office may look at this box until"));
    let doctor = site.stage.main.ask(&["visit", "look", "store-367", "--by", "olga"])?;
    ensure!(doctor.contains("\"checks\""), "{doctor}");
    let lines = site.stage.main.ask(&["visit", "look", "store-367", "/v1/log/lines"])?;
    ensure!(lines.contains("head office may look at this box"), "{lines}");
    for path in ["/v1/outbox", "/v1/models/User/records", "/v1/status?x=1"] {
        let (status, refused) = look(&site, &operator, path).await?;
        ensure!(status == 422 || status == 400, "{path}: {refused}");
    }

    // Whoever is no operator of head office any more sees nothing.
    site.stage.main.ask(&["operator", "revoke", "olga"])?;
    let (status, refused) = look(&site, &operator, "/v1/status").await?;
    ensure!(status == 401 && refused["code"] == "revoked", "{refused}");

    let operator = site.stage.main.ask(&["operator", "add", "ines"])?;
    site.stage.store.ask(&["visit", "close", "--by", "ben"])?;
    let (status, refused) = look(&site, &operator, "/v1/status").await?;
    ensure!(status != 200 || refused["status"] == 403, "closed: {refused}");
    let audit = site.stage.store.ask(&["visit", "list"])?;
    for words in ["opened    anna", "looked    olga", "/doctor", "closed    ben"] {
        ensure!(audit.contains(words), "{words} is not in\n{audit}");
    }
    ensure!(log_of(&site.stage.store)?.contains("seconds=300"));

    // A box that starts anew is closed.
    site.stage.store.ask(&["visit", "open", "--minutes", "5", "--by", "anna"])?;
    await_open(&site, &operator).await?;
    site.stage.store.kill();
    site.stage.store_address = site.stage.store.start().await?;
    ensure!(!findings(&site).await?.contains("may look"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visit_ends_by_itself_and_head_office_opens_one_only_where_that_is_configured()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "[visits]\non_request = true\n").await?;
    let operator = site.stage.main.ask(&["operator", "add", "olga"])?;
    let knock = json!({"seconds": 20, "by": "olga"});
    let path = "/v1/boxes/store-367/knock";
    site.stage.main.control("POST", path, Some(&knock)).await?;
    let shown = await_open(&site, &operator).await?;
    ensure!(shown["status"] == 200, "{shown}");
    wait::until("the end of the visit", PATIENCE, || async {
        Ok(!findings(&site).await?.contains("may look"))
    })
    .await?;
    wait::until("the audit says so", PATIENCE, || async {
        let audit = site.stage.store.ask(&["visit", "list"])?;
        Ok(audit.contains("opened    olga") && audit.contains("its time was over"))
    })
    .await?;
    wait::until("nothing is seen", PATIENCE, || async {
        Ok(look(&site, &operator, "/v1/status").await?.0 == 409)
    })
    .await
}
