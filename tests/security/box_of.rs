//! One box as a process, with a command line of its own.

use std::path::Path;

use serde_json::Value;
use storebox::demo::process::Process;

/// The program under test.
pub(crate) fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_storebox-under-test"))
}

/// All that a box has written where people look: its log, its status and its numbers.
pub(crate) async fn visible(process: &Process, address: &str) -> anyhow::Result<String> {
    let data = process.data();
    let log = std::fs::read(data.with_file_name("log"))?;
    let mut text = String::from_utf8_lossy(&log).into_owned();
    for path in ["/v1/status", "/v1/outbox", "/v1/terminals", "/v1/seals", "/v1/logins"] {
        let answer = process.control("GET", path, None).await;
        text.push_str(&answer.unwrap_or(Value::Null).to_string());
    }
    let client = reqwest::Client::new();
    for path in ["/metrics", "/v1/status", "/openapi.json"] {
        text.push_str(&client.get(format!("http://{address}{path}")).send().await?.text().await?);
    }
    Ok(text)
}

/// Says why a test does not run here; where everything has to run it fails.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot run: {why}");
    eprintln!("skipped: {why}");
}
