//! Hostile code of the chain in a real box: each is stopped and named, and the box stays as small as it was.

use std::fs;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::channels;
use crate::site::{Site, told};

/// What hostile scripts may add to the box at most, however often they come: their limit, what one step of two of them
/// can make, and what the system's memory keeps of it.
const GROWTH_MAX_KB: u64 = 128 * 1024;

/// What a box holds in memory at most since it started, in kilobytes.
fn most(site: &Site) -> anyhow::Result<u64> {
    let id = site.stage.store.id().context("the box runs")?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")).context("a size")?;
    Ok(number.trim().parse()?)
}

/// Scripts that want the whole box, each with a word of what stops it.
fn hostile() -> Vec<(&'static str, String)> {
    let copies: String = (0..12).map(|n| format!("let m{n} = object;")).collect();
    let own = |source: &str| source.to_owned();
    vec![
        ("a loop", own("loop {}")),
        ("deep recursion", own("fn f(n) { f(n + 1) } f(0)")),
        ("wide recursion", own("fn f(n) { if n > 0 { f(n - 1); f(n - 1) } } loop { f(7) }")),
        ("a growing text", own("let s = \"x\"; loop { s += s; }")),
        ("a growing array of arrays", own("let a = [1]; loop { a = [a, a]; }")),
        ("a map of maps", own("let m = #{}; loop { m = #{a: m, b: m}; }")),
        (
            "a map with long names",
            own("let k = \"\"; k.pad(400000, \"k\"); let m = #{}; let n = 0; \
                 loop { m[k + n.to_string()] = n; n += 1; }"),
        ),
        ("a flood of words", own("loop { print(\"xxxxxxxxxxxxxxxx\"); debug(\"x\"); }")),
        (
            "many values together",
            format!("fn f(object, n) {{ {copies} f(m1, n + 1) }} f(object, 0)"),
        ),
        ("many arguments", format!("f({})", vec!["object"; 1500].join(", "))),
        ("a text in letters", own("loop { let a = object.text.split(\"\"); a += a; }")),
    ]
}

async fn attempt(site: &Site, script: &str, object: &Value) -> anyhow::Result<String> {
    let body = json!({"script": script, "object": object});
    let tried = site.stage.store.control("POST", "/v1/hooks/try", Some(&body)).await;
    match tried {
        Ok(done) => anyhow::bail!("it came to an end: {done}"),
        Err(error) => Ok(error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_scripts_are_stopped_by_name_and_leave_the_box_small_and_serving()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = channels::open(folder.path()).await?;
    let mut object: serde_json::Map<String, Value> =
        (0..15_000).map(|number| (format!("field-{number}"), json!(number))).collect();
    object.insert("text".to_owned(), json!("x".repeat(300_000)));
    let object = Value::Object(object);
    let before = most(&site)?;
    // Again and again, because memory that was given back may not be given back to the system.
    let rounds = (0..3).flat_map(|_| hostile());
    for (what, script) in rounds {
        let (first, second) =
            tokio::join!(attempt(&site, &script, &object), attempt(&site, &script, &object));
        for said in [first?, second?] {
            ensure!(
                said.contains("hook_failed") && said.contains("script is stopped"),
                "{what}: {said}"
            );
        }
        let question = json!({"entity": "Product", "endRow": 1});
        let (status, answer) = told(site.post("/v1/channel/query", &question)).await?;
        ensure!(status == 200, "{what}: {status} {answer}");
        let grown = most(&site)?.saturating_sub(before);
        eprintln!("{what}: the box has grown by {} MB at most", grown / 1024);
        ensure!(grown < GROWTH_MAX_KB, "{what}: {grown} kB");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_runs_away_is_counted_by_its_name_and_a_sale_that_is_committed_stands()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = channels::open(folder.path()).await?;
    let hook = |id: &str, stage: &str, script: &str| {
        let about = if stage == "before-save" { json!("Customer") } else { Value::Null };
        let mut hook = json!({"id": id, "channelId": "web", "type": stage,
            "implementation": "script", "script": script});
        if !about.is_null() {
            hook["entity"] = about;
        }
        json!({"model": "Hook", "record": hook}).to_string()
    };
    let broken = site.change(&hook("broken", "on-request", "let x = (")).unwrap_err().to_string();
    ensure!(broken.contains("script") && broken.contains("is not understood"), "{broken}");
    let hooks = [hook("endless", "before-save", "loop {}"), hook("late", "on-response", "loop {}")];
    site.change(&hooks.join("\n"))?;
    site.await_level().await?;
    let (status, refused) = told(site.post("/v1/channel/customer", &json!({"name": "A"}))).await?;
    ensure!(
        status == 502 && refused["detail"].to_string().contains("hook endless is stopped"),
        "{refused}"
    );
    let ticket = json!({"documentNo": "W/9", "lines": [{"productId": "P1", "quantity": 1}]});
    let (status, made) = told(site.post("/v1/channel/ticket?wait=held", &ticket)).await?;
    ensure!(status == 200 && made["grade"] == "held", "it is committed: {status} {made}");
    let (status, refused) =
        told(site.post("/v1/channel/query", &json!({"entity": "Store"}))).await?;
    ensure!(status == 502 && refused["detail"].to_string().contains("hook late"), "{refused}");
    let status = site.stage.store.control("GET", "/v1/status", None).await?;
    let counted = |name: &str| {
        let hooks = status["channels"]["hooks"].as_array();
        hooks.into_iter().flatten().find(|hook| hook["name"] == name).cloned().unwrap_or_default()
    };
    ensure!(counted("hook endless")["failures"] == 1, "{status}");
    ensure!(counted("hook late")["failures"] == 2, "{status}");
    let open = told(crate::site::at(&site.client, site.stage.store_address, "/v1/status")).await?.1;
    ensure!(
        open["channels"]["hooks"][0].get("lastError").is_none(),
        "for the operator only: {open}"
    );
    Ok(())
}
