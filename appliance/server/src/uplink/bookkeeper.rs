//! The one owner of the ledger; runs on the committer's thread.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use storebox_proto::ids::{Hash32, NodeId, TxKey};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::Envelope;
use storebox_proto::time::Timestamp;
use tokio::sync::{oneshot, watch};

use super::index::{Index, Line, RefusalLine, TakenLine};
use super::refusals::not_stored;
use super::reindex::{self, Reindexed};
use super::settle::Objection;
use crate::db::DiskError;
use crate::env;
use crate::journal::{CommitError, Group, Journal, Location, Look, Owner, Reader, Usage};

/// The kind of a transaction in the ledger's journal.
pub(super) const TAKEN: u8 = 1;
/// The kind of a refusal.
pub(super) const REFUSED: u8 = 2;
/// The kind of an envelope that contradicts one that was taken.
pub(super) const CONFLICT: u8 = 3;
/// An index that cannot be opened again is tried again after this long: it takes time.
const REOPEN_EVERY: Duration = Duration::from_secs(30);
const VERSION: u8 = 1;
const HEAD_AT: usize = 5;

/// What stands in front of an envelope in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) position: u64,
    pub(super) at: Timestamp,
    pub(super) node: NodeId,
    /// The neighbour that passed it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) via: Option<NodeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<Problem>,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, 0, 0, 0, 0];
        serde_json::to_writer(&mut bytes, self).expect("a head is plain data with string keys");
        let length = u32::try_from(bytes.len() - HEAD_AT).expect("a head is far below 2^32 bytes");
        bytes[1..HEAD_AT].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// The head and the envelope behind it; nothing if the bytes are not a record of the ledger.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (version, rest) = bytes.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (head, envelope) = rest.split_at_checked(length)?;
        let head = (*version == VERSION).then(|| serde_json::from_slice(head).ok()).flatten()?;
        Some((head, envelope))
    }
}

/// An envelope on its way into the ledger.
pub(super) struct Candidate {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Hash32,
    /// Who accepted it, if that was not who sends it.
    pub(super) origin: Option<NodeId>,
    /// What the rules of the payload say, or whoever judges origins; asked before.
    pub(super) objection: Option<Objection>,
}

/// What a receipt for a settled transaction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settlement {
    pub(super) digest: Hash32,
    pub(super) position: u64,
    pub(super) at: Timestamp,
}

/// What became of a candidate.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Taken(Settlement),
    Later(Problem),
    Refused(Problem),
}

pub(super) enum Command {
    Settle {
        node: NodeId,
        at: Timestamp,
        batch: Vec<Candidate>,
        answer: oneshot::Sender<Vec<Outcome>>,
    },
    Look(Look<Bookkeeper>),
    Stop,
}

pub(super) struct Bookkeeper {
    pub(super) index: Index,
    pub(super) usage: Usage,
    pub(super) refused: u64,
    pub(super) news: watch::Sender<u64>,
    /// The position of the next one.
    pub(super) next: u64,
    /// Taken in this group, not on the disk yet.
    fresh: BTreeMap<TxKey, (Hash32, u64, Timestamp)>,
    lines: Vec<NewLine>,
    answers: Vec<(oneshot::Sender<Vec<Outcome>>, Vec<Outcome>)>,
    later: Vec<Command>,
    /// The index failed: what is asked is answered with "later" until it is open again.
    pub(super) failed: bool,
    /// When it was last tried to open it again.
    reopened: Option<Instant>,
    /// Transactions in the ledger, whatever the index knows.
    settled: u64,
    reader: Reader,
    is_stopping: bool,
}

enum NewLine {
    Taken { key: TxKey, index: usize, digest: Hash32, position: u64, at: Timestamp, node: NodeId },
    Refused { key: TxKey, index: usize, number: u64, code: Code },
}

impl Bookkeeper {
    pub(super) fn new(reindexed: Reindexed, usage: Usage, reader: Reader) -> Self {
        let Reindexed { index, next, refused, .. } = reindexed;
        Self {
            settled: index.count(),
            index,
            usage,
            refused,
            news: watch::Sender::new(0),
            next,
            fresh: BTreeMap::new(),
            lines: Vec::new(),
            answers: Vec::new(),
            later: Vec::new(),
            failed: false,
            reopened: None,
            reader,
            is_stopping: false,
        }
    }

