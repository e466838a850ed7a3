//! The task that brings releases to a box: it looks, decides, and does the next step.
//!
//! What decides is [`storebox_proto::release::decide`]; here are its eyes and hands.
//! Blocks that have arrived stay on the disk, so that a cut line or a restart costs what was under way at most.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use storebox_proto::ids::{FeedId, Hash32, NodeId, SiteId};
use storebox_proto::release::{
    Block, Decision, Hold, Index, Past, Plan, Release, Situation, decide, gave_up, hold,
};
use storebox_proto::rings::Seat;
use storebox_proto::sync::pace::Window;
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
use crate::status::{Status, UpdateLine, UpdateStatus, read_slots};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After so long of fetching it is looked whether the release is still wanted.
const SLICE: Duration = Duration::from_secs(15);
/// Blocks that are asked for at once.
const AT_ONCE: usize = 4;
/// Blocks that are written together.
const BATCH: usize = 16;
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The note for the steward is believed for an hour; it is written anew before.
const NOTE_EVERY: Duration = Duration::from_secs(20 * 60);

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
    broken: BTreeMap<Hash32, String>,
    noted: Option<(Instant, Option<String>)>,
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
    lines: Vec<UpdateLine>,
    rings: Arc<storebox_proto::rings::Rings>,
    unsettled: Option<u64>,
    free_bytes: u64,
    is_closed: bool,
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
            fetched_bytes: 0,
        }
    }

    /// Takes releases from this server instead.
    #[must_use]
    pub fn served_by(self, hawkbit: Option<HawkBit>) -> Self {
        Self { hawkbit, ..self }
    }

    /// Tells the panel what was tried, what happened and why.
    pub fn report(&self) -> impl Fn(&mut Status) + Send + Sync + 'static {
        let told = Arc::clone(&self.told);
        move |status| status.update = lock(&told).clone()
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
        self.note(hold(&now))?;
        let mut decision = decide(&now);
        if let Decision::Hold(release, Hold::Room { .. }) = decision {
            let index = self.blocks.index(release.index);
            let have_bytes = index.map_or(0, |index| self.blocks.have(&index));
            decision = decide(&Situation { have_bytes, ..now });
        }
        let gave_up_on = seen.releases.iter().filter(|release| {
            release.board == seen.machine.board && gave_up(&past, release.version).is_some()
        });
        let failed: Vec<_> = gave_up_on.map(|release| self.failure(release, &seen.lines)).collect();
        self.answer(&seen, &decision, &failed).await;
        self.tell(&seen.machine, &decision, failed);
        self.act(decision).await
    }

    /// Tells the server what became of what it wants.
    async fn answer(
        &mut self,
        seen: &Seen,
        decision: &Decision<'_>,
        failed: &[crate::status::Failed],
    ) {
        let (Some(hawkbit), Some(wanted)) = (&mut self.hawkbit, seen.releases.first()) else {
            return;
        };
        let failure = failed.iter().find(|one| one.version == wanted.version.to_string());
        let (word, why) = match decision {
            _ if wanted.version == seen.machine.running => ("confirmed", String::new()),
            _ if failure.is_some() => {
                ("failed", failure.map(|one| one.why.clone()).unwrap_or_default())
            }
            Decision::Idle(why) => ("failed", why.to_string()),
            Decision::Fetch(_) => ("proceeding", String::new()),
            Decision::Hold(_, why) => ("held", why.to_string()),
            Decision::Install(_) => ("handed-over", String::new()),
        };
        // What it does not hear now it is told at the next look.
        if let Err(error) = hawkbit.tell(word, &why).await {
            tracing::info!(error = chain(&error), "hawkBit is not told");
        }
    }

    /// What became of a release that is not tried again, in the steward's words.
    fn failure(&self, release: &Release, lines: &[UpdateLine]) -> crate::status::Failed {
        let version = release.version.to_string();
        let ended = ["fell-back", "refused", "failed"];
        let line = lines
            .iter()
            .find(|line| line.version == version && ended.contains(&line.event.as_str()));
        let (event, why) =
            line.map_or_else(Default::default, |line| (line.event.clone(), line.why.clone()));
        crate::status::Failed { version, event, why }
    }

    async fn see(&mut self) -> Result<Option<Seen>, StepError> {
        let Some(machine) = Machine::read(&self.options.release_file) else { return Ok(None) };
        if !self.folder.is_there() {
            return Ok(None);
        }
        let slots = read_slots(&self.options.slots_file);
        let mut releases = match &mut self.hawkbit {
            Some(hawkbit) => hawkbit.offered(&machine.board).await,
            None => offered(&self.masterdata),
        };
        releases.retain(|release| !self.broken.contains_key(&release.index));
        Ok(Some(Seen {
            machine,
            releases,
            lines: slots.map(|slots| slots.updates).unwrap_or_default(),
            rings: rings(&self.masterdata),
            unsettled: (self.unsettled)().await,
            free_bytes: self.blocks.free_bytes()?,
            is_closed: self.options.window.is_open(env::timestamp()),
        }))
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
            self.folder.hold(why.as_deref())?;
            self.noted = Some((now, why));
        }
        Ok(())
    }

    fn tell(&self, machine: &Machine, decision: &Decision<'_>, failed: Vec<crate::status::Failed>) {
        let (state, release, why) = match decision {
            Decision::Idle(why) => ("idle", None, why.to_string()),
            Decision::Fetch(release) => ("fetching", Some(*release), String::new()),
            Decision::Hold(release, why) => ("held", Some(*release), why.to_string()),
            Decision::Install(release) => ("handed-over", Some(*release), String::new()),
        };
        let mut told = lock(&self.told);
        let wanted = release.map(|release| release.version.to_string());
        let before = told.take().filter(|before| before.wanted == wanted);
        let have_bytes = before.as_ref().map_or(0, |before| before.have_bytes);
        let trouble = self.hawkbit.as_ref().and_then(HawkBit::trouble);
        let why = trouble.map_or(why, str::to_owned);
        // A line that is down is still down until the next block arrives.
        let why = match before {
            Some(before) if state == "fetching" => before.why,
            Some(_) | None => why,
        };
        *told = Some(UpdateStatus {
            running: machine.running.to_string(),
            board: machine.board.clone(),
            state: state.to_owned(),
            wanted,
            why,
            bytes: release.map_or(0, |release| release.bytes),
            have_bytes,
            fetched_bytes: self.fetched_bytes,
            failed,
        });
    }

    async fn act(&mut self, decision: Decision<'_>) -> Result<(), StepError> {
        match decision {
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

    /// Fetches what is missing, for a while; what has arrived stays.
    async fn fetch(&mut self, release: &Release) -> Result<(), StepError> {
        if let Some(hawkbit) = &self.hawkbit {
            let (told, fetched) = (Arc::clone(&self.told), &mut self.fetched_bytes);
            let part = self.folder.part(&release.id);
            let piece = |bytes, have| {
                *fetched += bytes;
                if let Some(told) = lock(&told).as_mut() {
                    (told.have_bytes, told.fetched_bytes) = (have, *fetched);
                    told.why.clear();
                }
            };
            hawkbit.fetch(release, &part, piece).await?;
            self.folder.complete(&release.id)?;
            self.whole = Some(release.id.clone());
            return Ok(());
        }
        let index = self.index(release).await?;
        self.blocks.turn_to(release.index)?;
        let blocks = self.blocks.clone();
        let mut plan = Plan::new(&index, &self.options.node, |name| blocks.contains(name));
        if plan.is_empty() {
            return self.assemble(release, index).await;
        }
        let end = env::instant() + SLICE;
        let (sources, mut under_way) = (self.sources.clone(), FuturesUnordered::new());
        let (mut arrived, mut failed) = (Vec::new(), None);
        loop {
            while under_way.len() < AT_ONCE && failed.is_none() && env::instant() < end {
                let Some(block) = plan.next_block() else { break };
                under_way.push(ask(sources.clone(), block));
            }
            let Some((block, answer)) = under_way.next().await else { break };
            match answer {
                Ok(bytes) => {
                    self.fetched_bytes += bytes.len() as u64;
                    arrived.push((block.name, bytes));
                }
                Err(error) => failed = Some(error),
            }
            if arrived.len() >= BATCH || under_way.is_empty() {
                let batch = std::mem::take(&mut arrived);
                let blocks = self.blocks.clone();
                let put = tokio::task::spawn_blocking(move || blocks.put(&batch));
                put.await.expect("a panic ends the process before it gets here")?;
                self.progress(&index, failed.is_none());
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn progress(&self, index: &Index, is_well: bool) {
        let have_bytes = self.blocks.have(index);
        if let Some(told) = lock(&self.told).as_mut() {
            (told.have_bytes, told.fetched_bytes) = (have_bytes, self.fetched_bytes);
            if is_well {
                told.why.clear();
            }
        }
    }

    async fn index(&mut self, release: &Release) -> Result<Index, StepError> {
        if let Some(index) = self.blocks.index(release.index) {
            return Ok(index);
        }
        let object = Block { name: release.index, bytes: release.index_bytes };
        let (_, bytes) = ask(self.sources.clone(), object).await;
        let bytes = bytes?;
        self.fetched_bytes += bytes.len() as u64;
        let read = Index::decode(&bytes).map_err(BlocksError::from).map_err(StepError::from);
        let index = read.and_then(|index| match index.bytes() == release.bytes {
            true => Ok(index),
            false => Err(StepError::Size { named: index.bytes(), signed: release.bytes }),
        });
        match index {
            Ok(index) => {
                self.blocks.put(&[(release.index, bytes)])?;
                Ok(index)
            }
            Err(error) => Err(self.give_up(release, error)),
        }
    }

    async fn assemble(&mut self, release: &Release, index: Index) -> Result<(), StepError> {
        let (blocks, signed, to) =
            (self.blocks.clone(), release.digest, self.folder.whole(&release.id));
        let put = tokio::task::spawn_blocking(move || blocks.assemble(&index, signed, &to));
        match put.await.expect("a panic ends the process before it gets here") {
            Ok(()) => {
                tracing::info!(release = release.id, "a release is here, whole");
                self.whole = Some(release.id.clone());
                Ok(())
            }
            Err(error @ BlocksError::Whole { .. }) => Err(self.give_up(release, error.into())),
            Err(error) => Err(error.into()),
        }
    }

    fn give_up(&mut self, release: &Release, error: StepError) -> StepError {
        let why = chain(&error);
        tracing::error!(release = release.id, error = why, "a release makes no whole");
        self.broken.insert(release.index, why);
        error
    }
}

/// One object of a release, from whoever is nearest; no head names it, so nobody is blamed who lacks it.
async fn ask(
    sources: Sources,
    block: Block,
) -> (Block, Result<Bytes, crate::replica::source::SourceError>) {
    let feed: FeedId = "releases".parse().expect("a literal that keeps the rule for feeds");
    let answer = sources.object(&feed, &block.name, block.bytes).await;
    (block, answer)
}

/// What is behind the lock is whole even if a thread died while holding it.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
