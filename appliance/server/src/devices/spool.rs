//! The spool of the box: print jobs and openings of drawers, durable before anything leaves the box.
//!
//! The policy (which job prints next, and which never again) is `storebox_peripherals::spool`; this gives it a disk.
//! What a job prints is kept beside its record until it is old or room is needed; its key is remembered much longer,
//! so that it never prints again.
//! What lets somebody in (a slip) is never written down: it is in memory until its job has ended, cannot be looked at or
//! printed again, and a restart takes a job that still waited back, because another slip is a command away.

mod keeper;
mod limits;
mod stored;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use storebox_peripherals::drawer;
use storebox_peripherals::printer::Verdict;
use storebox_peripherals::spool::{Key, Record, Request};
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::Problem;
use tokio::sync::{mpsc, oneshot, watch};

use super::rendering::Source;
use crate::journal::{self, Journal, RealDisk};
use keeper::{Command, Keeper, Replay};
pub use stored::{Act, Decision, Entry, Job};

/// Why the spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolOpenError {
    /// The journal cannot be opened.
    #[error("open the journal of the spool")]
    Journal(#[from] journal::OpenError),
    /// The system gives no thread.
    #[error("start the thread of the spool")]
    Thread(#[source] std::io::Error),
}

/// An open spool.
pub struct SpoolOpened {
    /// The handle.
    pub spool: Spool,
    /// What was wrong on the disk.
    pub incidents: Vec<String>,
    /// The thread; it ends after [`Spool::stop`].
    pub thread: JoinHandle<()>,
}

/// A job that may be sent now: its beginning is on disk.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The job.
    pub record: Record,
    /// What `content` is.
    pub source: Source,
    /// What the till sent.
    pub content: Bytes,
    /// The entry about the drawers that it opens.
    pub kick: Option<u64>,
}

/// A new job.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is asked of the policy.
    pub request: Request,
    /// What `content` is.
    pub source: Source,
    /// What the till sent.
    pub content: Bytes,
    /// What it prints lets somebody in, and never comes to the disk.
    pub secret: bool,
    /// Who sent it.
    pub by: String,
    /// How often it opens which drawer.
    pub kicks: Vec<(DeviceId, u32)>,
}

/// What a person decides about a job.
#[derive(Debug, Clone)]
pub enum Wish {
    /// It is on paper: somebody has seen it.
    Printed,
    /// Print it once more, marked as a copy, as a job of this key.
    Reprint {
        /// The key of the copy.
        key: Key,
        /// Another printer.
        printer: Option<DeviceId>,
    },
    /// Do not print it.
    Cancel,
}

/// The spool; cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    sender: mpsc::Sender<Command>,
    news: Arc<AtomicU64>,
    turns: watch::Receiver<u64>,
    interrupted: Arc<BTreeSet<String>>,
}

impl Spool {
    /// Opens the spool in this directory and starts its thread.
    pub fn open(dir: &Path) -> Result<SpoolOpened, SpoolOpenError> {
        let mut replay = Replay::default();
        let options = journal::Options { spares_max: 1, ..journal::Options::default() };
        let disk = Arc::new(RealDisk);
        let opened = Journal::open(disk, dir, options, 0, &mut |record| replay.take(&record))?;
        let incidents = opened.told();
        let mut journal = opened.journal;
        let news = Arc::new(AtomicU64::new(0));
        let (keeper, interrupted) = Keeper::restore(replay, &mut journal, Arc::clone(&news));
        let turns = keeper.turns();
        let (sender, thread) =
            journal::start("spool", keeper, journal).map_err(SpoolOpenError::Thread)?;
        let spool = Self { sender, news, turns, interrupted: Arc::new(interrupted) };
        Ok(SpoolOpened { spool, incidents, thread })
    }

    /// Takes a job in; the answer comes when it is on disk.
    pub async fn submit(&self, order: Order) -> Result<Job, Problem> {
        self.ask(|answer| Command::Submit { order, answer }).await?
    }

