//! Losses of power at many moments of one update, with a drive that loses what was not flushed.
//!
//! The machine is taken through the update in steps. After each it is kept as it is; then it runs on for a moment that
//! chance picks and its emulator is killed, and of what the drive had in its cache nothing or a random half survives.
//! The disk that is left is judged as in [`crate::cuts`] and [`crate::data`], and some are started again; then the
//! machine goes on from where it was kept, to the next step. So every loss is a real one, in the middle of writing, and
//! the whole update is covered without being begun anew for each.
//!
//! What was seen is written down after each loss, beside the machine that is kept; so a campaign that was ended goes on
//! in its folder, with the losses that it would have had.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use storebox_image::slot::Slot;
use storebox_tests::wait;

use crate::cuts::{Left, judge, start_from_the_cut};
use crate::drive::{Drive, Loss};
use crate::figures::{figure, say};
use crate::machine::{Machine, Parts};
use crate::start::{Bench, PATIENCE};
use crate::update::begin_from_the_stick;
use crate::{data, disk};

/// Processor seconds of emulation between two losses; an update with its restart takes about a hundred.
const STEP_S: f64 = 1.2;
/// An update that takes longer than so many steps hangs.
const STEPS_MAX: u32 = 600;

/// What was seen so far, in the campaign's folder.
const TALLY: &str = "campaign.json";

/// The machine between two losses.
struct Kept {
    /// All of it but the disk.
    state: PathBuf,
    disk: PathBuf,
}

/// What was seen.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tally {
    seed: u64,
    /// What must be on every disk.
    first_sale: String,
    losses: u32,
    left: [u32; 2],
    started: u32,
    blocks: usize,
    lost: usize,
}

