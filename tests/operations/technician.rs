//! What a field technician holds in hand: doctor, support bundle, log levels, against running boxes.

use std::process::Command;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::site::{Site, executable, sale};

/// Runs a command that may say by its exit code that something is wrong.
fn doctor(site: &Site) -> anyhow::Result<(bool, Value)> {
    let data = site.stage.store.data();
    let config = data.with_file_name("storebox.toml");
    let output = Command::new(executable())
        .arg("--config")
        .arg(config)
        .args(["doctor", "--json"])
        .output()?;
    Ok((output.status.success(), serde_json::from_slice(&output.stdout)?))
}

fn codes(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let findings =
        checks.iter().flat_map(|check| check["findings"].as_array().cloned().unwrap_or_default());
    findings.map(|finding| finding["code"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_shop_well_and_then_names_what_is_wrong() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    site.import(&[("Brand", r#"{"id":"B1","name":"Own"}"#)])?;
    site.await_level().await?;
    let (_, report) = doctor(&site)?;
    let found = codes(&report);
    for code in ["configured", "dns", "line", "clocks", "key", "token", "devices"] {
        ensure!(found.iter().any(|found| found == code), "{code} is not in {found:?}");
    }
    site.stage.main.ask(&["node", "revoke", "store-367"])?;
    let (well, report) = doctor(&site)?;
    ensure!(!well && codes(&report).contains(&"token_refused".to_owned()), "{report}");
    site.stage.main.kill();
    site.stage.line.set_up(false);
    let (well, report) = doctor(&site)?;
    ensure!(!well && codes(&report).contains(&"line_down".to_owned()), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_support_bundle_tells_all_but_secrets_and_sales() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let mut sold = sale(1, "77.77");
    sold["payload"]["customer"] = json!("Erika Mustermann");
    site.sell(&sold).await?;
    let out = folder.path().join("bundle.tar.gz");
    let said = site.stage.store.ask(&["support-bundle", "--out", &out.to_string_lossy()])?;
    ensure!(said.contains("no secret"), "{said}");
    let unpacked = folder.path().join("unpacked");
    std::fs::create_dir(&unpacked)?;
    let tar = Command::new("tar").arg("-xzf").arg(&out).arg("-C").arg(&unpacked).status()?;
    ensure!(tar.success());
    let token = std::fs::read_to_string(folder.path().join("store.token"))?;
    let mut names = Vec::new();
    for entry in walk(&unpacked)? {
        let text = std::fs::read_to_string(&entry)?;
        for secret in [token.trim(), &site.token, "Erika", "77.77"] {
            ensure!(!text.contains(secret), "{entry:?} holds {secret}");
        }
        names.extend(entry.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    for name in ["status.json", "doctor.json", "outbox.json", "log.txt", "configuration.toml"] {
        ensure!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
    Ok(())
}

fn walk(folder: &std::path::Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(walk(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_logs_more_while_it_is_asked_to() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let store = &site.stage.store;
    let shown = store.ask(&["log-level", "storebox::uplink=debug", "--minutes", "5"])?;
    ensure!(shown.contains("storebox::uplink=debug") && shown.contains("5 min"), "{shown}");
    let shown = store.ask(&["log-level", "storebox::uplink=reset"])?;
    ensure!(shown.trim() == "info", "{shown}");
    let refused = store.ask(&["log-level", "no module=debug"]).unwrap_err().to_string();
    ensure!(refused.contains("field_invalid"), "{refused}");
    Ok(())
}
