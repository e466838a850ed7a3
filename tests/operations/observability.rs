//! Alerts and dashboard, held against the numbers that boxes have, and against Prometheus itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox_tests::{skip, wait};

use crate::site::{PATIENCE, Site, sale};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../appliance/observability")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("the file is part of the repository")
}

/// The names of numbers in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let found = text.split("storebox_").skip(1).map(|rest| {
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        format!("storebox_{}", &rest[..end])
    });
    found.filter(|name| name.len() > "storebox_".len()).collect()
}

/// All expressions of the dashboard, with its variables filled in.
fn expressions() -> Vec<String> {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                let own = fields.get("expr").and_then(Value::as_str);
                found.extend(own.map(|text| text.replace("$job", ".*").replace("$instance", ".*")));
                fields.values().for_each(|below| walk(below, found));
            }
            Value::Array(list) => list.iter().for_each(|below| walk(below, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).expect("it is JSON");
    let mut found = Vec::new();
    walk(&dashboard, &mut found);
    found
}

#[test]
fn every_number_that_alerts_and_dashboard_name_is_one_that_boxes_have() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../appliance/docs/reference.md");
    let reference = std::fs::read_to_string(reference).expect("the reference is there");
    let (_, metrics) = reference.split_once("## Metrics").expect("it lists the metrics");
    let mut known = BTreeSet::new();
    for line in metrics.lines().filter(|line| line.starts_with("| `storebox_")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let name = cells.next().unwrap_or_default().trim_matches('`').to_owned();
        let total = cells.next() == Some("counter");
        known.insert(if total { format!("{name}_total") } else { name });
    }
    let used = names(&format!("{}\n{}", read("storebox.rules.yaml"), expressions().join("\n")));
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "no box has {unknown:?}");
    assert!(used.len() > 30, "the names were found: {used:?}");
}

#[test]
fn promtool_finds_the_rules_right_and_they_fire_when_they_should() {
    let run = |arguments: &[&str]| {
        let output = Command::new("promtool").args(arguments).current_dir(folder()).output();
        let Ok(output) = output else {
            return skip("promtool is not there; tests/setup installs it");
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = String::from_utf8_lossy(&output.stdout);
        Some((output.status.success(), format!("{told}{said}")))
    };
    for arguments in [
        &["check", "rules", "storebox.rules.yaml"][..],
        &["test", "rules", "storebox.rules.test.yaml"],
    ] {
        let Some((well, said)) = run(arguments) else { return };
        assert!(well, "{arguments:?}: {said}");
    }
}

/// A Prometheus that looks at boxes once a second.
struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    fn start(home: &Path, targets: &[String]) -> anyhow::Result<Option<Self>> {
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [folder().canonicalize()?.join("storebox.rules.yaml")],
            "scrape_configs": [{"job_name": "storebox", "static_configs": [{"targets": targets}]}],
        });
        // YAML takes JSON.
        std::fs::write(home.join("prometheus.yml"), config.to_string())?;
        // Prometheus does not tell which port it was given: one that was free a moment ago is named.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.join("series").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            return Ok(skip("prometheus is not there; tests/setup installs it"));
        };
        Ok(Some(Self { child, url: format!("http://{address}/api/v1") }))
    }

    async fn ask(&self, path: &str, query: &str) -> anyhow::Result<Value> {
        let mut url = reqwest::Url::parse(&format!("{}/{path}", self.url))?;
        if !query.is_empty() {
            url.query_pairs_mut().append_pair("query", query);
        }
        let answer: Value = reqwest::get(url).await?.json().await?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        Ok(answer["data"].clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_both_boxes_evaluates_every_rule_and_draws_the_dashboard()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    site.import(&[("Brand", r#"{"id":"B1","name":"Own"}"#)])?;
    site.await_level().await?;
    site.sell(&sale(1, "1.00")).await?;
    let targets = [site.stage.main_address.to_string(), site.stage.store_address.to_string()];
    let Some(prometheus) = Prometheus::start(folder.path(), &targets)? else { return Ok(()) };
    let up = "sum(up) == 2 and on () sum(storebox_box_here) == 1";
    wait::until("both are read", PATIENCE, || async {
        let seen = prometheus.ask("query", up).await;
        Ok(seen.is_ok_and(|seen| !seen["result"].as_array().is_none_or(Vec::is_empty)))
    })
    .await?;
    let targets = prometheus.ask("targets", "").await?;
    for target in targets["activeTargets"].as_array().context("targets")? {
        ensure!(target["lastError"] == "", "{target}");
    }
    wait::until("all rules are evaluated", PATIENCE, || async {
        let groups = prometheus.ask("rules", "").await?["groups"].clone();
        let groups = groups.as_array().cloned().unwrap_or_default();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned());
        let healths: Vec<_> = rules.flatten().map(|rule| rule["health"].clone()).collect();
        ensure!(!healths.contains(&json!("err")), "{groups:?}");
        Ok(healths.len() > 20 && healths.iter().all(|health| *health == "ok"))
    })
    .await?;
    for expression in expressions() {
        prometheus.ask("query", &expression).await?;
    }
    let mut has = BTreeSet::new();
    for series in prometheus.ask("label/__name__/values", "").await?.as_array().context("names")? {
        has.extend(series.as_str().map(str::to_owned));
    }
    for name in [
        "storebox_outbox_waiting",
        "storebox_disk_free_bytes",
        "storebox_box_silent_seconds",
        "storebox_box_feed_behind",
        "storebox_finding",
        "storebox_drill",
    ] {
        ensure!(has.contains(name), "{name} is not in {has:?}");
    }
    Ok(())
}
