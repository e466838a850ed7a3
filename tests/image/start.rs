//! From power-on to a sale: what the shop sees of a new box.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use storebox_image::build::tools::Tools;

use crate::figures::{figure, say};
use crate::machine::{Machine, Parts};
use crate::shop::{self, Till};
use crate::{disk, shell};

/// Emulated, beside other work, a start takes minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1200);
const SHORT: Duration = Duration::from_secs(120);
/// Enough to see what a sale writes.
const SALES: u32 = 200;

/// What the tries share.
pub(crate) struct Bench {
    pub(crate) tools: Tools,
    pub(crate) folder: PathBuf,
    pub(crate) old: PathBuf,
    pub(crate) machine: Option<Machine>,
    pub(crate) till: Option<Till>,
    /// A sale of the first hour, to be found ever after.
    pub(crate) first_sale: String,
    pub(crate) storebox: PathBuf,
}

impl Bench {
    /// Flashes a disk and lays it out.
    pub(crate) async fn open(cache: &Path, old: &Path, storebox: &Path) -> anyhow::Result<Self> {
        let number = std::process::id().to_string();
        let folder = Tools::find(cache)?.root().join("var/trial").join(number);
        fs::create_dir_all(&folder)?;
        disk::flash(&old.join("disk.img"), &folder.join("disk.raw"))?;
        disk::provision(&folder.join("disk.raw"))?;
        let size = |name: &str| fs::metadata(old.join(name)).map(|metadata| metadata.len());
        figure("update (MB)", mb(size("update.raucb")?));
        figure("kernel and root of a slot (MB)", mb(size("kernel.img")? + size("rootfs.img")?));
        Self::again(cache, old, storebox, &folder)
    }

