//! The ledger of the main server: what is in it is settled, for ever, once.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use ed25519_dalek::SigningKey;
use serde::Serialize;
use storebox_proto::ids::{Hash32, NodeId, TxKey};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::{Envelope, Grade, Receipt};
use storebox_proto::time::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::bookkeeper::{Bookkeeper, Candidate, Command, Head, Outcome, Settlement};
use super::index::{Index, Line, RefusalLine, TakenLine};
use super::reindex::Replay;
use super::settle::{Objection, Rules};
use crate::db::DiskError;
use crate::env;
use crate::journal::{self, Disk, Journal, Location, Reader, RealDisk, Usage};
use crate::logging;

/// A ledger keeps everything, so its segments are large.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// How a ledger is set up.
#[derive(Clone)]
pub struct LedgerOptions {
    /// Its directory.
    pub dir: PathBuf,
    /// The disk underneath.
    pub disk: Arc<dyn Disk>,
    /// Sizes of the journal.
    pub journal: journal::Options,
    /// Who signs receipts.
    pub node: NodeId,
    /// With which key.
    pub signer: SigningKey,
    /// What a payload has to be like.
    pub rules: Rules,
}

impl LedgerOptions {
    /// The usual sizes, on the real disk, taking every payload.
    pub fn new(dir: PathBuf, node: NodeId, signer: SigningKey) -> Self {
        let journal = journal::Options {
            segment_bytes: SEGMENT_BYTES,
            spares_max: 1,
            deletes: false,
            ..journal::Options::default()
        };
        Self { dir, disk: Arc::new(RealDisk), journal, node, signer, rules: Rules::default() }
    }
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerOpenError {
    /// The journal cannot be opened.
    #[error("open the ledger's journal")]
    Journal(#[from] journal::OpenError),
    /// Not even an empty index can be begun.
    #[error("open the ledger's index")]
    Index(#[from] DiskError),
    /// The system gives no thread.
    #[error("start the ledger thread")]
    Thread(#[source] std::io::Error),
}

/// An open ledger.
pub struct LedgerOpened {
    /// The handle.
    pub ledger: Ledger,
    /// What was wrong, for the log and the console; what is readable is there.
    pub incidents: Vec<String>,
    /// The thread; it ends after [`Ledger::stop`].
    pub thread: JoinHandle<()>,
}

/// The ledger in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerFigures {
    /// Transactions in it.
    pub settled: u64,
    /// Refusals and contradictions since the ledger began.
    pub refused: u64,
    /// The index failed and is not open again yet.
    pub index_failed: bool,
    /// The journal.
    pub usage: Usage,
}

impl LedgerFigures {
    pub(super) fn of(keeper: &Bookkeeper) -> Self {
        Self {
            settled: keeper.index.count(),
            refused: keeper.refused,
            index_failed: keeper.failed,
            usage: keeper.usage,
        }
    }
}

/// A settled transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerEntry {
    /// Its key.
    pub key: TxKey,
    /// Its number in the ledger.
    pub position: u64,
    /// When it was settled.
    pub at: Timestamp,
    /// Which box sent it.
    pub node: NodeId,
    /// Its content.
    pub envelope: Envelope,
}

/// A part of the ledger in the order of keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LedgerList {
    /// What is readable.
    pub entries: Vec<LedgerEntry>,
    /// What is settled and cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// The key to go on behind, if there is more.
    pub next: Option<TxKey>,
}

/// A settled transaction whose content the disk does not give back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unreadable {
    /// Its key.
    pub key: TxKey,
    /// Its number in the ledger.
    pub position: u64,
    /// When it was settled.
    pub at: Timestamp,
    /// Which box sent it, and still has it if it has not forgotten what was settled.
    pub node: NodeId,
    /// `storage_failed`, with the file.
    pub problem: Problem,
}

/// Something that a box sent and the ledger refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Its number among the refusals.
    pub number: u64,
    /// When it was refused.
    pub at: Timestamp,
    /// Which box sent it.
    pub node: NodeId,
    /// Why.
    pub problem: Problem,
    /// Its content.
    pub envelope: Envelope,
    /// What was settled under its key, before or since.
    pub settled: Option<LedgerEntry>,
}

