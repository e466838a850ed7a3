//! Brings this node's replicas up to date and keeps them so: drives one fetch machine per feed.
//!
//! Readers never wait for it and never see half of anything: a generation is shown when it is complete and verified.
//! Feeds are fetched at the same time and switched one after the other, in the order in which they depend on each
//! other; one that is failing or slow does not hold up the others for long.
//! The author's own node runs it too, fed from its own board: what head office reads is a replica like any other.
//!
//! Dropped at an await, it loses requests under way and nothing else: what has arrived whole is on disk.

mod lane;
mod load;
mod open;

use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use storebox_proto::feed::registry::ESTATE;
use storebox_proto::ids::{FeedId, Hash32, NodeId, SiteId};
use storebox_proto::sync::decide::{Decision, Occasion, Past, Policy, decide, is_due};
use storebox_proto::sync::fetch::{Load, Mode, Phase, Request, Wish};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::lane::Lane;
use self::load::Carried;
use super::board::Board;
use super::history::History;
use super::readers::Readers;
use super::source::SourceError;
use super::sources::Sources;
use super::status::Statuses;
use super::sweep::Sweeper;
use crate::blocking::beside;
use crate::db::{self, FeedStore, FoldError, SegmentStore, StoreError};
use crate::env;
use crate::logging::chain;

pub(in crate::replica) use load::{PageError, page};
pub use open::RefresherError;

/// Wishes that may wait to be looked at; more than people and timers make.
const COMMANDS_MAX: usize = 32;
/// How often timers are looked at and objects swept.
const TICK: Duration = Duration::from_secs(30);

/// When to ask the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// All the time: the source answers when there is something new.
    Follow,
    /// By the decision table, at the start and by its periods.
    Timed(Policy),
}

/// What a node decides about its refreshes.
#[derive(Clone)]
pub struct Options {
    /// Authors that are believed.
    pub keys: Vec<VerifyingKey>,
    /// The box and its store, whose excerpt is replicated; nothing: everything is.
    pub member: Option<(NodeId, SiteId)>,
    /// When to ask.
    pub schedule: Schedule,
    /// How long a source may be silent; an object has more time, by its size.
    pub page_timeout: Duration,
    /// Objects asked for at the same time.
    pub in_flight_max: usize,
    /// A snapshot as fetched.
    pub snapshot_bytes_max: u64,
    /// How long an object stays that nothing names; nothing if the author on this node sweeps.
    pub grace: Option<Duration>,
    /// Any number that differs between nodes.
    pub seed: u64,
    /// The stores' own settings.
    pub store: db::Options,
}

impl Options {
    /// The usual settings for a node that believes these authors.
    pub fn new(keys: Vec<VerifyingKey>) -> Self {
        Self {
            keys,
            member: None,
            schedule: Schedule::Follow,
            page_timeout: Duration::from_secs(30),
            in_flight_max: 8,
            snapshot_bytes_max: 8 << 30,
            grace: Some(Duration::from_secs(3600)),
            seed: 0,
            store: db::Options::default(),
        }
    }
}

/// What somebody wants of the refresher.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Command {
    /// A refresh of one feed, or of all.
    Refresh { feed: Option<FeedId>, wish: Wish },
    /// Segments in service are damaged.
    Repair { feed: FeedId, segments: Vec<Hash32> },
}

/// The refresher is busy with earlier wishes, or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many wishes wait already")]
pub struct Busy;

/// How others speak to the refresher; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    statuses: watch::Receiver<Statuses>,
}

impl Handle {
    /// Asks for a refresh of one feed, or of all.
    pub fn refresh(&self, feed: Option<FeedId>, wish: Wish) -> Result<(), Busy> {
        self.commands.try_send(Command::Refresh { feed, wish }).map_err(|_| Busy)
    }

    /// Says that segments in service cannot be read.
    pub fn repair(&self, feed: FeedId, segments: Vec<Hash32>) -> Result<(), Busy> {
        self.commands.try_send(Command::Repair { feed, segments }).map_err(|_| Busy)
    }

    /// What every feed is doing.
    pub fn statuses(&self) -> Statuses {
        self.statuses.borrow().clone()
    }

    /// Follows what every feed is doing.
    pub fn watch(&self) -> watch::Receiver<Statuses> {
        self.statuses.clone()
    }
}

/// What came of something that was started.
enum Done {
    Head { feed: FeedId, result: Result<Option<Bytes>, SourceError> },
    Asked,
    Object { feed: FeedId, name: Hash32, result: Result<Bytes, SourceError> },
    Written { feed: FeedId, names: Vec<Hash32>, error: Option<StoreError> },
    Loaded { feed: FeedId, store: Box<FeedStore>, carried: Carried, load: Load },
    Redefined { feed: FeedId, store: Box<FeedStore>, result: Result<(), FoldError> },
    Swept { sweeper: Sweeper, error: Option<String> },
}

enum Event {
    Shutdown,
    Command(Option<Command>),
    Done(Box<Done>),
    Due,
    Tick,
}