    /// A job by its key.
    pub async fn find(&self, key: Key) -> Result<Option<Job>, Problem> {
        self.look(move |keeper| keeper.find(&key)).await
    }

    /// Resolves whenever something in the spool may have changed since this was made.
    pub fn turns(&self) -> watch::Receiver<u64> {
        let mut turns = self.turns.clone();
        turns.mark_unchanged();
        turns
    }

    /// What a job prints, if that was not dropped yet.
    pub async fn content(&self, key: Key) -> Result<Option<(Source, Bytes)>, Problem> {
        self.look(move |keeper| keeper.content(&key)).await
    }

    /// The newest jobs of a printer.
    pub async fn jobs(&self, printer: DeviceId, limit: usize) -> Result<Vec<Job>, Problem> {
        self.look(move |keeper| keeper.jobs(&printer, limit)).await
    }

    /// How many jobs of a printer wait, and how many a person must decide about.
    pub async fn figures(&self, printer: DeviceId) -> Result<(usize, usize), Problem> {
        self.look(move |keeper| keeper.figures(&printer)).await
    }

    /// Does what a person decides about a job.
    pub async fn decide(&self, key: Key, wish: Wish, by: String) -> Result<Job, Problem> {
        self.ask(|answer| Command::Decide { key, wish, by, answer }).await?
    }

    /// Writes down that a drawer is about to be opened, and gives the entry's number.
    pub async fn note_kick(
        &self,
        drawer: DeviceId,
        by: String,
        reason: String,
    ) -> Result<u64, Problem> {
        let act = Act::Kicked { reason };
        self.ask(|answer| Command::Note { drawer, by, act, answer: Some(answer) }).await?
    }

    /// Writes down that a drawer did not get its pulse.
    pub async fn note_failed(&self, drawer: DeviceId, by: String, kick: u64, why: String) {
        let act = Act::NotKicked { kick, why };
        let noted = self.ask(|answer| Command::Note { drawer, by, act, answer: Some(answer) });
        if let Err(error) | Ok(Err(error)) = noted.await {
            tracing::warn!(%error, "a refused opening of a drawer is not written down");
        }
    }

    /// What happened at a drawer, newest first.
    pub async fn entries(&self, drawer: DeviceId, limit: usize) -> Result<Vec<Entry>, Problem> {
        self.look(move |keeper| keeper.entries(&drawer, limit)).await
    }

    /// Ends the thread once everything before this is on disk.
    pub async fn stop(&self) {
        let _ = self.sender.send(Command::Stop).await;
    }

    /// Grows whenever a job begins to wait.
    pub(super) fn news(&self) -> u64 {
        self.news.load(Ordering::Acquire)
    }

    /// Whether a job of this printer was under way when the box ended.
    pub(super) fn was_interrupted(&self, printer: &DeviceId) -> bool {
        self.interrupted.contains(printer.as_str())
    }

    /// Asks for the next job of a printer; for threads, never within the runtime.
    pub(super) fn begin_next(
        &self,
        printer: &DeviceId,
    ) -> Option<oneshot::Receiver<Option<Begun>>> {
        let (answer, begun) = oneshot::channel();
        let printer = printer.as_str().to_owned();
        self.sender.blocking_send(Command::Begin { printer, answer }).ok()?;
        Some(begun)
    }

    /// What became of a job; for threads. A word that finds the spool closed is found missing at the next start.
    pub(super) fn tell(&self, number: u64, verdict: Verdict) {
        let _ = self.sender.blocking_send(Command::Tell { number, verdict });
    }

    /// A drawer's sensor saw something; for threads.
    pub(super) fn note_drawer(&self, drawer: &DeviceId, event: drawer::Event) {
        let (drawer, by) = (drawer.clone(), "sensor".to_owned());
        let act = Act::from(event);
        let _ = self.sender.blocking_send(Command::Note { drawer, by, act, answer: None });
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Problem> {
        journal::ask(&self.sender, command).await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Keeper) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        journal::look(&self.sender, Command::Look, look).await
    }
}

#[cfg(test)]
mod tests;
