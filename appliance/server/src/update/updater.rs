//! The task that brings releases to a box: it looks, decides, and does the next step.
//!
//! What decides is [`storebox_proto::release::decide`]; here are its eyes and hands.
//! Blocks that have arrived stay on the disk, so that a cut line or a restart costs what was under way at most.

mod fetch;
mod tell;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use storebox_proto::ids::{Hash32, NodeId, SiteId};
use storebox_proto::release::{Decision, Hold, Past, Release, Situation, Version, decide, hold};
use storebox_proto::rings::Seat;
use storebox_proto::sync::pace::Window;
use storebox_proto::time::ClockConfidence;
use tokio_util::sync::CancellationToken;

use super::folder::{self, Folder};
use super::hawkbit::{self, HawkBit};
use super::machine::Machine;
use super::{Blocks, BlocksError, offered, rings};
use crate::env;
use crate::logging::chain;
use crate::masterdata::Masterdata;
use crate::pause::Pause;
use crate::replica::sources::Sources;
use crate::status::{Failed, UpdateLine, UpdateStatus, read_slots};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// As long as the note for the steward is locked it counts; one that could not be locked counts by its age, for an
/// hour, and is written anew before.
const NOTE_EVERY: Duration = Duration::from_secs(20 * 60);

/// What the bytes of a release have done that are not what was announced; the steward never says so.
const BROKEN: &str = "broken";

/// How many transactions head office has not settled; nothing where there is no head office.
pub type Unsettled = Box<dyn Fn() -> BoxFuture<'static, Option<u64>> + Send + Sync>;

/// Who the box is and where things are.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name.
    pub node: NodeId,
    /// Its site.
    pub site: SiteId,
    /// What says which system this is.
    pub release_file: PathBuf,
    /// The folder of the steward.
    pub folder: PathBuf,
    /// What the steward tells.
    pub slots_file: PathBuf,
    /// When the shop is closed.
    pub window: Window,
    /// So many unsettled transactions hold nothing up.
    pub unsettled_max: u64,
}