/// The task; made by [`Refresher::open`].
pub struct Refresher {
    sources: Sources,
    segments: SegmentStore,
    board: Board,
    readers: Readers,
    history: History,
    options: Options,
    dir: std::path::PathBuf,
    lanes: Vec<Lane>,
    /// Whether a box without masterdata still has to hear from the estate which excerpt is its own.
    is_unassigned: bool,
    commands: mpsc::Receiver<Command>,
    statuses: watch::Sender<Statuses>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    sweeper: Option<Sweeper>,
}

impl Refresher {
    /// Runs until it is told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.on_time(Occasion::Login);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.start_work();
            match self.next_event(&shutdown, &mut tick).await {
                Event::Shutdown => return,
                Event::Command(Some(command)) => self.command(command),
                Event::Command(None) => return,
                Event::Done(done) => self.done(*done),
                Event::Due => {}
                Event::Tick => self.on_tick(),
            }
            let now = env::instant();
            for lane in &mut self.lanes {
                lane.machine.handle_timeout(now);
            }
        }
    }

    async fn next_event(
        &mut self,
        shutdown: &CancellationToken,
        tick: &mut tokio::time::Interval,
    ) -> Event {
        let due = self.lanes.iter().filter_map(Lane::due).min();
        let sleep = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => Event::Shutdown,
            Some(done) = self.work.next() => Event::Done(Box::new(done)),
            command = self.commands.recv() => Event::Command(command),
            () = sleep => Event::Due,
            _ = tick.tick() => Event::Tick,
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Refresh { feed, wish } => {
                self.sources.tiers().hurry();
                let wanted = |lane: &&mut Lane| feed.as_ref().is_none_or(|feed| lane.feed == *feed);
                self.lanes
                    .iter_mut()
                    .filter(wanted)
                    .for_each(|lane| lane.machine.handle_wish(wish));
            }
            Command::Repair { feed, segments } => {
                if let Some(lane) = self.lane(&feed) {
                    tracing::warn!(%feed, segments = segments.len(), "fetching damaged segments again");
                    lane.damage(segments);
                }
            }
        }
    }

    fn on_tick(&mut self) {
        self.on_time(Occasion::Timer);
        let fetching = self.lanes.iter().any(|lane| lane.machine.progress().is_some());
        if !fetching && let Some(mut sweeper) = self.sweeper.take() {
            let (segments, board) = (self.segments.clone(), self.board.clone());
            self.work.push(Box::pin(beside(move || {
                let swept = sweeper.sweep(&segments, &board, env::instant());
                Done::Swept { sweeper, error: swept.err().map(|error| chain(&error)) }
            })));
        }
    }

    /// What the decision table says at the start and by the clock, where the source is not followed.
    fn on_time(&mut self, occasion: Occasion) {
        let Schedule::Timed(policy) = self.options.schedule else { return };
        let now = env::timestamp();
        for lane in &mut self.lanes {
            let (any, full) = self.history.last_good(&lane.feed);
            let last = lane.status(env::instant()).last.filter(|last| last.error.is_some());
            let failed = |full: bool| {
                last.as_ref().is_some_and(|last| (last.mode != Mode::Incremental) == full)
            };
            let past = Past {
                first_use_or_cache_lost: lane.machine.position().is_none(),
                last_full_failed: failed(true),
                last_incremental_failed: failed(false),
                full_due: is_due(policy.full_minutes, full, now),
                incremental_due: is_due(policy.incremental_minutes, any.max(lane.good_at), now),
            };
            // Readers are not blocked, so a full refresh of the box need not wait for a login.
            let whole =
                policy.full_minutes.is_some() && past.full_due || past.first_use_or_cache_lost;
            match decide(&policy, &past, occasion) {
                Decision::Full { .. } => lane.machine.handle_wish(Wish::Full),
                _ if whole && lane.machine.is_resting() => lane.machine.handle_wish(Wish::Full),
                Decision::Incremental { .. } => lane.machine.handle_wish(Wish::Incremental),
                Decision::Nothing => {}
            }
        }
    }

    fn done(&mut self, done: Done) {
        let now = env::instant();
        match done {
            Done::Asked => {}
            Done::Head { feed, result } => self.with(&feed, |lane| lane.head(result, now)),
            Done::Object { feed, name, result } => {
                self.with(&feed, |lane| lane.object(name, result, now));
            }
            Done::Written { feed, names, error } => {
                self.with(&feed, |lane| lane.written(&names, error.as_ref(), now));
            }
            Done::Loaded { feed, store, carried, load } => {
                let board = self.board.clone();
                let mut switched = false;
                self.with(&feed, |lane| {
                    switched = lane.loaded(*store, carried, &load, &board, now)
                });
                if switched && feed.as_str() == ESTATE {
                    if self.readers.look_for_models() {
                        self.redefine();
                    }
                    self.assign();
                }
            }
            Done::Redefined { feed, store, result } => {
                if let Err(error) = result {
                    tracing::warn!(%feed, error = %chain(&error), "new models have no indexes yet");
                }
                self.with(&feed, |lane| lane.take_back(*store));
            }
            Done::Swept { sweeper, error } => {
                if let Some(error) = error {
                    tracing::warn!(error, "old segments cannot be swept");
                }
                self.sweeper = Some(sweeper);
            }
        }
    }

    fn lane(&mut self, feed: &FeedId) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.feed == *feed)
    }

    fn with(&mut self, feed: &FeedId, act: impl FnOnce(&mut Lane)) {
        if let Some(lane) = self.lane(feed) {
            act(lane);
        }
    }

    /// Tells what happened and starts everything that the machines ask for.
    fn start_work(&mut self) {
        let (now, wall) = (env::instant(), env::timestamp());
        let mut held_up = false;
        for at in 0..self.lanes.len() {
            let lane = &mut self.lanes[at];
            let holds = self.is_unassigned && at > 0 && lane.machine.position().is_none();
            while !holds && let Some(request) = lane.machine.poll_request(now) {
                self.work.extend(ask(&self.sources, lane, request));
            }
            if !lane.arrived.is_empty() && !lane.is_writing {
                self.work.push(write(&self.segments, lane));
            }
            if let Some(defs) = lane.defs.take_if(|_| lane.store.is_some())
                && let Some(store) = lane.store.take()
            {
                self.work.push(redefine(lane.feed.clone(), store, defs));
            }
            if lane.may_load(held_up, now)
                && let Some(store) = lane.store.take()
                && let Some((load, signed)) = lane.machine.poll_load()
            {
                lane.loading = Some(signed);
                self.work.push(carry_out(lane.feed.clone(), store, self.segments.clone(), load));
            }
            lane.tell(&self.history, now, wall);
            held_up |= matches!(lane.machine.phase(), Phase::Fetching | Phase::Loading);
        }
        if self.is_unassigned && self.lanes[0].is_heard {
            self.is_unassigned = false;
            return self.start_work();
        }
        let statuses: Statuses =
            self.lanes.iter().map(|lane| (lane.feed.clone(), lane.status(now))).collect();
        self.statuses.send_if_modified(|old| {
            let changed = *old != statuses;
            *old = statuses;
            changed
        });
    }

    /// Turns every feed to the extent that the estate says.
    fn assign(&mut self) {
        let Some((node, site)) = &self.options.member else { return };
        for lane in &mut self.lanes {
            if let Some(extent) = self.readers.extent(&lane.feed, node, site) {
                lane.turn(extent);
            }
        }
    }

    /// Models came as masterdata: every store learns them, and a feed that is new gets a lane.
    fn redefine(&mut self) {
        let registry = self.readers.registry();
        for feed in registry.feeds() {
            let defs = registry.of_feed(&feed).cloned().collect();
            match self.lane(&feed) {
                Some(lane) => lane.defs = Some(defs),
                None => match self.open_lane(&feed) {
                    Ok(lane) => self.lanes.push(lane),
                    Err(error) => tracing::error!(%feed, error = %chain(&error), "new feed"),
                },
            }
        }
    }
}

