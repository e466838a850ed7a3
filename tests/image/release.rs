//! A release on its way from head office into a box: offered with its approval, fetched by blocks while the shop sells,
//! held until the shop is closed, installed in the night by the timer, confirmed, told upwards.
//!
//! The machine is a shop's own: it was let in by the shop's file, and what it knows of releases comes over its wire from
//! the real program at the other end. What is sold before, meanwhile and afterwards must arrive there exactly once.
//! The machine's clock begins in the evening and is set forward, for no trial waits for the night.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox_image::slot::Slot;
use storebox_tests::wait;

use crate::figures::{figure, say};
use crate::office::Office;
use crate::shop::Till;
use crate::start::{Bench, PATIENCE, mb};
use crate::{disk, shell};

/// What `image/trial` has built.
const RUNNING: &str = "1.0.0";
const NEW: &str = "1.1.0";
const NEXT: &str = "1.2.0";
const SALES: u32 = 5;
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The shop with its till, head office, and what was sold.
struct Shop<'a> {
    bench: &'a mut Bench,
    office: Office,
    till: Till,
    sold: Vec<String>,
}

/// The release of `new` is offered, installed and confirmed; that of `next` is fetched.
pub(crate) async fn from_head_office(
    bench: &mut Bench,
    new: &Path,
    next: &Path,
) -> anyhow::Result<()> {
    let office = Office::open(&bench.storebox, &bench.folder.join("office")).await?;
    disk::provision_for(&bench.folder.join("disk.raw"), &office.key, &office.token)?;
    bench.power_on_at(&evening()?)?;
    bench.served().await?;
    shell::ready(bench.machine(), PATIENCE).await?;
    let till = bench.first_sale().await?;
    bench.confirmed().await?;
    let sold = vec![bench.first_sale.clone()];
    let mut shop = Shop { bench, office, till, sold };
    shop.sell("before the release").await?;
    shop.is_fetched_and_held(new).await?;
    shop.is_installed_in_the_night().await?;
    shop.confirms_itself_and_tells().await?;
    shop.the_next_costs_what_is_new(next).await
}

