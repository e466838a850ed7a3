//! A program of somebody else: the client module that a box serves, run by Node, against a shop with hooks and pushes.

use std::fs;
use std::path::Path;
use std::process::{Command as Blocking, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox_tests::{skip, wait};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::site::{PATIENCE, Site};

/// The module and what it imports, as the box serves them.
const MODULES: [&str; 5] = ["storebox.js", "boxes.js", "journal.js", "servers.js", "shipper.js"];
/// The program.
const PROGRAM: &str = include_str!("clients.mjs");

const CATALOGUE: &str = r#"{"id":"1","name":"Chocolate","searchKey":"CH","barcode":"4001"}
{"id":"2","name":"Coffee","searchKey":"CO","barcode":"4002"}
"#;

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// A channel with a hook, a push and a terminal that may write.
fn estate(site: &Site) -> anyhow::Result<()> {
    let service = |name: &str| json!({"id": name, "channelId": "web", "type": name});
    let services = ["query", "customer", "ticket", "ticket-pay"].map(service);
    let hook = json!({"id": "no-bobs", "channelId": "web", "type": "before-save",
        "entity": "Customer", "implementation": "script",
        "script": "if object.name == \"Bob\" { refuse(\"no Bobs\") } object.name.make_upper();"});
    let push = json!({"id": "chocolate", "channelId": "web", "entity": "Product",
        "delivery": "sse", "content": "full",
        "where": [{"fieldName": "name", "operator": "iContains", "value": "choc"}]});
    site.import(&[
        ("Product", CATALOGUE),
        ("BusinessPartner", &lines(&[json!({"id": "bp-1", "name": "Ann"})])),
        ("Channel", &lines(&[json!({"id": "web", "name": "Web", "type": "web-shop"})])),
        ("ChannelService", &lines(&services)),
        ("Hook", &lines(&[hook])),
        ("PushDefinition", &lines(&[push])),
        (
            "Access",
            &lines(&[json!({"id": "a", "channelId": "web", "roleId": "shop", "right": "write"})]),
        ),
        ("Terminal", &lines(&[json!({"id": "web-1", "channelId": "web", "roleId": "shop"})])),
    ])
}

pub(crate) async fn download(site: &Site, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("package.json"), r#"{"type":"module"}"#)?;
    fs::write(folder.join("program.js"), PROGRAM)?;
    for module in MODULES {
        let url = format!("http://{}/client/{module}", site.stage.store_address);
        let response = site.client.get(url).send().await?.error_for_status()?;
        let kind = response.headers().get("content-type").context("a media type")?;
        ensure!(kind == "text/javascript; charset=utf-8", "{module}");
        fs::write(folder.join(module), response.text().await?)?;
    }
    Ok(())
}

#[test]
fn the_client_in_javascript_hands_over_what_a_box_misses_before_it_closes_a_session() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if Blocking::new("node").arg("--version").output().is_err() {
        return skip("there is no node").unwrap_or_default();
    }
    let folder = tempfile::tempdir().unwrap();
    for module in MODULES {
        let client = root.join("appliance/server/console/client").join(module);
        fs::copy(client, folder.path().join(module)).unwrap();
    }
    fs::write(folder.path().join("package.json"), r#"{"type":"module"}"#).unwrap();
    let run = Blocking::new("node")
        .arg(root.join("tests/operations/shipper.mjs"))
        .arg(folder.path().join("storebox.js"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_in_javascript_sells_through_a_channel_and_is_told_what_changes()
-> anyhow::Result<()> {
    if Blocking::new("node").arg("--version").output().is_err() {
        skip::<()>("there is no node");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    estate(&site)?;
    site.await_level().await?;
    let token = site.stage.add_till(&"web-1".parse()?)?;
    let modules = folder.path().join("modules");
    download(&site, &modules).await?;
    let mut program = Command::new("node")
        .arg("program.js")
        .current_dir(&modules)
        .env("BOX", format!("http://{}", site.stage.store_address))
        .env("TOKEN", &token)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = program.stdout.take().context("its output is piped")?;
    let mut said = BufReader::new(output).lines();
    let mut results = json!({});
    while let Some(line) = tokio::time::timeout(PATIENCE, said.next_line()).await?? {
        if line == "listening" {
            site.change(concat!(
                "{\"model\":\"Product\",\"record\":",
                "{\"id\":\"1\",\"name\":\"Dark chocolate\",\"searchKey\":\"CH\",\"barcode\":\"4001\"}}\n",
                "{\"model\":\"Product\",\"record\":",
                "{\"id\":\"2\",\"name\":\"Espresso\",\"searchKey\":\"CO\",\"barcode\":\"4002\"}}\n"
            ))?;
        } else if let Ok(result) = serde_json::from_str(&line) {
            results = result;
        }
    }
    let status = program.wait().await?;
    ensure!(status.success(), "the program failed: {status}; {}", site.log()?);
    ensure!(results["push"]["object"]["name"] == "Dark chocolate", "{results}");
    look_at_the_log(&site, &results).await
}

/// What the operator sees of it.
async fn look_at_the_log(site: &Site, results: &Value) -> anyhow::Result<()> {
    let store = &site.stage.store;
    wait::until("the log of requests", PATIENCE, || async {
        let log = store.control("GET", "/v1/requests?service=customer", None).await?;
        Ok(log["calls"].as_array().is_some_and(|calls| calls.len() == 3))
    })
    .await?;
    let refused = store.control("GET", "/v1/requests?refused=true", None).await?;
    ensure!(refused["calls"][0]["correlation"] == "kiosk-7", "{refused}");
    let call = &refused["calls"][1];
    ensure!(call["correlation"] == results["correlation"], "the client's own: {refused}");
    ensure!(call["roles"] == json!(["shop"]), "{refused}");
    ensure!(call["problem"]["code"] == "hook_refused", "{refused}");
    ensure!(call["steps"][0]["hook"] == "no-bobs", "{refused}");
    ensure!(call["request"]["pin"] == "…", "{refused}");
    let correlation = call["correlation"].as_str().context("a correlation id")?;
    let told = store.ask(&["channel", "log", "--correlation", correlation])?;
    ensure!(told.contains("no Bobs"), "{told}");
    let pushes: Value = serde_json::from_str(&store.ask(&["channel", "pushes"])?)?;
    let push = &pushes["pushes"][0];
    ensure!(push["waiting"] == 0 && push["last"]["number"].is_u64(), "{pushes} {results}");
    try_on_a_sample(site)
}

fn try_on_a_sample(site: &Site) -> anyhow::Result<()> {
    let (sample, script) = (site.folder.join("sample.json"), site.folder.join("hook.rhai"));
    fs::write(&sample, r#"{"name": "ada"}"#)?;
    fs::write(&script, "object.name += context.name;")?;
    let (sample, script) = (sample.to_string_lossy(), script.to_string_lossy());
    let tried = site.stage.store.ask(&["channel", "try", &sample, "--hook", "no-bobs"])?;
    ensure!(tried.contains("\"ADA\""), "{tried}");
    let tried = site.stage.store.ask(&["channel", "try", &sample, "--script", &script])?;
    ensure!(tried.contains("\"adascript\""), "{tried}");
    Ok(())
}

#[test]
fn the_types_in_the_comments_of_the_client_module_fit_its_code() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let compiler = root.join("target/browser/node_modules/typescript/bin/tsc");
    if !compiler.exists() {
        skip::<()>("there is no TypeScript; tests/console/setup installs it");
        return Ok(());
    }
    let options = [
        "--checkJs",
        "--allowJs",
        "--noEmit",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--module",
        "es2022",
        "--moduleResolution",
        "bundler",
        "--lib",
        "es2023,dom,dom.iterable,dom.asynciterable",
    ];
    let checked = Blocking::new("node")
        .arg(compiler)
        .args(options)
        .arg("storebox.js")
        .current_dir(root.join("appliance/server/console/client"))
        .output()?;
    let said = String::from_utf8_lossy(&checked.stdout);
    let own: Vec<&str> = said.lines().filter(|line| line.starts_with("storebox.js")).collect();
    ensure!(own.is_empty(), "{}", own.join("\n"));
    Ok(())
}
