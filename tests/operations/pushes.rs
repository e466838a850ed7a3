//! What changes at head office and in the shop reaches the programs that want to be told, whatever dies in between.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use serde_json::{Value, json};
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, at, told};
use crate::target::Target;

/// Two programs of one channel: one is called, one listens; both about products, the first about tickets too.
pub(crate) async fn import(site: &Site, target: &Target) -> anyhow::Result<()> {
    let lines = |records: &[Value]| records.iter().map(|record| format!("{record}\n")).collect();
    let models: [(&str, String); 7] = [
        (
            "Product",
            lines(&[
                json!({"id": "1", "name": "Chocolate", "barcode": "4001"}),
                json!({"id": "2", "name": "Coffee", "barcode": "4002"}),
                json!({"id": "3", "name": "Tea", "barcode": "4003"}),
            ]),
        ),
        (
            "ProductPrice",
            lines(&[
                json!({"id": "p1", "productId": "1", "priceListId": "L", "listPrice": "3.50"}),
            ]),
        ),
        ("Channel", lines(&[json!({"id": "web", "name": "Web", "type": "web-shop"})])),
        (
            "ChannelService",
            lines(
                &["query", "ticket"]
                    .map(|name| json!({"id": name, "channelId": "web", "type": name})),
            ),
        ),
        (
            "PushDefinition",
            lines(&[
                json!({"id": "erp", "channelId": "web", "entity": "Product",
                    "delivery": "webhook", "webhook": {"url": target.url()}}),
                json!({"id": "tickets", "channelId": "web", "entity": "Ticket",
                    "delivery": "webhook", "webhook": {"url": target.url()}}),
                json!({"id": "live", "channelId": "web", "entity": "Product", "delivery": "sse",
                    "content": "full"}),
            ]),
        ),
        (
            "Access",
            lines(&[json!({"id": "a", "channelId": "web", "roleId": "shop", "right": "write"})]),
        ),
        ("Terminal", lines(&[json!({"id": "till-1", "channelId": "web", "roleId": "shop"})])),
    ];
    let models: Vec<_> = models.iter().map(|(model, lines)| (*model, lines.as_str())).collect();
    // What is there before a definition is, is told by one `reset`.
    let (catalogue, estate) = models.split_at(2);
    site.import(catalogue)?;
    site.await_level().await?;
    site.import(estate)
}

pub(crate) type Heard = BTreeMap<String, Vec<String>>;

/// Events by definition that the target takes until it has these, as `event id`.
pub(crate) async fn heard(target: &Target, wanted: &[(&str, &str)]) -> anyhow::Result<Heard> {
    let mut found = Heard::new();
    let has = |found: &Heard, push: &str, event: &str| {
        found.get(push).is_some_and(|events| events.iter().any(|one| one == event))
    };
    while !wanted.iter().all(|(push, event)| has(&found, push, event)) {
        let body = target.told().await?;
        ensure!(body["channel"] == "web", "{body}");
        let push = body["push"].as_str().context("a definition")?;
        for event in body["events"].as_array().context("events")? {
            ensure!(event.get("object").is_none(), "a signal has no content: {event}");
            let text = |name: &str| event[name].as_str().unwrap_or_default();
            let said = format!("{} {}", text("event"), text("id"));
            found.entry(push.to_owned()).or_default().push(said);
        }
    }
    Ok(found)
}

pub(crate) const BEGIN: [(&str, &str); 2] = [("erp", "reset "), ("tickets", "reset ")];

/// Server-sent events behind a number until one fits.
async fn listened(site: &Site, after: u64, until: &str) -> anyhow::Result<Vec<Value>> {
    let path = format!("/v1/channel/push?after={after}");
    let answer = site.get(&path).header("storebox-correlation", "listener-1").send().await?;
    ensure!(answer.headers()["storebox-correlation"] == "listener-1", "{answer:?}");
    let (mut stream, mut text, mut events) = (answer.bytes_stream(), String::new(), Vec::new());
    while let Some(bytes) = tokio::time::timeout(PATIENCE, stream.next()).await? {
        text.push_str(&String::from_utf8_lossy(&bytes?));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let data = event.lines().find_map(|line| line.strip_prefix("data:"));
            events.extend(data.map(serde_json::from_str::<Value>).transpose()?);
            text = rest.to_owned();
        }
        let named = |event: &Value| format!("{} {}", event["event"], event["id"]).replace('"', "");
        if events.iter().any(|event| named(event) == until) {
            return Ok(events);
        }
    }
    anyhow::bail!("the stream ended: {events:?}")
}

