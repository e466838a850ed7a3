//! Updates: to a release that works, to one that does not, to an older one.

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::{Context, ensure};
use storebox_image::slot::Slot;

use crate::figures::{figure, say};
use crate::start::{Bench, PATIENCE, mb};
use crate::{disk, serving, shell};

/// Makes the release on the stick visible to RAUC as well.
const STICK: &str = "mkdir -p /run/trial && { mountpoint -q /run/trial || \
    mount -o ro \"$(ls /dev/disk/by-id/usb-* | head -n 1)\" /run/trial; }";
const FILE: &str = "/run/trial/update.raucb";

/// Has the release on the stick installed by a person's word: by itself the box installs none while sales wait for a
/// head office, and most trials have none.
pub(crate) fn begin_from_the_stick(bench: &mut Bench) -> anyhow::Result<()> {
    let order = format!("{STICK} && systemd-run --collect storebox-image box update {FILE}");
    bench.shell(&order).map(|_| ())
}

/// Installs over the wire what its slots do not hold yet, restarts into it and back out of a disk
/// that is full.
pub(crate) async fn to_the_next(bench: &mut Bench, new: &Path) -> anyhow::Result<()> {
    let before = version(bench)?;
    fill_the_disk(bench).await?;
    let (url, counts) = serving::serve(&new.join("update.raucb")).await?;
    let from = bench.machine().wall_s();
    let command = format!("rauc install {url}");
    let installed = {
        let machine = bench.machine.as_ref().context("the power is on")?;
        let folder = machine.folder().to_owned();
        let ask = move || shell::at(&folder, &command, PATIENCE);
        tokio::task::spawn_blocking(ask).await??
    };
    ensure!(installed.0 == 0, "rauc install: {}", installed.1);
    let took = bench.machine().wall_s() - from;
    figure("install over the wire (s)", format!("{took:.1}"));
    let bytes = counts.bytes.load(Ordering::Relaxed);
    figure("over the wire of a small release (MB)", mb(bytes));
    figure("requests of it", counts.requests.load(Ordering::Relaxed));
    restart_into(bench, Slot::B).await?;
    let after = version(bench)?;
    ensure!(before != after, "still {after}");
    say(&format!("updated from {before} to {after}; the sale of before is still held"));
    refuse_the_older(bench).await
}

async fn restart_into(bench: &mut Bench, slot: Slot) -> anyhow::Result<()> {
    let starts = bench.machine().console().matches(&starting(slot)).count();
    bench.shell("systemctl reboot")?;
    bench.machine().await_console(&starting(slot), starts + 1, PATIENCE).await?;
    bench.served().await?;
    shell::ready(bench.machine(), PATIENCE).await?;
    bench.confirmed().await?;
    still_sells(bench).await
}

fn starting(slot: Slot) -> String {
    format!("storebox: starting slot {slot}")
}

/// What was sold before is there, and more can be sold.
pub(crate) async fn still_sells(bench: &mut Bench) -> anyhow::Result<()> {
    let first = bench.first_sale.clone();
    let till = bench.till.as_mut().context("a till")?;
    till.find(&first).await?;
    till.sell().await.map(|_| ())
}

fn version(bench: &mut Bench) -> anyhow::Result<String> {
    bench.shell(". /usr/lib/os-release; echo $IMAGE_VERSION")
}

/// A full data disk keeps neither the shop from selling nor the box from updating.
async fn fill_the_disk(bench: &mut Bench) -> anyhow::Result<()> {
    let left = bench.shell("df -k --output=avail /var | tail -1")?;
    let command = format!("fallocate -l {}k /var/lib/full 2>&1; true", left.trim());
    bench.shell(&command)?;
    bench.shell("dd if=/dev/zero of=/var/lib/fuller bs=64k 2>/dev/null; true")?;
    bench.till.as_mut().context("a till")?.sell().await?;
    say("a full data disk: the shop still sells");
    bench.shell("rm -f /var/lib/full /var/lib/fuller; sync").map(|_| ())
}

/// The release of before, from a file: older than what runs.
async fn refuse_the_older(bench: &mut Bench) -> anyhow::Result<()> {
    let (url, _) = serving::serve(&bench.old.join("update.raucb")).await?;
    let folder = bench.machine().folder().to_owned();
    let command = format!(
        "timeout 300 storebox-image box update --no-restart {url}; storebox-image box history"
    );
    let ask = move || shell::at(&folder, &command, PATIENCE);
    let (_, said) = tokio::task::spawn_blocking(ask).await??;
    ensure!(said.contains("is older than"), "an older release was not refused: {said}");
    say("an older release is refused");
    Ok(())
}

/// A release whose service does not run, from a stick: the one before comes back by itself.
pub(crate) async fn to_a_broken_one(bench: &mut Bench, broken: &Path) -> anyhow::Result<()> {
    let before = version(bench)?;
    bench.shell("sync; poweroff -f >/dev/null 2>&1 &")?;
    disk::stick(&broken.join("update.raucb"), bench.folder.join("stick.img"))?;
    bench.power_on()?;
    bench.served().await?;
    shell::ready(bench.machine(), PATIENCE).await?;
    bench.confirmed().await?;
    let starts = bench.machine().console().matches("storebox: starting slot").count();
    begin_from_the_stick(bench)?;
    bench.machine().await_console("is installed and starts next", 1, PATIENCE).await?;
    // Three tries of the broken one, and the one before.
    bench.machine().await_console("storebox: starting slot", starts + 4, PATIENCE * 3).await?;
    bench.served().await?;
    shell::ready(bench.machine(), PATIENCE).await?;
    bench.confirmed().await?;
    ensure!(version(bench)? == before, "another release came back");
    still_sells(bench).await?;
    let history = bench.shell("storebox-image box history")?;
    ensure!(history.contains("fell-back"), "{history}");
    let again = format!("{STICK} && storebox-image box update {FILE}");
    let (_, said) = shell::attempt(bench.machine(), &again, PATIENCE)?;
    ensure!(said.contains("came back when it was tried"), "tried again: {said}");
    say(&format!("a broken release from a stick: {before} came back after three tries"));
    Ok(())
}
