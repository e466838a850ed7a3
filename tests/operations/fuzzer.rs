//! The API as a program sees it that reads our OpenAPI document and then sends whatever the document allows, and
//! what it does not allow.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::channels;

/// Seconds that each run of the fuzzer takes; a run by hand may take more.
const SECONDS: &str = "45";
/// Where `tests/setup` installs it.
const FUZZER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers/api/bin/schemathesis");
/// What it holds against every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,unsupported_method";
/// What a till reads besides its channel; streams never end, and are not for a program that waits for an end.
const READS: &str = "^/(healthz|readyz|v1/(models|documents|transactions|devices|printers|scales|\
                     displays|drawers|terminal/config|status|chronicle|whoami|session))";
const STREAMS: &str = "(/events|/channel/push)$";

/// Runs it on some of the document.
async fn fuzz(extra: &[&str]) -> anyhow::Result<()> {
    if !Path::new(FUZZER).exists() {
        let why = "schemathesis is not installed; tests/setup does that";
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let site = channels::open(folder.path()).await?;
    let url = format!("http://{}", site.stage.store_address);
    let seed = std::env::var("SEED").unwrap_or_else(|_| "4711".to_owned());
    let seconds = std::env::var("FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let mut command = Command::new(FUZZER);
    command
        .args(["run", &format!("{url}/openapi.json"), "--url", &url])
        .args(["--header", &format!("Authorization: Bearer {}", site.token)])
        .args(extra)
        .args(["--exclude-path-regex", STREAMS, "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing", "--max-time", &seconds, "--seed", &seed])
        .args(["--suppress-health-check", "all", "--generation-database", "none", "--no-color"])
        .args(["--request-timeout", "30", "--warnings", "off"])
        .current_dir(folder.path())
        .stdin(Stdio::null());
    let run = tokio::task::block_in_place(|| command.output());
    let output = run.with_context(|| format!("start {FUZZER}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let end: String = said.chars().rev().take(6000).collect::<Vec<_>>().into_iter().rev().collect();
    ensure!(output.status.success(), "SEED={seed}\n{end}");
    eprintln!("{end}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuzzer_that_reads_the_document_finds_no_server_error_and_no_undocumented_answer()
-> anyhow::Result<()> {
    fuzz(&["--include-path-regex", "^/v1/channel"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fuzzer_finds_neither_where_a_till_reads() -> anyhow::Result<()> {
    let mut only = vec!["--include-path-regex", READS];
    only.extend(["POST", "PUT", "DELETE"].iter().flat_map(|method| ["--exclude-method", method]));
    fuzz(&only).await
}