/// The task.
pub struct Updater {
    options: Options,
    folder: Folder,
    blocks: Blocks,
    sources: Sources,
    masterdata: Masterdata,
    unsettled: Unsettled,
    /// The server that takes the place of the chain's own releases.
    hawkbit: Option<HawkBit>,
    told: Arc<Mutex<Option<UpdateStatus>>>,
    /// The release whose bundle was found whole in this life.
    whole: Option<String>,
    /// What cannot be put together, and why: it is not fetched again until it is offered anew.
    broken: BTreeMap<Hash32, (Version, String)>,
    noted: Option<(Instant, Option<String>)>,
    /// The note as long as it counts.
    holding: Option<File>,
    fetched_bytes: u64,
}

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Blocks(#[from] BlocksError),
    #[error("use the folder of updates")]
    Folder(#[from] io::Error),
    #[error(transparent)]
    HawkBit(#[from] hawkbit::HawkBitError),
    #[error("fetch")]
    Fetch(#[from] crate::replica::source::SourceError),
    #[error("the index names {named} bytes, the release has {signed}")]
    Size { named: u64, signed: u64 },
}

/// What was seen at one look.
struct Seen {
    machine: Machine,
    releases: Vec<Release>,
    /// What became of releases, the newest first.
    lines: Vec<UpdateLine>,
    /// Whether the running slot has proved itself.
    is_confirmed: bool,
    rings: Arc<storebox_proto::rings::Rings>,
    unsettled: Option<u64>,
    free_bytes: u64,
    is_closed: Option<bool>,
}

impl Updater {
    /// A box that fetches through these tiers.
    pub fn new(
        options: Options,
        blocks: Blocks,
        sources: Sources,
        masterdata: Masterdata,
        unsettled: Unsettled,
    ) -> Self {
        let folder = Folder::new(&options.folder);
        Self {
            options,
            folder,
            blocks,
            sources,
            masterdata,
            unsettled,
            hawkbit: None,
            told: Arc::default(),
            whole: None,
            broken: BTreeMap::new(),
            noted: None,
            holding: None,
            fetched_bytes: 0,
        }
    }

    /// Takes releases from this server instead.
    #[must_use]
    pub fn served_by(self, hawkbit: Option<HawkBit>) -> Self {
        Self { hawkbit, ..self }
    }

    /// Looks after releases until the box stops; dropped at an await, it goes on where it was at the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.look_for_ever()).await;
    }

    async fn look_for_ever(&mut self) {
        let mut pause = Pause::new(PAUSE_MIN, PAUSE_MAX);
        loop {
            let wait = match self.look().await {
                Ok(()) => {
                    pause.reset();
                    LOOK_EVERY
                }
                Err(error) => {
                    let why = chain(&error);
                    tracing::info!(error = why, "a release does not come further");
                    if let Some(told) = lock(&self.told).as_mut() {
                        told.why = why;
                    }
                    pause.after_failure()
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn look(&mut self) -> Result<(), StepError> {
        let Some(seen) = self.see().await? else {
            *lock(&self.told) = None;
            return Ok(());
        };
        let past: Vec<Past<'_>> = seen
            .lines
            .iter()
            .rev()
            .map(|line| Past { version: &line.version, event: &line.event })
            .collect();
        let whole = self.find_whole(&seen.releases).await?;
        let (node, site) = (self.options.node.clone(), self.options.site.clone());
        let now = Situation {
            board: &seen.machine.board,
            running: seen.machine.running,
            seat: Seat { node: &node, site: &site },
            rings: &seen.rings,
            releases: &seen.releases,
            past: &past,
            whole: whole.as_deref(),
            is_closed: seen.is_closed,
            unsettled: seen.unsettled,
            unsettled_max: self.options.unsettled_max,
            free_bytes: seen.free_bytes,
            have_bytes: 0,
        };
        // A disk that takes no note is no reason to leave a bundle with the steward.
        let noted = self.note(hold(&now));
        let (decided, looked) = self.decide(&now).await;
        let decision = match (&noted, &decided) {
            (Err(_), Decision::Install(release)) => Decision::Hold(release, Hold::Steward),
            (Ok(()) | Err(_), _) => decided,
        };
        let failed = self.failures(&seen, &past);
        let acted = if matches!(decision, Decision::Fetch(_)) {
            // It takes its time, and whoever looks meanwhile hears of it.
            self.say(&seen, &decision, failed).await;
            self.act(&decision).await
        } else {
            // What is told has happened: who hears that a bundle is there, or gone, finds it so.
            let acted = self.act(&decision).await;
            self.say(&seen, &become_of(decision, acted.is_ok()), failed).await;
            acted
        };
        noted.and(looked).and(acted)
    }

    async fn say(&mut self, seen: &Seen, decision: &Decision<'_>, failed: Vec<Failed>) {
        self.answer(seen, decision, &failed).await;
        self.tell(seen, decision, failed);
    }

    /// Decides, and looks closer where room is short; what goes wrong there changes nothing.
    async fn decide<'a>(&mut self, now: &Situation<'a>) -> (Decision<'a>, Result<(), StepError>) {
        let first = decide(now);
        let Decision::Hold(release, Hold::Room { .. }) = first else { return (first, Ok(())) };
        match self.look_closer(now, release).await {
            Ok(second) => (second, Ok(())),
            // A line that is down says nothing of the disk.
            Err(StepError::Fetch(error)) => {
                tracing::debug!(error = chain(&error), "what is here of a release is not known");
                (first, Ok(()))
            }
            Err(error) => (first, Err(error)),
        }
    }

    /// What is here of a release needs no room, and what no release needs any more may go.
    async fn look_closer<'a>(
        &mut self,
        now: &Situation<'a>,
        release: &Release,
    ) -> Result<Decision<'a>, StepError> {
        // hawkBit's goes on where it stopped; ours is what a lost power left, and is written over.
        let part = self.folder.part_bytes(&release.id);
        if self.hawkbit.is_some() {
            // It comes as one file, and not in blocks.
            let have_bytes = release.bytes.saturating_add(part);
            return Ok(decide(&Situation { have_bytes, ..*now }));
        }
        let (blocks, mut free_bytes) = (self.blocks.clone(), now.free_bytes);
        if blocks.index(release.index).is_none() {
            // The index itself has to find room.
            let offered: Vec<Hash32> = now.releases.iter().map(|release| release.index).collect();
            let swept = tokio::task::spawn_blocking(move || {
                blocks.sweep(&offered)?;
                blocks.free_bytes()
            });
            free_bytes = swept.await.expect("a panic ends the process before it gets here")?;
        }
        let index = self.index(release).await?;
        let have_bytes = self.blocks.have(&index).saturating_add(part);
        let second = decide(&Situation { have_bytes, free_bytes, ..*now });
        if !matches!(second, Decision::Hold(_, Hold::Room { .. })) {
            return Ok(second);
        }
        let (blocks, name) = (self.blocks.clone(), release.index);
        let freed = tokio::task::spawn_blocking(move || {
            blocks.keep_alone(name)?;
            blocks.free_bytes()
        });
        let free_bytes = freed.await.expect("a panic ends the process before it gets here")?;
        Ok(decide(&Situation { have_bytes, free_bytes, ..*now }))
    }

    async fn see(&mut self) -> Result<Option<Seen>, StepError> {
        let Some(machine) = Machine::read(&self.options.release_file) else { return Ok(None) };
        if !self.folder.is_there() {
            return Ok(None);
        }
        let slots = read_slots(&self.options.slots_file);
        let is_confirmed = slots.as_ref().is_some_and(|slots| {
            slots.slots.iter().any(|slot| slot.name == slots.running && slot.confirmed)
        });
        let mut lines = slots.map(|slots| slots.updates).unwrap_or_default();
        let is_begun = |version: Option<&str>| is_begun(&lines, machine.running, version);
        let releases = match &mut self.hawkbit {
            Some(hawkbit) => hawkbit.offered(&machine.board, is_begun).await,
            None => offered(&self.masterdata),
        };
        let broken = releases.iter().filter_map(|release| {
            let (version, why) = self.broken.get(&release.index)?.clone();
            let (event, version) = (BROKEN.to_owned(), version.to_string());
            Some(UpdateLine { at: 0, event, version, why })
        });
        lines.splice(0..0, broken);
        Ok(Some(Seen {
            machine,
            releases,
            lines,
            is_confirmed,
            rings: rings(&self.masterdata),
            unsettled: (self.unsettled)().await,
            free_bytes: self.blocks.free_bytes()?,
            is_closed: self.is_closed(),
        }))
    }

    /// Whether the shop is closed; no hour of a wrong clock says so.
    fn is_closed(&self) -> Option<bool> {
        let window = &self.options.window;
        let is_known = window.is_always() || env::clock_confidence() == ClockConfidence::Plausible;
        is_known.then(|| window.is_open(env::timestamp()))
    }

    /// The release whose bundle lies in the folder; after a start, each is read once.
    async fn find_whole(&mut self, releases: &[Release]) -> Result<Option<String>, StepError> {
        if let Some(id) = &self.whole
            && self.folder.has(id)
        {
            return Ok(Some(id.clone()));
        }
        self.whole = None;
        for release in releases.iter().filter(|release| self.folder.has(&release.id)) {
            let (folder, id, digest) = (self.folder.clone(), release.id.clone(), release.digest);
            let sum = if self.hawkbit.is_some() { hawkbit::sum } else { folder::sum };
            let check = tokio::task::spawn_blocking(move || folder.check(&id, digest, sum));
            if check.await.expect("a panic ends the process before it gets here")? {
                self.whole = Some(release.id.clone());
            }
        }
        Ok(self.whole.clone())
    }

    /// Tells the steward what is in the way of any update.
    fn note(&mut self, why: Option<Hold>) -> Result<(), StepError> {
        let why = why.map(|why| why.to_string());
        let now = env::instant();
        let is_fresh = |(at, noted): &(Instant, Option<String>)| {
            // Nothing has to be repeated where nothing is in the way.
            *noted == why && (why.is_none() || now.saturating_duration_since(*at) < NOTE_EVERY)
        };
        if !self.noted.as_ref().is_some_and(is_fresh) {
            self.holding = self.folder.hold(why.as_deref())?;
            self.noted = Some((now, why));
        }
        Ok(())
    }

    async fn act(&mut self, decision: &Decision<'_>) -> Result<(), StepError> {
        if let (Some(hawkbit), false) = (&mut self.hawkbit, matches!(decision, Decision::Fetch(_)))
        {
            hawkbit.let_go();
        }
        match decision {
            // What came before the start may be what is wanted.
            Decision::Idle(_) if self.hawkbit.as_ref().is_some_and(|one| !one.has_answered()) => {}
            Decision::Idle(_) => {
                self.whole = None;
                self.folder.clear(None)?;
            }
            Decision::Fetch(release) => {
                self.folder.clear(Some(&release.id))?;
                self.fetch(release).await?;
            }
            Decision::Hold(release, Hold::Restart) => self.folder.clear(Some(&release.id))?,
            Decision::Hold(release, _) => {
                self.folder.clear(Some(&release.id))?;
                self.folder.take_back(&release.id)?;
            }
            Decision::Install(release) => {
                self.folder.clear(Some(&release.id))?;
                self.folder.hand_over(&release.id, &release.approval)?;
            }
        }
        Ok(())
    }
}

/// What a decision came to: what the steward could not be given is held.
fn become_of(decision: Decision<'_>, is_done: bool) -> Decision<'_> {
    match decision {
        Decision::Install(release) if !is_done => Decision::Hold(release, Hold::Steward),
        Decision::Idle(_) | Decision::Fetch(_) | Decision::Hold(..) | Decision::Install(_) => {
            decision
        }
    }
}

/// Whether the steward has begun with a release of this version, or with any, so that it cannot be taken back.
fn is_begun(lines: &[UpdateLine], running: Version, version: Option<&str>) -> bool {
    let last = lines.iter().find(|line| version.is_none_or(|version| line.version == version));
    let is_written =
        last.is_some_and(|line| matches!(line.event.as_str(), "installing" | "installed"));
    is_written || version.is_some_and(|version| version == running.to_string())
}

/// What is behind the lock is whole even if a thread died while holding it.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