/// The ledger; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    sender: mpsc::Sender<Command>,
    pub(super) reader: Reader,
    news: watch::Receiver<u64>,
    node: NodeId,
    signer: Arc<SigningKey>,
    pub(super) rules: Rules,
}

impl Ledger {
    /// Opens the ledger and starts its thread.
    pub fn open(options: LedgerOptions) -> Result<LedgerOpened, LedgerOpenError> {
        let LedgerOptions { dir, disk, journal, node, signer, rules } = options;
        let found = Index::open(&dir.join("index"))?;
        let mut incidents: Vec<String> = found.lost.into_iter().collect();
        let mut replay = Replay::new(found.index);
        let opened =
            Journal::open(disk, &dir.join("journal"), journal, found.from, &mut |record| {
                replay.take(&record);
            })?;
        incidents.append(&mut opened.told());
        let is_damaged = !opened.incidents.is_empty();
        let mut reindexed = replay.finish(found.used, found.beyond, is_damaged)?;
        incidents.append(&mut reindexed.incidents);
        let journal = opened.journal;
        let reader = journal.reader();
        let keeper = Bookkeeper::new(reindexed, journal.usage(), reader.clone());
        let news = keeper.news.subscribe();
        let (sender, thread) =
            journal::start("ledger", keeper, journal).map_err(LedgerOpenError::Thread)?;
        let ledger = Self { sender, reader, news, node, signer: Arc::new(signer), rules };
        Ok(LedgerOpened { ledger, incidents, thread })
    }

    /// Settles a batch in order; the outcomes come after everything taken is on the disk.
    pub(super) async fn settle(
        &self,
        node: &NodeId,
        batch: Vec<Candidate>,
    ) -> Result<Vec<Outcome>, Problem> {
        let (node, at) = (node.clone(), env::timestamp());
        self.ask(|answer| Command::Settle { node, at, batch, answer }).await
    }

    /// The receipt of a settled transaction, if it is in the ledger.
    pub async fn receipt(&self, key: TxKey) -> Result<Option<Receipt>, Problem> {
        let line = self.line(key).await?;
        Ok(line.map(|TakenLine { digest, position, at, .. }| {
            self.sign(key, &Settlement { digest, position, at })
        }))
    }

    /// A settled transaction with its content; reads the disk.
    pub async fn load(&self, key: TxKey) -> Result<Option<LedgerEntry>, Problem> {
        let Some(line) = self.line(key).await? else { return Ok(None) };
        self.read(key, &line).map(Some)
    }

    /// Settled transactions in the order of their keys, behind `after`; reads the disk.
    ///
    /// One that cannot be read hides no other.
    pub async fn list(
        &self,
        after: Option<TxKey>,
        count_max: usize,
    ) -> Result<LedgerList, Problem> {
        let lines = self.look(move |keeper| {
            let mut lines = Vec::new();
            let scanned = keeper.index.scan(after.as_ref(), &mut |key, line| {
                lines.push((key, line));
                lines.len() < count_max
            });
            scanned.map(|()| lines)
        });
        let mut lines =
            lines.await?.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        lines.truncate(count_max);
        let next = lines.last().filter(|_| lines.len() == count_max).map(|(key, _)| *key);
        let mut list = LedgerList { next, ..LedgerList::default() };
        for (key, line) in lines {
            match self.read(key, &line) {
                Ok(entry) => list.entries.push(entry),
                Err(problem) => {
                    let TakenLine { position, at, node, .. } = line;
                    let why = &problem.detail;
                    tracing::error!(ticket = %key, position, why, "settled, and cannot be read");
                    list.unreadable.push(Unreadable { key, position, at, node, problem });
                }
            }
        }
        Ok(list)
    }

    /// Refusals and conflicts behind this number, in order; reads the disk.
    pub async fn refusals(&self, after: u64, count_max: usize) -> Result<Vec<Refusal>, Problem> {
        let found = self.look(move |keeper| {
            let lines = keeper.index.refusals(after, count_max)?;
            let with_settled = |(number, line): (u64, RefusalLine)| {
                let settled = keeper.index.get(&line.key)?;
                Ok((number, line, settled))
            };
            lines.into_iter().map(with_settled).collect::<Result<Vec<_>, DiskError>>()
        });
        let found =
            found.await?.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let read = |(number, line, settled)| self.read_refusal(number, &line, settled);
        Ok(found.into_iter().filter_map(read).collect())
    }