/// Sends a request; an object that is still under way is waited for and not sent for twice.
fn ask(sources: &Sources, lane: &mut Lane, request: Request) -> Option<BoxFuture<'static, Done>> {
    let (sources, feed, asked) = (sources.clone(), lane.feed.clone(), lane.extent.clone());
    match request {
        Request::Head { after, wait } => {
            std::mem::take(&mut lane.asking).cancel();
            let asking = lane.asking.clone();
            Some(Box::pin(async move {
                let head = sources.head(&asked, after, wait);
                match asking.run_until_cancelled(head).await {
                    Some(result) => Done::Head { feed, result },
                    None => Done::Asked,
                }
            }))
        }
        Request::Object { name, bytes } => lane.under_way.insert(name).then(|| -> BoxFuture<_> {
            Box::pin(async move {
                let result = sources.object(&asked, &name, bytes).await;
                Done::Object { feed, name, result }
            })
        }),
    }
}

fn write(segments: &SegmentStore, lane: &mut Lane) -> BoxFuture<'static, Done> {
    lane.is_writing = true;
    let (segments, feed) = (segments.clone(), lane.feed.clone());
    let arrived = std::mem::take(&mut lane.arrived);
    Box::pin(beside(move || {
        let written = segments.put_many(arrived.iter().map(|(name, bytes)| (*name, bytes)));
        let names = arrived.into_iter().map(|(name, _)| name).collect();
        Done::Written { feed, names, error: written.err() }
    }))
}

fn redefine(
    feed: FeedId,
    mut store: FeedStore,
    defs: Vec<storebox_proto::feed::ModelDef>,
) -> BoxFuture<'static, Done> {
    Box::pin(beside(move || {
        let result = store.redefine(defs);
        Done::Redefined { feed, store: Box::new(store), result }
    }))
}

fn carry_out(
    feed: FeedId,
    mut store: FeedStore,
    segments: SegmentStore,
    load: Load,
) -> BoxFuture<'static, Done> {
    Box::pin(beside(move || {
        let carried = load::carry_out(&mut store, &segments, load.clone());
        Done::Loaded { feed, store: Box::new(store), carried, load }
    }))
}

#[cfg(test)]
mod tests;
