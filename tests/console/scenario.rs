//! Plays a script in a browser and does to the boxes what it wishes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::stage::Stage;

/// No scenario takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(150);

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/browser")
}

/// The modules that the scripts use, or nothing with the reason said.
fn modules() -> Option<PathBuf> {
    let modules = target().join("node_modules");
    let missing =
        ["playwright-core", "axe-core"].into_iter().find(|name| !modules.join(name).is_dir());
    if let Some(name) = missing {
        return skip(&format!("{name} is not there; tests/console/setup installs it"));
    }
    let browser = ["/usr/bin/chromium"].into_iter().find(|path| Path::new(path).exists());
    if browser.is_none() {
        return skip("chromium is not there; tests/setup installs it");
    }
    Some(modules)
}

/// Passes with a reason, or fails where a missing proof must not go unnoticed.
fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
    let mut out = std::io::stderr();
    writeln!(out, "skipped: {why}").expect("the test's output is open");
    None
}

fn script_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("console/browser").join(name)
}

/// Runs a script that needs neither browser nor box.
pub(crate) async fn compute(script: &str) -> anyhow::Result<()> {
    let Ok(mut child) = Command::new("node").arg(script_of(script)).kill_on_drop(true).spawn()
    else {
        skip::<()>("node is not there; tests/setup installs it");
        return Ok(());
    };
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await??;
    anyhow::ensure!(ended.success(), "{script} failed; its output is above");
    Ok(())
}

/// Plays one script to its end.
pub(crate) async fn play(script: &str, mut stage: Stage) -> anyhow::Result<()> {
    let Some(modules) = modules() else { return Ok(()) };
    let shots = target().join("shots");
    std::fs::create_dir_all(&shots)?;
    let mut child = Command::new("node")
        .arg(script_of(script))
        .env("STAGE", stage.facts().to_string())
        .env("MODULES", modules.canonicalize()?)
        .env("SHOTS", shots.canonicalize()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start node")?;
    let mut told = child.stdin.take().context("its input is piped")?;
    let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
    let serve = async {
        while let Some(line) = lines.next_line().await? {
            let answer = match serde_json::from_str::<Value>(&line) {
                Ok(wish) => match stage.grant(&wish).await {
                    Ok(answer) => json!({ "answer": answer }),
                    Err(error) => json!({ "error": format!("{error:#}") }),
                },
                Err(_) => json!({ "error": format!("not a wish: {line}") }),
            };
            told.write_all(format!("{answer}\n").as_bytes()).await?;
        }
        anyhow::Ok(child.wait().await?)
    };
    match tokio::time::timeout(PATIENCE, serve).await {
        Ok(ended) if ended.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
        Ok(ended) => bail!("{script} failed: {:?}; its output is above", ended?),
        Err(_) => bail!("{script} did not end within {PATIENCE:?}"),
    }
}
