//! A box whose clock stands in 1970: nothing that matters goes by the clock.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox::demo::stage::Stage;
use storebox::demo::state::State;

use crate::site::{Site, executable, sale};

/// Stands between the program and the C library: the wall clock begins in 1970, all other clocks are right.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t id, struct timespec *to) {
    long failed = syscall(SYS_clock_gettime, id == CLOCK_REALTIME ? CLOCK_BOOTTIME : id, to);
    if (id == CLOCK_REALTIME) to->tv_sec %= 86400;
    return (int)failed;
}
"#;

/// A script that starts the program in 1970.
fn in_1970(folder: &Path) -> anyhow::Result<PathBuf> {
    let (source, shim) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, SHIM)?;
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).arg(&source).status()?;
    ensure!(compiled.success(), "the C compiler that this repository needs does not work");
    let script = folder.join("storebox-1970");
    let (shim, program) = (shim.to_string_lossy(), executable().to_string_lossy());
    fs::write(&script, format!("#!/bin/sh\nLD_PRELOAD='{shim}' exec '{program}' \"$@\"\n"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_clock_stands_in_1970_sells_refreshes_and_settles_in_order()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let script = in_1970(folder.path())?;
    let stage = Stage::set(&script, folder.path(), "").await?;
    let mut site = Site::of(stage, folder.path())?;
    site.import(&[("Product", r#"{"id":"1","name":"Apple","barcode":"4001"}"#)])?;
    site.await_level().await?;
    site.change(r#"{"model":"Product","record":{"id":"1","name":"Pear","barcode":"4001"}}"#)?;
    site.await_level().await?;
    site.stage.line.set_up(false);
    let mut positions = Vec::new();
    for number in 1..=20 {
        let mut sale = sale(number, "1.00");
        sale["lane"] = "ticket:1".into();
        let receipt = site.sell(&sale).await?;
        let at = receipt["at"].as_str().context("a receipt has a time")?;
        ensure!(at.starts_with("1970-01-0"), "the box believes in 1970: {receipt}");
        positions.push(receipt["position"].as_u64());
    }
    ensure!(positions.is_sorted() && positions.len() == 20, "{positions:?}");
    site.stage.store.kill();
    site.stage.store_address = site.stage.store.start().await?;
    site.stage.line.set_up(true);
    site.await_settled(20).await?;
    let status = site.stage.store.control("GET", "/v1/status", None).await?;
    ensure!(status["clock"] == "wrong", "it knows that its clock is wrong: {status}");
    ensure!(status["ready"] == true, "and works: {status}");
    ensure!(site.stage.store.ask(&["status"])?.contains("clock is wrong"), "and says so");
    let ledger = site.stage.main.control("GET", "/v1/ledger?limit=100", None).await?;
    let entries = ledger["entries"].as_array().context("the ledger lists")?;
    let by = |pointer: &str| -> Vec<_> {
        entries.iter().map(|entry| entry.pointer(pointer).and_then(Value::as_u64)).collect()
    };
    ensure!(by("/position").is_sorted() && by("/envelope/sequence").is_sorted(), "{ledger}");
    ensure!(State::of(&site.stage.main).await?.ledger.settled == 20);
    Ok(())
}