impl Tally {
    /// Writes it down, in one piece.
    fn keep(&self, folder: &Path) -> anyhow::Result<()> {
        let new = folder.join("campaign.new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        Ok(fs::rename(&new, folder.join(TALLY))?)
    }
}

/// Begins the update, and takes the power away again and again until the new release has confirmed itself.
pub(crate) async fn campaign(
    bench: &mut Bench,
    new: &Path,
    losses_min: u32,
    start_every: u32,
) -> anyhow::Result<()> {
    begin_from_the_stick(bench)?;
    // An update that something holds up would be seen whole after every loss.
    bench.machine().await_console("installing release", 1, PATIENCE).await?;
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    keep_the_first(bench)?;
    let tally = Tally { seed, first_sale: bench.first_sale.clone(), ..Tally::default() };
    tally.keep(&bench.folder)?;
    go_on(bench, new, losses_min, start_every).await
}

/// Goes on after the last loss that was written down.
pub(crate) async fn go_on(
    bench: &mut Bench,
    new: &Path,
    losses_min: u32,
    start_every: u32,
) -> anyhow::Result<()> {
    let mut tally: Tally = serde_json::from_slice(&fs::read(bench.folder.join(TALLY))?)?;
    bench.first_sale.clone_from(&tally.first_sale);
    figure("seed of the losses", tally.seed);
    figure("folder of the campaign", bench.folder.display());
    while tally.losses < STEPS_MAX {
        let kept = keep_path(bench, tally.losses);
        lose(bench, &kept, new, &mut tally, start_every).await?;
        let [old, new] = tally.left;
        say(&format!("{} losses of power; old / new release: {old} / {new}", tally.losses));
        tally.keep(&bench.folder)?;
        for file in [&kept.state, &kept.disk] {
            fs::remove_file(file)?;
        }
        if is_over(bench, &keep_path(bench, tally.losses).disk)? {
            return tell(&tally, losses_min);
        }
    }
    anyhow::bail!("the update was not over after {STEPS_MAX} steps")
}

/// The next step with its loss, and what is left judged.
async fn lose(
    bench: &mut Bench,
    kept: &Kept,
    new: &Path,
    tally: &mut Tally,
    start_every: u32,
) -> anyhow::Result<()> {
    let step = tally.losses + 1;
    let (next, loss) = (keep_path(bench, step), pick(step));
    let mut rng = ChaCha8Rng::seed_from_u64(tally.seed);
    rng.set_stream(u64::from(step));
    let (held, lost) = live(bench, kept, &next, loss, &mut rng)?;
    let left = judge(bench, new).with_context(|| format!("loss {step}, {loss:?}"))?;
    if step.is_multiple_of(start_every) {
        let started = start_from_the_cut(bench, step).await;
        started.with_context(|| format!("start after loss {step}, which left {left:?}"))?;
        tally.started += 1;
    }
    let data = data::judge(bench).await;
    data.with_context(|| format!("the data after loss {step}, {loss:?}"))?;
    tally.losses = step;
    tally.left[left as usize] += 1;
    tally.blocks += held;
    tally.lost += lost;
    Ok(())
}

/// Every other loss takes all that was not flushed, the rest chance picks.
fn pick(step: u32) -> Loss {
    if step.is_multiple_of(2) { Loss::Half } else { Loss::All }
}

/// Puts the release on a stick, which is in the machine from the start.
pub(crate) fn plug_in(bench: &Bench, new: &Path) -> anyhow::Result<()> {
    disk::stick(&new.join("update.raucb"), bench.folder.join("stick.img")).map(|_| ())
}

fn keep_path(bench: &Bench, step: u32) -> Kept {
    let at = |name: &str| bench.folder.join(format!("{name}-{step}"));
    Kept { state: at("state"), disk: at("disk") }
}

/// The machine so far ran on the file itself.
fn keep_the_first(bench: &mut Bench) -> anyhow::Result<()> {
    let kept = keep_path(bench, 0);
    let state = bench.tools.inside(&kept.state);
    let machine = bench.machine();
    machine.freeze()?;
    machine.keep(&state)?;
    bench.machine = None;
    disk::copy(&bench.folder.join("disk.raw"), &kept.disk)
}

/// One life: a step further, which is kept, and a moment more, which ends in a loss of power.
fn live(
    bench: &mut Bench,
    from: &Kept,
    to: &Kept,
    loss: Loss,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<(usize, usize)> {
    let (raw, socket) = (bench.folder.join("disk.raw"), bench.folder.join("drive.sock"));
    disk::copy(&from.disk, &raw)?;
    let drive = Drive::power_on(&raw, &socket)?;
    let parts =
        Parts { plugged: true, drive: Some(&socket), state: Some(&from.state), ..Parts::default() };
    let mut machine = Machine::of(parts, &bench.tools, &bench.folder)?;
    machine.go_on()?;
    run_for(&machine, STEP_S)?;
    // Still, and everything flushed: what is kept is whole.
    machine.freeze()?;
    machine.keep(&bench.tools.inside(&to.state))?;
    disk::copy(&raw, &to.disk)?;
    machine.thaw()?;
    run_for(&machine, rng.random_range(0.0..STEP_S))?;
    // Killed.
    drop(machine);
    drive.lose_power(loss, rng)
}

fn run_for(machine: &Machine, seconds: f64) -> anyhow::Result<()> {
    let until = machine.cpu_s()? + seconds;
    let ran = wait::held_within(PATIENCE, || machine.cpu_s().map_or(true, |cpu| cpu >= until));
    ensure!(ran && machine.cpu_s().is_ok(), "the machine stands: {}", machine.last_words());
    Ok(())
}

/// Whether the new release has confirmed itself.
fn is_over(bench: &Bench, disk: &Path) -> anyhow::Result<bool> {
    let mut state = disk::state(disk, &bench.folder)?;
    Ok(state.choose().slot == Slot::B && state.record(Slot::B).confirmed)
}

fn tell(tally: &Tally, losses_min: u32) -> anyhow::Result<()> {
    figure("losses of power, the emulator killed", tally.losses);
    let [old, new] = tally.left;
    figure("of them left the old release / the new one", format!("{old} / {new}"));
    figure(
        "blocks in the drive's cache / of them lost",
        format!("{} / {}", tally.blocks, tally.lost),
    );
    figure("data mended, served from, sale there", tally.losses);
    figure("started again, confirmed, sales there", tally.started);
    ensure!(tally.losses >= losses_min, "{losses_min} were asked for: take smaller steps");
    ensure!(tally.lost > 0, "the drive lost nothing: its cache was always empty");
    ensure!(tally.left[Left::New as usize] > 0, "the new release was never what starts");
    say("every loss of power left a slot that starts with a whole release");
    Ok(())
}