    /// What was laid out before.
    pub(crate) fn again(
        cache: &Path,
        old: &Path,
        storebox: &Path,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            tools: Tools::find(cache)?,
            folder: folder.to_owned(),
            old: old.to_owned(),
            machine: None,
            till: None,
            first_sale: String::new(),
            storebox: storebox.to_owned(),
        })
    }

    /// Switches the machine on.
    pub(crate) fn power_on(&mut self) -> anyhow::Result<()> {
        self.machine = None;
        self.machine = Some(Machine::start(&self.tools, &self.folder)?);
        Ok(())
    }

    /// The same; its clock shows this.
    pub(crate) fn power_on_at(&mut self, clock: &str) -> anyhow::Result<()> {
        let parts = Parts { plugged: true, clock: Some(clock), ..Parts::default() };
        self.machine = Some(Machine::of(parts, &self.tools, &self.folder)?);
        Ok(())
    }

    pub(crate) fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("the power is on")
    }

    pub(crate) fn shell(&mut self, command: &str) -> anyhow::Result<String> {
        shell::run(self.machine(), command, PATIENCE)
    }

    /// Waits for HTTP; says why not with the console.
    pub(crate) async fn served(&mut self) -> anyhow::Result<()> {
        let served = shop::served(PATIENCE).await;
        served.with_context(|| self.machine().last_words())
    }

    /// The start of a new box, to its confirmation.
    pub(crate) async fn start_and_sell(&mut self) -> anyhow::Result<()> {
        self.power_on()?;
        self.served().await?;
        let (wall, cpu) = (self.machine().wall_s(), self.machine().cpu_s()?);
        figure("power-on to HTTP 200, first start (s)", format!("{wall:.1}"));
        figure("processor seconds of it", format!("{cpu:.1}"));
        self.found_from_another_host()?;
        shell::ready(self.machine(), PATIENCE).await?;
        self.sell().await?;
        self.confirmed().await?;
        let wall = self.machine().wall_s();
        figure("power-on to confirmed (s)", format!("{wall:.1}"));
        self.look_around()
    }

    fn found_from_another_host(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.storebox);
        let output = command.args(["discover", "--seconds", "20", "--json"]).output()?;
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(found.contains("trial-1"), "not found over mDNS: {found}");
        say("found over mDNS by a second host");
        Ok(())
    }

    /// The first till, and its first sale.
    pub(crate) async fn first_sale(&mut self) -> anyhow::Result<Till> {
        let token = self.shell("storebox terminal add till-1")?;
        let token = token.lines().last().unwrap_or_default().trim().to_owned();
        let mut till = Till::new(token)?;
        self.first_sale = till.sell().await?;
        till.find(&self.first_sale).await?;
        say("a ticket was sold and is held");
        Ok(till)
    }

    async fn sell(&mut self) -> anyhow::Result<()> {
        let mut till = self.first_sale().await?;
        let before = self.sectors_written()?;
        for _ in 0..SALES {
            till.sell().await?;
        }
        let after = self.sectors_written()?;
        let per_thousand = (after - before) * 512 * 1000 / u64::from(SALES);
        figure("written to the disk per 1,000 sales (MB)", mb(per_thousand));
        self.till = Some(till);
        Ok(())
    }

    fn sectors_written(&mut self) -> anyhow::Result<u64> {
        let stat = self.shell("sync; cat /sys/block/vda/stat")?;
        let written = stat.split_whitespace().nth(6).context("read what a disk did")?;
        Ok(written.parse()?)
    }

    /// Waits until this start has proved itself.
    pub(crate) async fn confirmed(&mut self) -> anyhow::Result<()> {
        let command = "until [ -e /run/storebox-box/confirmed ]; do sleep 1; done";
        let waited = self.shell(command);
        if waited.is_err() {
            let log = shell::run(self.machine(), "journalctl -b -n 60 -o cat --no-pager", SHORT);
            say(&log.unwrap_or_default());
        }
        waited.map(|_| ())
    }

    fn look_around(&mut self) -> anyhow::Result<()> {
        let memory = self.shell("grep MemAvailable /proc/meminfo")?;
        let kb: u64 = memory.split_whitespace().nth(1).context("read meminfo")?.parse()?;
        figure("memory left of 512 MB (MB)", kb / 1024);
        let rss = self.shell("grep VmRSS /proc/$(pidof storebox)/status")?;
        let kb: u64 = rss.split_whitespace().nth(1).context("read the status")?.parse()?;
        figure("resident memory of the service (MB)", kb / 1024);
        let var = self.shell("df -m --output=size /var | tail -1")?;
        let mib: u64 = var.trim().parse()?;
        ensure!(mib > 2500, "the data partition has {mib} MiB of a disk of 4 GiB");
        figure("data partition on a 4 GiB disk (MiB)", mib);
        let failed = self.shell("systemctl list-units --failed --plain --no-legend")?;
        ensure!(failed.is_empty(), "failed units: {failed}");
        let mounts = self.shell("findmnt -no SOURCE,OPTIONS /")?;
        ensure!(
            mounts.starts_with("/dev/mapper/root") || mounts.starts_with("/dev/dm-0"),
            "{mounts}"
        );
        let logins = self.shell("cut -d: -f2 /etc/shadow | sort -u | tr '\\n' ' '")?;
        let locked = logins.split_whitespace().all(|hash| hash.starts_with(['*', '!']));
        ensure!(locked, "somebody can log in: {logins}");
        let announced = self.machine().console().contains("http://10.77.0.2:8080/");
        ensure!(
            announced,
            "the console does not tell the address: {}",
            self.machine().last_words()
        );
        self.shell("sync")?;
        let answer = disk::answer_to_the_shop(&self.folder.join("disk.raw"))?;
        ensure!(answer.starts_with("Taken in."), "{answer}");
        say("the shop's file was taken in and wiped; the root is verified; nobody can log in");
        Ok(())
    }

    /// Takes everything away.
    pub(crate) fn close(mut self) {
        self.machine = None;
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn mb(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}