    /// Nothing if a crash took the record away after the index had learned of it.
    fn read_refusal(
        &self,
        number: u64,
        line: &RefusalLine,
        settled: Option<Line>,
    ) -> Option<Refusal> {
        let read = self.record(line.key, &line.location());
        let (head, envelope) = match read {
            Ok((head, envelope)) if envelope.key == line.key => (head, envelope),
            Ok(_) => {
                tracing::warn!(number, ticket = %line.key, "refusal is not where the index says");
                return None;
            }
            Err(problem) => {
                let why = &problem.detail;
                tracing::error!(number, ticket = %line.key, why, "refused, and cannot be read");
                return None;
            }
        };
        let settled = match settled {
            Some(Line::Taken(taken)) => self.read(line.key, &taken).ok(),
            Some(Line::Refused { .. }) | None => None,
        };
        let Head { at, node, problem, .. } = head;
        Some(Refusal { number, at, node, problem: problem?, envelope, settled })
    }

    /// The ledger in numbers.
    pub async fn figures(&self) -> Result<LedgerFigures, Problem> {
        self.look(LedgerFigures::of).await
    }

    /// Changes whenever something was settled.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }

    /// Finishes what is being written and ends the thread; later calls are told that the box stops.
    pub async fn stop(&self) {
        let _ = self.sender.send(Command::Stop).await;
    }

    pub(super) fn sign(&self, key: TxKey, settlement: &Settlement) -> Receipt {
        let Settlement { digest, position, at } = *settlement;
        Receipt::state(key, digest, Grade::Settled, &self.node, position, at).sign(&self.signer)
    }

    fn read(&self, key: TxKey, line: &TakenLine) -> Result<LedgerEntry, Problem> {
        let (head, envelope) = self.record(key, &line.location())?;
        let Head { position, at, node, .. } = head;
        Ok(LedgerEntry { key, position, at, node, envelope })
    }

    fn record(&self, key: TxKey, location: &Location) -> Result<(Head, Envelope), Problem> {
        let broken = |detail: String| Problem::new(Code::StorageFailed, detail);
        let body = self.reader.read(location).map_err(|error| broken(logging::chain(&error)))?;
        let odd =
            |why: &str| broken(format!("{}: record of {key} {why}", self.reader.dir().display()));
        let (head, envelope) = Head::decode(&body).ok_or_else(|| odd("is not understood"))?;
        let envelope = Envelope::parse(envelope).map_err(|error| odd(&error.to_string()))?;
        Ok((head, envelope))
    }

    async fn line(&self, key: TxKey) -> Result<Option<TakenLine>, Problem> {
        let line = self.look(move |keeper| keeper.index.get(&key)).await?;
        match line {
            Ok(Some(Line::Taken(line))) => Ok(Some(line)),
            Ok(Some(Line::Refused { .. }) | None) => Ok(None),
            Err(error) => Err(Problem::new(Code::Internal, error.to_string())),
        }
    }

    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Bookkeeper) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        journal::look(&self.sender, Command::Look, look).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Problem> {
        journal::ask(&self.sender, command).await
    }
}

impl Candidate {
    /// An envelope with what the ledger needs to know about it.
    pub(super) fn new(envelope: Envelope, rules: &Rules) -> Self {
        let bytes = envelope.canonical();
        let digest = Hash32::of(&bytes);
        let objection = rules.check(&envelope, bytes.len()).err().map(Objection::Never);
        Self { envelope, bytes, digest, origin: None, objection }
    }

    /// The same, accepted by another box than the one that sends it.
    pub(super) fn of(mut self, origin: NodeId, objection: Option<Objection>) -> Self {
        self.origin = Some(origin);
        self.objection = objection.or(self.objection);
        self
    }

    /// Who accepted it, and who passed it on if that is another.
    pub(super) fn senders(&self, sender: &NodeId) -> (NodeId, Option<NodeId>) {
        match &self.origin {
            Some(origin) => (origin.clone(), Some(sender.clone())),
            None => (sender.clone(), None),
        }
    }
}
