//! The data partition as a loss of power left it, judged without starting the machine.
//!
//! Its file system is mended as a start does it, which may need no person; what the service keeps in it is taken out,
//! and the very program is started on it: it must serve, and still hold what was sold before.
//! That takes two seconds of a processor where a start of the machine takes forty.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use storebox::demo::process::Process;
use storebox_image::build::tools::Tools;
use storebox_image::layout::{Layout, Role};

use crate::start::Bench;

const SETTINGS: &str = "role = \"store\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n";
/// Where the service keeps everything, seen from the partition.
const KEPT: &str = "/lib/storebox";
/// What `e2fsck` says of a whole file system, and of one that it mended without a question.
const WHOLE: [i32; 2] = [0, 1];

/// The shop that was on this disk sells on, and has its first sale. The disk is mended.
pub(crate) async fn judge(bench: &Bench) -> anyhow::Result<()> {
    let raw = bench.folder.join("disk.raw");
    let folder = bench.folder.join("kept");
    let mut shop = Process::lay_out(&bench.storebox, &folder, crate::office::NODE, SETTINGS)?;
    take_out(&bench.tools, &raw, &shop.data())?;
    shop.start().await.context("the program on what is left")?;
    let held = shop.ask(&["outbox", "list", "--json"])?;
    ensure!(held.contains(&bench.first_sale), "the first sale is gone: {held}");
    shop.stop();
    Ok(fs::remove_dir_all(&folder)?)
}

/// The data partition of a disk as a device of this computer, as long as this lives.
struct Partition(String);

impl Partition {
    fn of(raw: &Path) -> anyhow::Result<Self> {
        let start = Layout::shipped().place(Role::Data).start.to_string();
        let words = ["--find", "--show", "--offset", &start];
        let output = Command::new("losetup").args(words).arg(raw).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "losetup: {said}");
        Ok(Self(String::from_utf8(output.stdout)?.trim().to_owned()))
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

fn take_out(tools: &Tools, raw: &Path, to: &Path) -> anyhow::Result<()> {
    let partition = Partition::of(raw)?;
    let checked = tools.command("e2fsck").args(["-f", "-p", &partition.0]).output()?;
    let said = [checked.stdout, checked.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let is_whole = checked.status.code().is_some_and(|code| WHOLE.contains(&code));
    ensure!(is_whole, "the data partition needs a person: {said}");
    // debugfs puts the folder into the one that is named.
    let parent = to.parent().context("a folder in a folder")?;
    fs::remove_dir_all(to)?;
    let order = format!("rdump {KEPT} {}", tools.inside(parent).display());
    let dumped = tools.command("debugfs").args(["-R", &order, &partition.0]).output()?;
    let said = String::from_utf8_lossy(&dumped.stderr).into_owned();
    let dumped = parent.join("storebox");
    fs::rename(&dumped, to).with_context(|| format!("debugfs: {said}"))
}
