//! A full disk under a whole box: sales go on from the reserve, are then refused, and come back by themselves.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, ensure};
use serde_json::Value;
use storebox::demo::state::State;
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, sale, told};

const SIZE: &str = "size=96m";
/// Sales that fit into the reserve of a few MB, many times over.
const SALES_MAX: u64 = 20_000;

/// A small disk of its own; gone with its owner.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing if this machine lets nobody mount.
    fn mount(at: &Path) -> anyhow::Result<Option<Self>> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(at).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Ok(Some(Self(at.to_owned())));
        }
        if std::env::var("CI").is_ok_and(|ci| ci == "true") {
            bail!("a full disk cannot be tried: mounting a small one needs root");
        }
        eprintln!("not run: mounting a small disk needs root");
        Ok(None)
    }

    /// Fills all space that is left, and returns the file that does it.
    fn fill(&self, number: u64) -> anyhow::Result<PathBuf> {
        let path = self.0.join(format!("filler-{number}"));
        let mut file = File::create(&path)?;
        for size in [1 << 20, 4096, 1] {
            let part = vec![b'x'; size];
            while file.write_all(&part).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// How many sales were taken, and why no more.
async fn sell_until_refused(site: &Site) -> anyhow::Result<(u64, Value)> {
    let mut accepted = 0;
    loop {
        let mut sale = sale(accepted + 1, "1.00");
        sale["payload"]["note"] = "x".repeat(20_000).into();
        let (status, answer) = told(site.post("/v1/transactions", &sale)).await?;
        if status != 200 {
            ensure!(accepted > 50, "the reserve holds more than {accepted} sales");
            return Ok((accepted, answer));
        }
        accepted += 1;
        ensure!(accepted < SALES_MAX, "the disk never gets full");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_sales_into_the_reserve_then_refuses_and_recovers_without_a_restart()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(disk) = SmallDisk::mount(folder.path())? else { return Ok(()) };
    let settings = "[outbox]\nreserve_bytes = 4194304\n";
    let mut site = Site::open(folder.path(), settings).await?;
    site.import(&[("Product", r#"{"id":"1","name":"Apple","barcode":"4001"}"#)])?;
    site.await_level().await?;
    site.stage.line.set_up(false);
    let filler = disk.fill(1)?;
    let (accepted, problem) = sell_until_refused(&site).await?;
    ensure!(problem["status"] == 507 && problem["code"] == "storage_full", "{problem}");
    let (status, product) =
        told(site.get("/v1/models/Product/records?field=barcode&value=4001")).await?;
    ensure!(status == 200 && product["records"][0]["id"] == "1", "{product}");
    let state = State::of(&site.stage.store).await?;
    ensure!(state.outbox.waiting == accepted, "what was refused is not here: {:?}", state.outbox);

    fs::remove_file(filler)?;
    wait::until("sales are accepted again", PATIENCE, || async {
        let (status, _) = told(site.post("/v1/transactions", &sale(accepted + 1, "1.00"))).await?;
        Ok(status == 200)
    })
    .await?;
    site.stage.check_alive()?;
    site.stage.line.set_up(true);
    site.await_settled(accepted + 1).await?;
    let ledger: Value = site.stage.main.control("GET", "/v1/status", None).await?;
    ensure!(ledger["ledger"]["settled"] == accepted + 1, "{ledger}");
    site.change(r#"{"model":"Product","record":{"id":"1","name":"Pear","barcode":"4001"}}"#)?;
    site.await_level().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_no_box_from_starting_however_often_it_crashes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("store-367");
    fs::create_dir_all(&home)?;
    let Some(disk) = SmallDisk::mount(&home)? else { return Ok(()) };
    let mut site = Site::open(folder.path(), "[outbox]\nreserve_bytes = 4194304\n").await?;
    site.import(&[("Product", r#"{"id":"1","name":"Apple","barcode":"4001"}"#)])?;
    site.await_level().await?;
    let reserve = home.join("data/reserve");
    let is_kept = || reserve.metadata().is_ok_and(|file| file.len() > 4 << 20);
    wait::until("room to start is kept", PATIENCE, || async { Ok(is_kept()) }).await?;
    site.stage.line.set_up(false);
    let mut fillers = vec![disk.fill(0)?];
    let (accepted, _) = sell_until_refused(&site).await?;
    for crash in 1..=8 {
        site.stage.store.kill();
        // Somebody else takes what a process gives back that ends.
        fillers.push(disk.fill(crash)?);
        if crash % 2 == 0 {
            // So a start leaves it whose power is cut before it serves.
            File::options().write(true).open(&reserve)?.set_len(0)?;
        }
        site.stage.store_address = site.stage.store.start().await?;
        let path = "/v1/models/Product/records?field=barcode&value=4001";
        let (status, product) = told(site.get(path)).await?;
        ensure!(status == 200 && product["records"][0]["id"] == "1", "{crash}: {product}");
        wait::until("the room is taken again", PATIENCE, || async { Ok(is_kept()) }).await?;
    }
    site.stage.line.set_up(true);
    site.await_settled(accepted).await?;
    site.sell(&sale(accepted + 1, "1.00")).await?;
    site.await_settled(accepted + 1).await?;
    fillers.into_iter().try_for_each(fs::remove_file)?;
    site.change(r#"{"model":"Product","record":{"id":"1","name":"Pear","barcode":"4001"}}"#)?;
    site.await_level().await
}