impl Shop<'_> {
    /// Some sales; head office has them, and everything before, exactly once.
    async fn sell(&mut self, when: &str) -> anyhow::Result<()> {
        for _ in 0..SALES {
            self.sold.push(self.till.sell().await?);
        }
        self.office.has_exactly(&self.sold).await?;
        say(&format!("sold {when}: all {} sales are at head office, once", self.sold.len()));
        Ok(())
    }

    /// In the evening.
    async fn is_fetched_and_held(&mut self, new: &Path) -> anyhow::Result<()> {
        say(&self.office.offer(new, NEW)?);
        let from = self.bench.machine().wall_s();
        let held = self.await_update("the release is fetched", |update| {
            update["wanted"] == NEW && update["state"] == "held"
        });
        let held = held.await?;
        let took = self.bench.machine().wall_s() - from;
        ensure!(held["why"] == "it waits until the shop is closed", "{held}");
        figure("from its offer to being whole on the box (s)", format!("{took:.0}"));
        self.fetched("the first release, by blocks from head office (MB)", &held)?;
        self.told_at_head_office(NEW, "held: it waits until the shop is closed").await?;
        // The steward's own timer would not touch it either.
        let said = self.bench.shell("storebox-image box update")?;
        ensure!(said.contains("nothing to install"), "{said}");
        let told = "no update now: it waits until the shop is closed";
        self.bench.machine().await_console(told, 1, PATIENCE).await?;
        say("the shop is open: fetched, whole, held, and not installed by the steward either");
        self.sell("while it waits").await
    }

    /// Past midnight the service hands it over; past two the timer has the steward install it.
    async fn is_installed_in_the_night(&mut self) -> anyhow::Result<()> {
        let starts = self.bench.machine().console().matches(&starting(Slot::B)).count();
        self.bench.shell("date -u -s 'tomorrow 00:10'")?;
        self.await_update("it is handed over", |update| update["state"] == "handed-over").await?;
        let handed = self.bench.shell("ls /var/lib/storebox-updates")?;
        for ending in ["raucb", "approval"] {
            ensure!(handed.contains(&format!("storebox-x86-64-{NEW}.{ending}")), "{handed}");
        }
        ensure!(!handed.contains("hold"), "{handed}");
        let from = self.bench.machine().wall_s();
        self.bench.shell("date -u -s 02:22")?;
        let machine = self.bench.machine();
        machine.await_console(&format!("installing release {NEW}"), 1, PATIENCE).await?;
        self.sold.push(self.till.sell().await?);
        let machine = self.bench.machine();
        machine.await_console("is installed and starts next", 1, PATIENCE).await?;
        let took = machine.wall_s() - from;
        figure("installed by the steward over D-Bus (s)", format!("{took:.0}"));
        machine.await_console(&starting(Slot::B), starts + 1, PATIENCE).await?;
        say("its timer had it installed in the night, approved by two of three, and restarted");
        Ok(())
    }

    async fn confirms_itself_and_tells(&mut self) -> anyhow::Result<()> {
        self.bench.served().await?;
        shell::ready(self.bench.machine(), PATIENCE).await?;
        self.bench.confirmed().await?;
        let version = self.bench.shell(". /usr/lib/os-release; echo $IMAGE_VERSION")?;
        ensure!(version == NEW, "{version} runs");
        let history = self.bench.shell("storebox-image box history")?;
        ensure!(history.contains("confirmed"), "{history}");
        let runs = |view: &Value| view["running"] == serde_json::json!([crate::office::NODE]);
        self.office.await_word(NEW, "head office hears that it runs", runs).await?;
        let said = self.office.said().await?;
        ensure!(said["release"]["running"] == NEW, "{said}");
        say(&format!("head office shows: {}", self.office.list()?.replace('\n', ";")));
        let first = self.sold[0].clone();
        self.till.find(&first).await?;
        self.sell(&format!("on {NEW}, which came in place of {RUNNING}")).await
    }

    /// The blocks of the one before are still there.
    async fn the_next_costs_what_is_new(&mut self, next: &Path) -> anyhow::Result<()> {
        self.bench.shell("date -u -s 'tomorrow 20:00'")?;
        say(&self.office.offer(next, NEXT)?);
        let held = self.await_update("the next is fetched", |update| {
            update["wanted"] == NEXT && update["state"] == "held"
        });
        let held = held.await?;
        self.fetched("the next, a small one, by blocks (MB)", &held)?;
        self.told_at_head_office(NEXT, "held: it waits until the shop is closed").await
    }

    async fn told_at_head_office(&self, version: &str, word: &str) -> anyhow::Result<()> {
        let tells = |view: &Value| view["coming"][0]["word"] == word;
        self.office.await_word(version, "head office hears of it", tells).await
    }

    fn fetched(&self, what: &str, update: &Value) -> anyhow::Result<()> {
        let bytes = |name: &str| update[name].as_u64().with_context(|| update.to_string());
        let (fetched, whole) = (bytes("fetchedBytes")?, bytes("bytes")?);
        figure(what, format!("{} of {}", mb(fetched), mb(whole)));
        Ok(())
    }

    /// Waits until the box says this of releases.
    async fn await_update(
        &mut self,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let until = self.bench.machine().wall_s() + PATIENCE.as_secs_f64();
        loop {
            let status = self.bench.shell("storebox status --json")?;
            let status: Value = serde_json::from_str(&status)?;
            let update = status["update"].clone();
            if holds(&update) {
                return Ok(update);
            }
            ensure!(self.bench.machine().wall_s() < until, "{what}: {update}");
            wait::moment(LOOK_EVERY).await;
        }
    }
}

/// Tomorrow's, so that no clock of the box has to go back.
fn evening() -> anyhow::Result<String> {
    let words = ["-u", "-d", "tomorrow 20:00", "+%Y-%m-%dT%H:%M:%S"];
    let said = Command::new("date").args(words).output().context("start date")?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}

fn starting(slot: Slot) -> String {
    format!("storebox: starting slot {slot}")
}