/// What the status says of a push.
pub(crate) async fn figure(site: &Site, push: &str) -> anyhow::Result<Value> {
    let status = site.stage.store.control("GET", "/v1/status", None).await?;
    let pushes = status["channels"]["pushes"].as_array().cloned().unwrap_or_default();
    pushes.into_iter().find(|one| one["id"] == push).context("a figure")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_and_a_removal_reach_a_webhook_and_a_listener_though_target_and_box_were_down()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    let target = Target::open().await?;
    import(&site, &target).await?;
    heard(&target, &BEGIN).await?;
    let begin = listened(&site, 0, "reset ").await?;
    let began = begin[0]["number"].as_u64().context("a number")?;

    target.answer(503);
    site.change(r#"{"model":"Product","record":{"id":"1","name":"Dark","barcode":"4001"}}"#)?;
    site.change(r#"{"model":"Product","record":{"id":"1","name":"Darker","barcode":"4001"}}"#)?;
    site.change(r#"{"model":"Product","removed":"2"}"#)?;
    site.await_level().await?;
    let events = listened(&site, began, "removed 2").await?;
    let changed = events.iter().rfind(|event| event["event"] == "changed").context("a change")?;
    ensure!(changed["object"]["name"] == "Darker", "what it is now: {events:?}");
    let ticket = json!({"documentNo": "W/1", "lines": [{"productId": "1", "quantity": 1}]});
    let (status, made) = told(site.post("/v1/channel/ticket", &ticket)).await?;
    ensure!(status == 200, "{made}");
    let waits = |count: u64| {
        let site = &site;
        wait::until("so many wait", PATIENCE, move || async move {
            let away = figure(site, "erp").await?;
            Ok(away["waiting"] == count && !away["failingSince"].is_null())
        })
    };
    waits(2).await?;
    ensure!(figure(&site, "erp").await?["oldestS"].is_u64());
    let numbers = at(&site.client, site.stage.store_address, "/metrics").send().await?;
    let numbers = numbers.text().await?;
    for (name, value) in [("waiting", 2), ("failing", 1), ("dead", 0)] {
        let line = format!("storebox_push_{name}{{channel=\"web\",push=\"erp\"}} {value}\n");
        ensure!(numbers.contains(&line), "{line}: {numbers}");
    }

    site.stage.store.kill();
    site.stage.store_address = site.stage.store.start().await?;
    // Of the price that goes, the log has only its id.
    site.change(r#"{"model":"ProductPrice","removed":"p1"}"#)?;
    site.change(r#"{"model":"Product","record":{"id":"3","name":"Green tea","barcode":"4003"}}"#)?;
    wait::until("three wait", PATIENCE, || async {
        Ok(figure(&site, "erp").await?["waiting"] == 3)
    })
    .await?;
    target.answer(200);
    let sold = format!("changed {}", made["id"].as_str().unwrap_or_default());
    let mut events = heard(&target, &[("erp", "changed 3"), ("tickets", &sold)]).await?;
    let erp = events.get_mut("erp").context("events")?;
    erp.sort();
    ensure!(*erp == ["changed 1", "changed 3", "removed 2"], "each once: {erp:?}");
    ensure!(events["tickets"] == [sold], "{events:?}");
    wait::until("nothing waits", PATIENCE, || async {
        let erp = figure(&site, "erp").await?;
        Ok(erp["waiting"] == 0 && erp["failingSince"].is_null() && !erp["last"].is_null())
    })
    .await?;
    ensure!(target.more(Duration::from_secs(1)).await.is_none(), "nothing is told twice");
    let pushes = site.stage.store.ask(&["channel", "pushes"])?;
    let pushes: Value = serde_json::from_str(&pushes)?;
    let erp = &pushes["pushes"][0];
    ensure!(erp["id"] == "erp" && erp["last"]["at"].is_string(), "the last push: {pushes}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_refuses_waits_for_a_person_who_retries_or_drops_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let target = Target::open().await?;
    import(&site, &target).await?;
    heard(&target, &BEGIN).await?;
    for (path, status, code) in [
        ("?after=x", 400, "parameter_invalid"),
        ("?colour=red", 400, "parameter_invalid"),
        ("?terminal=till-2", 403, "forbidden"),
    ] {
        let refused = told(site.get(&format!("/v1/channel/push{path}"))).await?;
        ensure!(refused.0 == status && refused.1["code"] == code, "{path}: {refused:?}");
    }
    target.answer(422);
    let change = |name: &str| {
        let record = json!({"id": "1", "name": name, "barcode": "4001"});
        site.change(&json!({"model": "Product", "record": record}).to_string())
    };
    let dead = |count: u64| {
        let site = &site;
        wait::until("a dead letter", PATIENCE, move || async move {
            Ok(figure(site, "erp").await?["dead"] == count)
        })
    };
    change("Dark")?;
    dead(1).await?;
    let store = &site.stage.store;
    let said = store.ask(&["status"])?;
    ensure!(said.contains("The target of push erp refused 1 change"), "{said}");
    target.answer(200);
    store.ask(&["channel", "pushes", "--retry", "erp"])?;
    heard(&target, &[("erp", "changed 1")]).await?;
    target.answer(422);
    change("Darker")?;
    dead(1).await?;
    let dropped = store.ask(&["channel", "pushes", "--drop", "erp"])?;
    ensure!(dropped.contains("\"dropped\": 1"), "{dropped}");
    dead(0).await
}
