//! The campaign of faults in its short form: each fault for a moment, on real processes.
//!
//! `tests/campaign` is the long one.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use storebox_tests::{skip, wait};

/// The campaign ends itself before that.
const PATIENCE: Duration = Duration::from_secs(960);
/// Of what it leaves on purpose, the names begin like this, and go on with its number.
const NAMES: &str = "sbfault-";

fn has_rights() -> anyhow::Result<bool> {
    let id = Command::new("id").arg("-u").output()?;
    if id.stdout == b"0\n" {
        return Ok(true);
    }
    skip::<()>("the campaign makes networks and disks of its own, which needs root");
    Ok(false)
}

/// Starts it; what it tells goes to a file.
fn start(words: &[&str], told: &Path) -> anyhow::Result<Child> {
    let out = File::create(told)?;
    let complaint = out.try_clone()?;
    let mut campaign = Command::new(env!("CARGO_BIN_EXE_storebox-campaign"));
    campaign.args(words).stdin(Stdio::null()).stdout(out).stderr(complaint);
    Ok(campaign.spawn()?)
}

fn ended(campaign: &mut Child) -> anyhow::Result<ExitStatus> {
    let mut status = None;
    wait::held_within(PATIENCE, || {
        status = campaign.try_wait().ok().flatten();
        status.is_some()
    });
    if status.is_none() {
        campaign.kill()?;
        campaign.wait()?;
    }
    status.with_context(|| format!("the campaign goes on after {PATIENCE:?}"))
}

/// What the campaign with this number has running, by the arguments it gave.
fn running(number: u32) -> anyhow::Result<Vec<String>> {
    let name = format!("{NAMES}{number}-");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(&name) {
            found.push(words);
        }
    }
    Ok(found)
}

/// Names of folders, networks and bounds of it.
fn left(number: u32) -> Vec<String> {
    let name = format!("{NAMES}{number}-");
    let temporary = std::env::temp_dir();
    let places = ["/run/netns", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"].map(Path::new);
    let entries = places.into_iter().chain([&*temporary]).filter_map(|at| fs::read_dir(at).ok());
    let paths = entries.flatten().flatten().map(|entry| entry.path().display().to_string());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts: Vec<String> = mounts.lines().map(str::to_owned).collect();
    paths.chain(mounts).filter(|place| place.contains(&name)).collect()
}

#[test]
fn whatever_goes_wrong_nothing_accepted_is_lost_or_doubled_and_the_shop_is_back_by_itself()
-> anyhow::Result<()> {
    if !has_rights()? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let told = folder.path().join("told");
    let mut campaign = start(&["--short"], &told)?;
    let status = ended(&mut campaign);
    let told = fs::read_to_string(told)?;
    eprintln!("{told}");
    let status = status?;
    ensure!(status.success(), "the campaign: {status}");
    ensure!(told.contains("everything held"), "it came to its end");
    Ok(())
}

#[test]
fn a_campaign_that_is_killed_takes_all_with_it_but_files_and_the_next_one_takes_those()
-> anyhow::Result<()> {
    if !has_rights()? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let told = folder.path().join("told");
    let mut campaign = start(&["--short", "--only", "head office cut"], &told)?;
    let number = campaign.id();
    let shop_is_open = || running(number).is_ok_and(|all| all.len() >= 4);
    let is_open = wait::held_within(PATIENCE, shop_is_open);
    campaign.kill()?;
    campaign.wait()?;
    ensure!(is_open, "two boxes, head office and the lines: {:?}", running(number)?);
    let is_gone = || running(number).is_ok_and(|all| all.is_empty());
    ensure!(wait::held_within(PATIENCE, is_gone), "{:?}", running(number)?);
    let files = left(number);
    let temporary = std::env::temp_dir().display().to_string();
    let are_files =
        files.iter().all(|left| left.starts_with(&temporary) || left.starts_with("/sys/fs/cgroup"));
    ensure!(!files.is_empty() && are_files, "{files:?}");
    let mut next = start(&["--short", "--only", "nothing at all"], &told)?;
    ended(&mut next)?;
    ensure!(left(number).is_empty(), "{:?}", left(number));
    Ok(())
}
