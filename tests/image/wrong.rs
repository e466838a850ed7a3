//! A shop's file with errors: the box says so, changes nothing and waits; the next start takes a good one.

use std::fs;

use anyhow::ensure;

use crate::figures::say;
use crate::machine::Machine;
use crate::start::{Bench, PATIENCE};
use crate::{disk, shell};

const WORDS: &str = "line 3: store: must be 1 to 32 of a-z";

/// Starts a box of its own with such a file.
pub(crate) async fn file_is_refused(bench: &Bench) -> anyhow::Result<()> {
    let folder = bench.folder.join("wrong");
    fs::create_dir_all(&folder)?;
    let raw = folder.join("disk.raw");
    disk::flash(&bench.old.join("disk.img"), &raw)?;
    disk::provision_wrongly(&raw)?;
    let mut machine = Machine::start_unplugged(&bench.tools, &folder)?;
    machine.await_console(WORDS, 1, PATIENCE).await?;
    shell::ready(&machine, PATIENCE).await?;
    shell::run(&machine, "systemctl is-system-running --wait; sync", PATIENCE).ok();
    let served = shell::run(&machine, "systemctl is-active storebox.service || true", PATIENCE)?;
    ensure!(served == "inactive", "the service is {served}");
    shell::run(&machine, "test -e /run/storebox-box/waiting", PATIENCE)?;
    let kept = shell::run(&machine, "ls /var/lib/storebox-box 2>/dev/null || true", PATIENCE)?;
    ensure!(!kept.contains("etc"), "half applied: {kept}");
    // What would restart an unconfirmed start must leave a waiting box alone.
    for unit in ["storebox-failed", "storebox-deadline"] {
        shell::run(&machine, &format!("systemctl start {unit}.service"), PATIENCE)?;
    }
    shell::run(&machine, "sync", PATIENCE)?;
    drop(machine);
    let answer = disk::answer(&raw)?;
    ensure!(answer.starts_with("NOT taken in") && answer.contains(WORDS), "{answer}");
    disk::provision(&raw)?;
    let machine = Machine::start_unplugged(&bench.tools, &folder)?;
    shell::ready(&machine, PATIENCE).await?;
    let until = "until [ -e /run/storebox-box/confirmed ]; do sleep 1; done";
    shell::run(&machine, until, PATIENCE)?;
    drop(machine);
    fs::remove_dir_all(&folder)?;
    say(
        "a shop's file with errors: told on the console and the volume, nothing changed; corrected, it is taken in",
    );
    Ok(())
}
