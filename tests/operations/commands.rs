//! The commands of an operator against running boxes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, at, executable, key, sale, told};

const DISCOUNT: &str = r#"{"model":"Discount","record":{"id":"D1","name":"Ten off"}}"#;

async fn history(site: &Site, query: &str) -> anyhow::Result<Vec<Value>> {
    let path = format!("/v1/history?{query}");
    let answer = site.stage.main.control("GET", &path, None).await?;
    Ok(answer.as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_ordered_logged_and_seen_at_head_office_by_box_terminal_and_model()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let product = r#"{"id":"1","name":"Apple","barcode":"4001"}"#;
    site.import(&[("Product", product), ("Brand", r#"{"id":"B1","name":"Own"}"#)])?;
    site.await_level().await?;
    site.change(DISCOUNT)?;
    site.await_level().await?;
    let log = site.log()?;
    for line in [
        "[sdreresh-inc] The model Discount has started masterdata load",
        "[sdreresh-inc] The model Discount has finished loading with a total of 1 records. There was no pagination.",
    ] {
        ensure!(log.contains(line), "{line} is not in\n{log}");
    }
    let store = &site.stage.store;
    let answer: Value =
        serde_json::from_str(&store.ask(&["refresh", "--full", "--model", "Product"])?)?;
    ensure!(answer == json!({"feeds": ["catalogue"]}), "{answer}");
    wait::until("full refresh", PATIENCE, || async {
        let feeds = store.control("GET", "/v1/feeds", None).await?;
        let feeds = feeds.as_array().cloned().unwrap_or_default();
        let catalogue = feeds.into_iter().find(|feed| feed["feed"] == "catalogue");
        Ok(catalogue.is_some_and(|feed| feed["last"]["mode"] == "full"))
    })
    .await?;
    for (arguments, word) in [
        (vec!["refresh", "--model", "Unicorn"], "model_unknown"),
        (vec!["refresh", "--model", "Order"], "born in the shop"),
    ] {
        let refused = store.ask(&arguments).unwrap_err().to_string();
        ensure!(refused.contains(word), "{refused}");
    }
    let report = json!({"extent": "full", "succeeded": true,
                        "models": [{"model": "Product", "records": 1}]});
    let (status, answer) = told(site.post("/v1/terminal/refreshed", &report)).await?;
    ensure!(status == 200, "{answer}");
    wait::until("history at head office", PATIENCE, || async {
        Ok(!history(&site, "terminal=till-1").await?.is_empty())
    })
    .await?;
    let own = history(&site, "node=store-367&model=Discount").await?;
    let is_incremental = |entry: &&Value| entry["mode"] == "incremental";
    let first = own.iter().find(is_incremental).cloned().unwrap_or_default();
    ensure!(first["node"] == "store-367" && first["feed"] == "catalogue", "{own:?}");
    ensure!(first["models"] == json!([{"model": "Discount", "records": 1, "pages": 1}]), "{own:?}");
    let by_till = history(&site, "terminal=till-1&model=Product").await?;
    ensure!(by_till.len() == 1 && by_till[0]["terminal"] == "till-1", "{by_till:?}");
    ensure!(history(&site, "node=store-1").await?.is_empty());
    let shown = site.stage.main.ask(&["history", "--terminal", "till-1"])?;
    ensure!(shown.contains("store-367/till-1") && shown.contains("Product 1"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn terminals_and_nodes_come_and_go_and_the_status_tells() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    site.import(&[("Brand", r#"{"id":"B1","name":"Own"}"#)])?;
    site.await_level().await?;
    let (store, main) = (&site.stage.store, &site.stage.main);
    let (status, _) = told(site.get("/v1/models/Brand/records/B1")).await?;
    ensure!(status == 200);
    let text = store.ask(&["status"])?;
    for word in ["store-367 (store)", "ready", "feed catalogue", "1 records", "till-1", "outbox 0"]
    {
        ensure!(text.contains(word), "{word} is not in\n{text}");
    }
    let json: Value = serde_json::from_str(&store.ask(&["status", "--json"])?)?;
    ensure!(json["clients"][0]["name"] == "till-1" && json["ready"] == true, "{json}");

    let taken = store.ask(&["terminal", "add", "till-1"]).unwrap_err().to_string();
    ensure!(taken.contains("till-1"), "{taken}");
    let odd = store.ask(&["terminal", "add", "Till 1"]).unwrap_err().to_string();
    ensure!(odd.contains("a-z"), "{odd}");
    ensure!(store.ask(&["terminal", "list"])?.contains("till-1"));
    store.ask(&["terminal", "revoke", "till-1"])?;
    let (status, problem) = told(site.get("/v1/models/Brand/records/B1")).await?;
    ensure!(status == 401 && problem["code"] == "revoked", "{problem}");
    let token = store.ask(&["terminal", "add", "till-1"])?;
    let again = at(&site.client, site.stage.store_address, "/v1/terminal/config");
    let (status, profile) = told(again.bearer_auth(token)).await?;
    ensure!(status == 200 && profile["epoch"] == 2, "a new life of the till: {profile}");

    main.ask(&["node", "revoke", "store-367"])?;
    let envelope = sale(1, "1.00");
    let url = format!("http://{}/v1/transactions", site.stage.store_address);
    let request = site.client.post(url).bearer_auth(store.ask(&["terminal", "add", "till-2"])?);
    let mut of_till_2 = envelope;
    of_till_2["terminal"] = json!("till-2");
    let (status, receipt) = told(request.json(&of_till_2)).await?;
    ensure!(status == 200, "a box that was locked out goes on selling: {receipt}");
    wait::until("the line is down", PATIENCE, || async {
        let status = store.ask(&["status"])?;
        Ok(status.contains("DOWN") && status.contains("it does not let this box in, 1 to go"))
    })
    .await?;
    let nodes = main.ask(&["node", "list"])?;
    ensure!(nodes.contains("revoked"), "{nodes}");
    ensure!(store.ask(&["key"])?.len() == 64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_only_data_is_found_by_its_index_in_the_shop() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let model = r#"{"id":"Recipe","feed":"kitchen","indexes":[{"field":"name","kind":"text"},{"field":"chef","kind":"exact"}]}"#;
    site.import(&[("Model", model)])?;
    site.await_level().await?;
    let soups = "{\"id\":\"1\",\"name\":\"Tomato Soup\",\"chef\":\"anna\"}\n\
                 {\"id\":\"2\",\"name\":\"Onion Soup\",\"chef\":\"bob\"}\n";
    site.import(&[("Recipe", soups)])?;
    wait::until("the new feed", Duration::from_secs(10), || async {
        let (status, _) = told(site.get("/v1/models/Recipe/records/1")).await?;
        Ok(status == 200)
    })
    .await?;
    let (_, found) = told(site.get("/v1/models/Recipe/records?field=chef&value=bob")).await?;
    ensure!(found["records"][0]["id"] == "2", "{found}");
    let (_, found) = told(site.get("/v1/models/Recipe/records?field=name&prefix=tom")).await?;
    ensure!(found["records"][0]["id"] == "1", "{found}");
    let (_, models) = told(site.get("/v1/models")).await?;
    ensure!(models.to_string().contains("Recipe"), "{models}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_alone_sells_stops_in_time_and_refuses_a_bad_configuration() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = "role = \"store\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n";
    let mut store = Process::lay_out(executable(), folder.path(), "alone", settings)?;
    let address = store.start().await?;
    let token = store.ask(&["terminal", "add", "till-1"])?;
    let client = reqwest::Client::new();
    let url = format!("http://{address}/v1/transactions");
    let sell = |number| client.post(&url).bearer_auth(&token).json(&sale(number, "1.00"));
    let (status, receipt) = told(sell(1)).await?;
    ensure!(status == 200 && receipt["grade"] == "held", "{receipt}");
    let product = at(&client, address, "/v1/models/Product/records/1").bearer_auth(&token);
    let (status, problem) = told(product).await?;
    ensure!(status == 503 && problem["code"] == "replica_empty", "{problem}");
    for path in ["/healthz", "/readyz"] {
        ensure!(told(at(&client, address, path)).await?.0 == 200, "{path}");
    }
    let (_, metrics) = told(at(&client, address, "/metrics")).await?;
    ensure!(metrics.as_str().is_some_and(|text| text.contains("storebox_outbox_waiting 1\n")));
    let (_, document) = told(at(&client, address, "/openapi.json")).await?;
    ensure!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    ensure!(document["paths"]["/v1/outbox/{key}/drop"]["post"].is_object(), "{document}");

    let waiting = at(&client, address, "/v1/changes").bearer_auth(&token).send().await?;
    ensure!(waiting.status() == 200);
    let told_to_stop = storebox::env::instant();
    tokio::task::block_in_place(|| store.stop());
    ensure!(told_to_stop.elapsed() < Duration::from_secs(10), "with an open event stream");
    let again = store.start().await?;
    let progress = format!("/v1/transactions/{}", key(1));
    let (status, held) = told(at(&client, again, &progress).bearer_auth(&token)).await?;
    ensure!(status == 200 && held["receipt"] == receipt, "{held}");

    let bad = Process::lay_out(executable(), folder.path(), "bad", "[http]\nlissten = [\"x\"]\n")?;
    let refused = bad.ask(&["run"]).unwrap_err().to_string();
    for word in ["78", "storebox.toml", "lissten", "4"] {
        ensure!(refused.contains(word), "{word} is not in {refused}");
    }
    Ok(())
}

#[test]
fn a_start_that_fails_where_nobody_can_be_told_says_so_by_its_exit_code() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (config, data) = (folder.path().join("storebox.toml"), folder.path().join("data"));
    fs::create_dir(&data)?;
    fs::write(data.join("node.key"), "damaged")?;
    for (settings, code) in [("[http]\nlissten = 1\n", 78), ("role = \"store\"\n", 70)] {
        fs::write(&config, settings)?;
        // As a log on a full disk.
        let unheard = fs::OpenOptions::new().write(true).open("/dev/full")?;
        let mut command = Command::new(executable());
        command.arg("--config").arg(&config).arg("--data-dir").arg(&data).arg("run");
        let ended = command.stderr(unheard).status()?;
        ensure!(ended.code() == Some(code), "{settings:?}: {ended}");
    }
    Ok(())
}