    /// Opens an index that failed again, before anything of a new group is decided.
    fn mend(&mut self, now: Instant) {
        let is_early = |last: Instant| now.duration_since(last) < REOPEN_EVERY;
        let is_busy = !self.lines.is_empty() || self.usage.failed;
        if !self.failed || is_busy || self.reopened.is_some_and(is_early) {
            return;
        }
        self.reopened = Some(now);
        match reindex::again(&mut self.index, &self.reader, self.settled, self.next) {
            Ok(()) => {
                self.failed = false;
                tracing::warn!("index of the ledger is open again");
            }
            Err(error) => {
                tracing::error!(?error, "index of the ledger cannot be opened again");
            }
        }
    }

    fn settle(
        &mut self,
        node: &NodeId,
        at: Timestamp,
        batch: &[Candidate],
        group: &mut Group,
    ) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(batch.len());
        for candidate in batch {
            let outcome = match self.decide(candidate, batch, &outcomes) {
                Ok(Decision::Known(settlement)) => Outcome::Taken(settlement),
                Ok(Decision::New) => self.enter(node, at, candidate, group),
                Ok(Decision::Later(problem)) => Outcome::Later(problem),
                Ok(Decision::Refused(problem)) => self.refuse(node, at, candidate, problem, group),
                Err(error) => {
                    tracing::error!(%error, "index of the ledger failed");
                    self.failed = true;
                    Outcome::Later(index_failed())
                }
            };
            outcomes.push(outcome);
        }
        outcomes
    }

    fn decide(
        &self,
        candidate: &Candidate,
        batch: &[Candidate],
        outcomes: &[Outcome],
    ) -> Result<Decision, DiskError> {
        let Candidate { envelope, digest, objection, .. } = candidate;
        if self.failed {
            return Ok(Decision::Later(index_failed()));
        }
        if let Some((known, position, at)) = self.taken(&envelope.key)? {
            if known == *digest {
                return Ok(Decision::Known(Settlement { digest: known, position, at }));
            }
            let detail = format!("transaction {} was settled with another content", envelope.key);
            return Ok(Decision::Refused(Problem::new(Code::KeyConflict, detail)));
        }
        for needed in &envelope.depends_on {
            if let Some(decision) = self.missing(envelope, needed)? {
                return Ok(decision);
            }
        }
        if let Some(before) = untaken_before(envelope, batch, outcomes) {
            let detail = format!("transaction {before} has to be settled first");
            return Ok(Decision::Later(Problem::new(Code::DependencyMissing, detail)));
        }
        Ok(match objection {
            Some(Objection::Never(problem)) => Decision::Refused(problem.clone()),
            Some(Objection::NotYet(problem)) => Decision::Later(problem.clone()),
            None => Decision::New,
        })
    }

    fn taken(&self, key: &TxKey) -> Result<Option<(Hash32, u64, Timestamp)>, DiskError> {
        if let Some(fresh) = self.fresh.get(key) {
            return Ok(Some(*fresh));
        }
        Ok(match self.index.get(key)? {
            Some(Line::Taken(TakenLine { digest, position, at, .. })) => {
                Some((digest, position, at))
            }
            Some(Line::Refused { .. }) | None => None,
        })
    }

    fn missing(&self, envelope: &Envelope, needed: &TxKey) -> Result<Option<Decision>, DiskError> {
        if self.fresh.contains_key(needed) {
            return Ok(None);
        }
        let key = envelope.key;
        Ok(match self.index.get(needed)? {
            Some(Line::Taken(_)) => None,
            Some(Line::Refused { code }) => {
                let detail = format!("transaction {key} needs {needed}, which was refused: {code}");
                Some(Decision::Refused(Problem::new(Code::DependencyRefused, detail)))
            }
            None => {
                let detail = format!("transaction {key} needs {needed}, which has not arrived");
                Some(Decision::Later(Problem::new(Code::DependencyMissing, detail)))
            }
        })
    }

    fn enter(
        &mut self,
        node: &NodeId,
        at: Timestamp,
        candidate: &Candidate,
        group: &mut Group,
    ) -> Outcome {
        let Candidate { envelope, bytes, digest, .. } = candidate;
        let (key, digest, position) = (envelope.key, *digest, self.next);
        self.next += 1;
        let (node, via) = candidate.senders(node);
        let head = Head { position, at, node: node.clone(), via, problem: None };
        let index = group.push(TAKEN, &[&head.encode(), bytes]);
        self.fresh.insert(key, (digest, position, at));
        self.lines.push(NewLine::Taken { key, index, digest, position, at, node });
        Outcome::Taken(Settlement { digest, position, at })
    }

    fn refuse(
        &mut self,
        node: &NodeId,
        at: Timestamp,
        candidate: &Candidate,
        problem: Problem,
        group: &mut Group,
    ) -> Outcome {
        let is_conflict = problem.code == Code::KeyConflict;
        let kind = if is_conflict { CONFLICT } else { REFUSED };
        let (node, via) = candidate.senders(node);
        let head = Head { position: 0, at, node, via, problem: Some(problem.clone()) };
        let index = group.push(kind, &[&head.encode(), &candidate.bytes]);
        self.refused += 1;
        let (key, number, code) = (candidate.envelope.key, self.refused, problem.code);
        self.lines.push(NewLine::Refused { key, index, number, code });
        Outcome::Refused(problem)
    }

    fn note(&mut self, locations: &[Location]) {
        for line in std::mem::take(&mut self.lines) {
            let noted = match line {
                NewLine::Taken { key, index, digest, position, at, node } => {
                    let place = locations[index].as_place();
                    self.index.take(&key, TakenLine { digest, position, at, node, place })
                }
                NewLine::Refused { key, index, number, code } => {
                    let place = locations[index].as_place();
                    let line = RefusalLine { key, place };
                    let listed = self.index.list_refusal(number, &line);
                    listed.and_then(|()| self.index.refuse(&key, code))
                }
            };
            if let Err(error) = noted {
                tracing::error!(%error, "index of the ledger failed; it is opened again");
                self.failed = true;
            }
        }
    }
}

