//! The examples of the documents for programs of others, run as they stand there.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox_tests::skip;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::channels;
use crate::clients::download;
use crate::site::{PATIENCE, Site, told};

const README: &str = include_str!("../../README.md");
const CHANNELS: &str = include_str!("../../appliance/docs/channels.md");

/// The indented block behind this text of a document.
fn block(document: &str, mark: &str) -> anyhow::Result<String> {
    let (_, behind) = document.split_once(mark).with_context(|| format!("no {mark:?}"))?;
    let lines = behind.lines().skip(1).skip_while(|line| !line.starts_with("    "));
    let lines: Vec<&str> = lines.map_while(|line| line.strip_prefix("    ")).collect();
    ensure!(!lines.is_empty(), "no block behind {mark:?}");
    Ok(lines.join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_records_let_its_program_ask() -> anyhow::Result<()> {
    if Command::new("curl").arg("--version").output().await.is_err() {
        skip::<()>("there is no curl");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let records = block(README, "A kiosk, a web shop or a partner's system")?;
    let mut models: Vec<(&str, &str)> = Vec::new();
    for line in records.lines() {
        let (file, record) = line.split_once(' ').context("a file and a record")?;
        let model = file.strip_suffix(".ndjson").context("a model's file")?;
        models.push((model, record.trim_start()));
    }
    ensure!(models.len() >= 4, "{records}");
    models.push(("Product", r#"{"id":"1","name":"Chocolate","barcode":"4001"}"#));
    site.import(&models)?;
    site.await_level().await?;
    ensure!(README.contains("`storebox terminal add web-1` prints its token"));
    let token = site.stage.store.ask(&["terminal", "add", "web-1"])?;
    let asked = block(README, "`storebox terminal add web-1` prints its token")?;
    let here = format!("http://{}", site.stage.store_address);
    ensure!(asked.contains("http://store:8080"), "{asked}");
    let mut curl = Command::new("sh");
    curl.args(["-c", &asked.replace("http://store:8080", &here)]);
    let output = curl.env("TOKEN", token.trim()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, output).await??;
    let answer: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(answer["data"][0]["name"] == "Chocolate", "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_query_of_the_guide_to_channels_finds_what_it_asks_for() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = channels::open(folder.path()).await?;
    let line = |record: Value| format!("{record}\n");
    let product = |id: &str, name: &str| line(json!({"id": id, "name": name}));
    let price = |id: &str, amount: &str| {
        line(json!({"id": id, "productId": id, "priceListId": "L", "listPrice": amount}))
    };
    let names = [("P1", "Choc bar"), ("P2", "Chocolate"), ("P3", "Milk")];
    let prices = [("P1", "3.50"), ("P2", "3.51"), ("P3", "1.00")];
    let names: String = names.iter().map(|(id, name)| product(id, name)).collect();
    let prices: String = prices.iter().map(|(id, amount)| price(id, amount)).collect();
    let category = line(json!({"id": "C0180", "searchKey": "C0180", "name": "Sweets"}));
    site.import(&[("Product", &names), ("ProductPrice", &prices), ("ProductCategory", &category)])?;
    site.await_level().await?;
    let question: Value = serde_json::from_str(&block(CHANNELS, "\n## Queries\n")?)?;
    let (status, answer) = told(site.post("/v1/channel/query", &question)).await?;
    let found: Vec<&str> = answer["data"]
        .as_array()
        .with_context(|| format!("{status} {answer}"))?
        .iter()
        .filter_map(|row| row["id"].as_str())
        .collect();
    ensure!(status == 200 && found == ["P1"], "{status} {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_in_javascript_of_the_guide_ask_sell_and_listen() -> anyhow::Result<()> {
    if Command::new("node").arg("--version").output().await.is_err() {
        skip::<()>("there is no node");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let push = json!({"id": "prices", "channelId": "web", "entity": "Product",
        "delivery": "sse", "content": "signal"});
    let mut records = channels::estate();
    records.retain(|(model, _)| *model != "Terminal");
    let terminal = json!({"id": "web-1", "channelId": "web", "roleId": "shop"}).to_string();
    records.extend([("Terminal", terminal), ("PushDefinition", push.to_string())]);
    let models: Vec<_> = records.iter().map(|(model, lines)| (*model, lines.as_str())).collect();
    site.import(&models)?;
    site.await_level().await?;
    let token = site.stage.add_till(&"web-1".parse()?)?;
    let modules = folder.path().join("modules");
    download(&site, &modules).await?;
    fs::write(modules.join("program.js"), program(&site, Path::new("./storebox.js"))?)?;
    let mut program = Command::new("node")
        .arg("program.js")
        .current_dir(&modules)
        .env("TOKEN", &token)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = program.stdout.take().context("its output is piped")?;
    let mut said = BufReader::new(output).lines();
    let mut next = async || -> anyhow::Result<String> {
        let line = timeout(PATIENCE, said.next_line()).await??;
        line.context("the program ended")
    };
    ensure!(next().await? == "1 settled");
    ensure!(next().await?.starts_with("reset"), "a listener begins anew");
    site.change(r#"{"model":"Product","record":{"id":"P1","barcode":"4001","name":"Pear"}}"#)?;
    ensure!(next().await? == "changed Product P1");
    Ok(())
}

/// The lines of the guide, at this box, with what they found and sold before they listen.
fn program(site: &Site, module: &Path) -> anyhow::Result<String> {
    let lines = block(CHANNELS, "\n## In JavaScript\n")?;
    let module = format!("{:?}", module.display().to_string());
    let here = format!("\"http://{}\"", site.stage.store_address);
    let lines = lines.replace("\"http://box/client/storebox.js\"", &module);
    let lines = lines.replace("\"http://box\"", &here);
    let listens = "console.log(data.length, made.grade);\nfor await";
    Ok(format!("const token = process.env.TOKEN;\n{}\n", lines.replacen("for await", listens, 1)))
}
