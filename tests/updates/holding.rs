//! What holds an update up: the shop that is open, and transactions that head office does not have.

use std::fs;

use anyhow::ensure;
use serde_json::json;
use storebox_image::steward::history::Event;
use storebox_tests::wait;

use crate::shop::{Office, PATIENCE, noise};

/// A window that is closed now, whatever the time is.
fn closed_now() -> String {
    let minute = |ahead: i64| {
        let now = storebox::env::timestamp().unix_ms() / 60_000 + ahead;
        format!("{:02}:{:02}", now / 60 % 24, now % 60)
    };
    format!("{}-{}", minute(120), minute(180))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_while_sales_have_not_reached_head_office() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let office = Office::open(folder.path()).await?;
    let pilot = office.shop("store-1", "").await?;
    let token = pilot.store.ask(&["terminal", "add", "till-1"])?;
    office.add(&noise(400_000, 4), "1.5.0", "pilot")?;
    pilot.await_state("handed-over").await?;

    // A note that cannot be written, as on a full disk.
    let hold = pilot.updates.join("hold");
    fs::create_dir(&hold)?;
    pilot.line.cut_after(0);
    let sale = json!({
        "key": "0192d3a4-5b6c-7000-8000-000000000001", "kind": "Order", "terminal": "till-1",
        "epoch": 1, "sequence": 1, "lane": "ticket:1", "occurredAt": "2026-11-22T10:02:00Z",
        "clock": "plausible", "payload": {"id": "order-1", "gross": "1.00"}
    });
    let url = format!("http://{}/v1/transactions", pilot.address);
    let sold = reqwest::Client::new().post(url).bearer_auth(token).json(&sale).send().await?;
    ensure!(sold.status().is_success(), "{}", sold.text().await?);
    wait::until("it is taken back", PATIENCE, || async { Ok(!pilot.bundle("1.5.0").exists()) })
        .await?;
    fs::remove_dir(&hold)?;
    let why = "1 transactions have to reach head office first";
    let held = pilot.await_update(why, |update| update["why"] == why).await?;
    ensure!(held["state"] == "held", "{held}");
    let note = fs::read_to_string(&hold)?;
    ensure!(note.contains("1 transactions"), "the steward is told: {note}");

    pilot.line.mend();
    pilot.await_state("handed-over").await?;
    ensure!(pilot.bundle("1.5.0").exists() && !pilot.updates.join("hold").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_until_the_shop_is_closed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let office = Office::open(folder.path()).await?;
    let settings = format!("[update]\nwindow = \"{}\"\n", closed_now());
    let pilot = office.shop("store-1", &settings).await?;
    office.add(&noise(400_000, 5), "1.5.0", "pilot")?;
    let held = pilot.await_state("held").await?;
    ensure!(held["why"] == "it waits until the shop is closed", "{held}");
    ensure!(held["haveBytes"] == held["bytes"] && !pilot.bundle("1.5.0").exists(), "{held}");
    let note = fs::read_to_string(pilot.updates.join("hold"))?;
    ensure!(note.contains("until the shop is closed"), "{note}");
    let status = pilot.store.ask(&["status"])?;
    ensure!(status.contains("1.5.0"), "{status}");
    // Said by day too, when somebody is there to renew it.
    let over = "1.5.0 may not be installed: its approval expired 3 days ago";
    pilot.steward_notes(Event::Unapproved, "1.5.0", over)?;
    let both = format!("{over}; it waits until the shop is closed");
    pilot.await_update(&both, |update| update["why"] == *both).await?;
    Ok(())
}