enum Decision {
    Known(Settlement),
    New,
    Later(Problem),
    Refused(Problem),
}

/// What stands before this envelope in its batch, has to be settled before it, and was not.
fn untaken_before(envelope: &Envelope, batch: &[Candidate], outcomes: &[Outcome]) -> Option<TxKey> {
    let earlier = batch.iter().zip(outcomes);
    let untaken = earlier.filter(|(_, outcome)| !matches!(outcome, Outcome::Taken(_)));
    let mut untaken = untaken.map(|(candidate, _)| &candidate.envelope);
    untaken.find(|other| envelope.waits_for(other)).map(|other| other.key)
}

fn index_failed() -> Problem {
    Problem::new(
        Code::StorageFailed,
        "the ledger's index failed; it is opened again within a minute",
    )
}

impl Owner for Bookkeeper {
    type Command = Command;

    fn take(&mut self, command: Command, group: &mut Group) {
        match command {
            Command::Settle { node, at, batch, answer } => {
                self.mend(env::instant());
                let outcomes = self.settle(&node, at, &batch, group);
                self.answers.push((answer, outcomes));
            }
            Command::Look(_) | Command::Stop => self.later.push(command),
        }
    }

    fn done(&mut self, written: Result<Vec<Location>, CommitError>, journal: &mut Journal) {
        let taken = self.fresh.len();
        match &written {
            Ok(locations) => {
                self.settled += taken as u64;
                self.note(locations);
            }
            Err(_) => {
                let refused = self.lines.len() - taken;
                self.lines.clear();
                self.next -= taken as u64;
                self.refused -= refused as u64;
            }
        }
        let fresh = std::mem::take(&mut self.fresh);
        for (answer, mut outcomes) in std::mem::take(&mut self.answers) {
            if let Err(error) = &written {
                let problem = not_stored(error);
                for outcome in &mut outcomes {
                    if is_unwritten(outcome, &fresh) {
                        *outcome = Outcome::Later(problem.clone());
                    }
                }
            }
            let _ = answer.send(outcomes);
        }
        self.usage = journal.usage();
        for command in std::mem::take(&mut self.later) {
            match command {
                Command::Look(look) => look(self),
                Command::Stop => self.is_stopping = true,
                Command::Settle { .. } => unreachable!("settling goes into the group"),
            }
        }
        if taken > 0 && written.is_ok() {
            self.news.send_modify(|count| *count += 1);
        }
    }

    fn checkpoint(&mut self) -> Vec<u8> {
        let checkpoint = Checkpoint { next: self.next, refused: self.refused };
        serde_json::to_vec(&checkpoint).expect("plain numbers")
    }

    fn rewrite(&mut self, _segment: u64, _group: &mut Group) {}

    fn rolled(&mut self, journal: &Journal) {
        if !self.failed
            && let Err(error) = self.index.mark(&self.index.at_start_of(journal.current_segment()))
        {
            tracing::error!(%error, "index of the ledger failed; it is opened again");
            self.failed = true;
        }
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping
    }
}

/// The ledger's small state.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) next: u64,
    pub(super) refused: u64,
}

/// Whether an outcome stands on the group that could not be written.
fn is_unwritten(outcome: &Outcome, fresh: &BTreeMap<TxKey, (Hash32, u64, Timestamp)>) -> bool {
    match outcome {
        Outcome::Taken(settlement) => {
            fresh.values().any(|(_, position, _)| *position == settlement.position)
        }
        Outcome::Refused(_) => true,
        Outcome::Later(_) => false,
    }
}
