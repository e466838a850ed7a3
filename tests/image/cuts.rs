//! Power cuts at many moments of one update.
//!
//! The machine is held still at moments that are spread over the whole update, from the first byte
//! to the confirmation of the new release. What is on its disk then is what a loss of power leaves.
//! Of every such disk it is proved that the boot loader starts a slot that holds a whole release;
//! of some of them, by starting it in a machine of its own, that the shop sells again and still
//! holds what it sold before.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use storebox_image::slot::Slot;
use storebox_tests::wait;

use crate::figures::{figure, say};
use crate::machine::Machine;
use crate::shell;
use crate::start::{Bench, PATIENCE};
use crate::{disk, serving};

/// How long the update takes, from its first byte to the confirmation of the new release.
const WHOLE: Duration = Duration::from_secs(90);

/// What a cut left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Left {
    Old,
    New,
}

/// Runs the update once and cuts it so many times.
pub(crate) async fn campaign(
    bench: &mut Bench,
    new: &Path,
    moments: u32,
    start_every: u32,
) -> anyhow::Result<()> {
    let (url, _) = serving::serve(&new.join("update.raucb")).await?;
    let folder = bench.machine().folder().to_owned();
    bench.shell("modprobe -a nbd dm-verity loop squashfs; true")?;
    let update = format!("rauc install {url} && sync && systemctl reboot");
    let updating = tokio::task::spawn_blocking(move || shell::at(&folder, &update, PATIENCE));
    let pause = WHOLE / moments.max(1);
    let mut counted = [0_u32; 2];
    let mut number = 0;
    while number < moments {
        wait::moment(pause).await;
        number += 1;
        bench.machine().freeze()?;
        let left = judge(bench, new).with_context(|| format!("cut {number}"))?;
        counted[left as usize] += 1;
        if number % start_every == 0 {
            let started = start_from_the_cut(bench, number).await;
            started.with_context(|| format!("start after cut {number}, which left {left:?}"))?;
        }
        bench.machine().thaw()?;
    }
    figure("power cuts", moments);
    figure(
        "of them left the old release / the new one",
        format!("{} / {}", counted[0], counted[1]),
    );
    let _ = updating.await?;
    bench.machine().await_console("storebox: starting slot B", 1, PATIENCE).await?;
    bench.served().await?;
    shell::ready(bench.machine(), PATIENCE).await?;
    bench.confirmed().await?;
    say("every cut left a slot that starts with a whole release");
    Ok(())
}

/// The slot that would start holds a whole release.
pub(crate) fn judge(bench: &mut Bench, new: &Path) -> anyhow::Result<Left> {
    let raw = bench.folder.join("disk.raw");
    let choice = disk::state(&raw, &bench.folder)?.choose();
    let (release, left) = match choice.slot {
        Slot::A => (bench.old.clone(), Left::Old),
        Slot::B => (new.to_owned(), Left::New),
    };
    let whole = disk::holds(&raw, choice.slot, &release)?;
    ensure!(whole, "slot {} would start and holds no whole release", choice.slot);
    Ok(left)
}

/// Starts a copy of the disk, as a box does when the power is back.
pub(crate) async fn start_from_the_cut(bench: &mut Bench, number: u32) -> anyhow::Result<()> {
    let folder = bench.folder.join("cut");
    std::fs::create_dir_all(&folder)?;
    disk::copy(&bench.folder.join("disk.raw"), &folder.join("disk.raw"))?;
    // The wire has one end: the copy is asked over its own serial port.
    let machine = Machine::start_unplugged(&bench.tools, &folder)?;
    shell::ready(&machine, PATIENCE).await?;
    let until = "until [ -e /run/storebox-box/confirmed ]; do sleep 1; done";
    shell::run(&machine, until, PATIENCE)?;
    let held = shell::run(&machine, "storebox outbox list --json", PATIENCE)?;
    ensure!(held.contains(&bench.first_sale), "cut {number}: the first sale is gone");
    say(&format!("cut {number}: started again in {:.0} s", machine.wall_s()));
    drop(machine);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
