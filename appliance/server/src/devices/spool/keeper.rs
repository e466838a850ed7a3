//! The one owner of the spool; runs on the journal's thread.
//!
//! A new job is applied at once, so that the next command of the group sees it, and withdrawn if the group cannot be
//! written.
//! A beginning that cannot be written is taken back before anybody hears of it.
//! What a printer said is true whether or not our disk takes it.

mod decide;
mod memory;
mod replay;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storebox_peripherals::printer::Verdict;
use storebox_peripherals::spool::{Change, Key, Record, Spool, SpoolError, State, Submitted};
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::{Code, Problem};
use tokio::sync::{oneshot, watch};

use super::stored::{self, Act, Entry, Job};
use super::{Begun, Order, Wish};
use crate::env;
use crate::journal::{CommitError, Group, Journal, Location, Look, Owner, Reader};
pub(super) use memory::Held;
pub(super) use replay::Replay;

/// One request to the keeper, with the way back.
pub(super) enum Command {
    Submit {
        order: Order,
        answer: oneshot::Sender<Result<Job, Problem>>,
    },
    Begin {
        printer: String,
        answer: oneshot::Sender<Option<Begun>>,
    },
    Tell {
        number: u64,
        verdict: Verdict,
    },
    Decide {
        key: Key,
        wish: Wish,
        by: String,
        answer: oneshot::Sender<Result<Job, Problem>>,
    },
    Note {
        drawer: DeviceId,
        by: String,
        act: Act,
        answer: Option<oneshot::Sender<Result<u64, Problem>>>,
    },
    Look(Look<Keeper>),
    Stop,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Command")
    }
}

/// What a group is about.
enum Pending {
    /// A job was written at this place of the group; `new` if it was not known before.
    Job {
        number: u64,
        index: usize,
        new: bool,
        answer: Option<oneshot::Sender<Result<Job, Problem>>>,
    },
    /// Nothing to write: the answer only waits for what is written before it.
    Answer {
        result: Box<Result<Job, Problem>>,
        answer: oneshot::Sender<Result<Job, Problem>>,
    },
    Begun {
        number: u64,
        answer: oneshot::Sender<Option<Begun>>,
    },
    Entry {
        number: u64,
        index: usize,
        answer: Option<oneshot::Sender<Result<u64, Problem>>>,
    },
}

pub(super) struct Keeper {
    spool: Spool,
    held: Held,
    reader: Reader,
    news: Arc<AtomicU64>,
    turn: watch::Sender<u64>,
    pending: Vec<Pending>,
    /// Found at the start; goes into the first group.
    unwritten: Vec<u64>,
    /// What only looks, and waits for the group to be on disk.
    later: Vec<Look<Keeper>>,
    /// Whether this group does more than look.
    changes: bool,
    is_stopping: bool,
}

impl Keeper {
    /// Counts the groups that may have changed something.
    pub(super) fn turns(&self) -> watch::Receiver<u64> {
        self.turn.subscribe()
    }

    fn submit(
        &mut self,
        order: Order,
        answer: oneshot::Sender<Result<Job, Problem>>,
        group: &mut Group,
    ) {
        // Also those of a printer that nobody asks for any more.
        self.expire(group);
        let is_new = self.spool.find(&order.request.key).is_none();
        if let Some(why) = is_new.then(|| self.room_for(&order, group)).flatten() {
            let problem = Problem::new(Code::StorageFull, why);
            self.pending.push(Pending::Answer { result: Box::new(Err(problem)), answer });
            return;
        }
        match self.spool.submit(order.request.clone()) {
            Ok(Submitted::New(record)) => {
                let mut kick = None;
                for (drawer, times) in order.kicks {
                    let act = Act::InJob { key: record.key.as_str().to_owned(), times };
                    let entry = self.note(drawer, order.by.clone(), act, None, group);
                    // One wire tells of all drawers: what it sees first is due to the first pulse.
                    kick.get_or_insert(entry);
                }
                let at = env::timestamp();
                let (source, bytes, by) = (order.source, order.content.len(), order.by);
                let (decision, secret) = (None, order.secret);
                let job =
                    Job { record, source, bytes, secret, by, kick, at, changed: at, decision };
                self.write_job(job, &order.content, Some(answer), group);
            }
            Ok(Submitted::Known(record)) => self.answer_known(Ok(record.number), answer),
            Err(error) => self.answer_known(Err(error), answer),
        }
    }

    /// Answers with a job that is there already, or with why there is none.
    fn answer_known(
        &mut self,
        known: Result<u64, SpoolError>,
        answer: oneshot::Sender<Result<Job, Problem>>,
    ) {
        let job = |number| self.held.job(number).ok_or_else(|| unknown(number));
        let result = Box::new(known.map_err(|error| refusal(&error)).and_then(job));
        self.pending.push(Pending::Answer { result, answer });
    }

    /// Writes a new job with what it prints, unless that is a secret.
    fn write_job(
        &mut self,
        job: Job,
        content: &[u8],
        answer: Option<oneshot::Sender<Result<Job, Problem>>>,
        group: &mut Group,
    ) {
        let number = job.record.number;
        let written = if job.secret { &[] } else { content };
        let index = group.push(stored::JOB, &[&stored::head(&job), written]);
        if job.secret {
            self.held.keep_secret(number, content);
        }
        self.held.put(job);
        self.pending.push(Pending::Job { number, index, new: true, answer });
    }

    fn expire(&mut self, group: &mut Group) {
        let now = u64::try_from(env::believable().unix_ms()).unwrap_or(0);
        let expired = self.spool.expire(now);
        self.write_changes(expired, group);
    }

    fn begin(&mut self, printer: &str, answer: oneshot::Sender<Option<Begun>>, group: &mut Group) {
        self.expire(group);
        let next = self.spool.next(printer).map(|record| record.number);
        let Some(number) = next.filter(|number| self.spool.begin(*number).is_ok()) else {
            // Dropping the answer says that there is nothing.
            return;
        };
        self.write_change(number, group);
        self.pending.push(Pending::Begun { number, answer });
    }

    fn tell(&mut self, number: u64, verdict: Verdict, group: &mut Group) {
        match self.spool.apply(number, verdict) {
            // After a restart a job that was sent is as doubtful as one that was being sent.
            Ok(_) if verdict == Verdict::Sent => self.refresh(number),
            Ok(changes) => {
                self.write_changes(changes, group);
                if verdict == Verdict::NotStarted {
                    self.news.fetch_add(1, Ordering::Release);
                }
            }
            Err(error) => tracing::debug!(%error, ?verdict, "a printer's word changes nothing"),
        }
    }

    fn write_changes(&mut self, changes: Vec<Change>, group: &mut Group) {
        for change in changes {
            match change {
                Change::Write(record) => self.write_change(record.number, group),
                Change::Forget { number } => {
                    group.push_release(stored::FORGET, &[&number.to_le_bytes()]);
                    self.held.forget(number);
                }
            }
        }
    }

    /// Writes down the state that a job has by now.
    fn write_change(&mut self, number: u64, group: &mut Group) {
        self.refresh(number);
        if let Some(job) = self.held.job(number) {
            group.push_release(stored::CHANGE, &[&stored::head(&job)]);
        }
    }

    /// Takes a job's state over from the policy.
    fn refresh(&mut self, number: u64) {
        if let Some(record) = self.spool.get(number).cloned() {
            self.held.change(number, |job| {
                job.record = record;
                job.changed = env::timestamp();
            });
        }
    }

    /// Writes down what happened at a drawer and gives the entry's number.
    fn note(
        &mut self,
        drawer: DeviceId,
        by: String,
        act: Act,
        answer: Option<oneshot::Sender<Result<u64, Problem>>>,
        group: &mut Group,
    ) -> u64 {
        let number = self.held.next_entry();
        let entry = Entry { number, drawer, at: env::timestamp(), by, act };
        let json = serde_json::to_vec(&entry).expect("an entry is plain text and numbers");
        let index = group.push(stored::ENTRY, &[&json]);
        self.held.put_entry(entry);
        self.pending.push(Pending::Entry { number, index, answer });
        number
    }

    fn finish(&mut self, pending: Pending, locations: &[Location], journal: &mut Journal) {
        match pending {
            Pending::Job { number, index, new, answer } => {
                self.held.place(number, locations[index], journal);
                if new {
                    self.news.fetch_add(1, Ordering::Release);
                }
                if let Some(answer) = answer {
                    let _ = answer.send(self.held.job(number).ok_or_else(|| unknown(number)));
                }
            }
            Pending::Answer { result, answer } => {
                let _ = answer.send(*result);
            }
            Pending::Begun { number, answer } => self.hand_out(number, answer),
            Pending::Entry { number, index, answer } => {
                self.held.place_entry(number, locations[index], journal);
                if let Some(answer) = answer {
                    let _ = answer.send(Ok(number));
                }
            }
        }
    }

    /// Gives a job to its printer, now that its beginning is on disk.
    fn hand_out(&mut self, number: u64, answer: oneshot::Sender<Option<Begun>>) {
        let content = self.held.read(number, &self.reader);
        let (Some(job), Some(content)) = (self.held.job(number), content) else {
            tracing::error!(job = number, "what a job prints cannot be read; it is discarded");
            let _ = self.spool.apply(number, Verdict::Discarded);
            self.refresh(number);
            self.unwritten.push(number);
            // Its printer looks for the next one.
            self.news.fetch_add(1, Ordering::Release);
            return;
        };
        let Job { record, source, kick, .. } = job;
        if answer.send(Some(Begun { record, source, content, kick })).is_err() {
            // Its printer is gone; no byte went out.
            let _ = self.spool.apply(number, Verdict::NotStarted);
            self.refresh(number);
            self.unwritten.push(number);
            self.news.fetch_add(1, Ordering::Release);
        }
    }

    fn fail(&mut self, pending: Pending, problem: &Problem) {
        match pending {
            Pending::Job { number, new, answer, .. } => {
                if new {
                    self.spool.withdraw(number);
                    self.held.withdraw(number);
                }
                if let Some(answer) = answer {
                    let _ = answer.send(Err(problem.clone()));
                }
            }
            Pending::Answer { result, answer } => {
                let _ = answer.send(*result);
            }
            Pending::Begun { number, .. } => {
                let _ = self.spool.apply(number, Verdict::NotStarted);
                self.refresh(number);
            }
            Pending::Entry { number, answer, .. } => {
                self.held.withdraw_entry(number);
                if let Some(answer) = answer {
                    let _ = answer.send(Err(problem.clone()));
                }
            }
        }
    }
}

impl Owner for Keeper {
    type Command = Command;

    fn take(&mut self, command: Command, group: &mut Group) {
        for number in std::mem::take(&mut self.unwritten) {
            self.write_change(number, group);
        }
        // Who waits is not woken by others that look, or they would wake each other for ever.
        self.changes |= !matches!(command, Command::Look(_));
        match command {
            Command::Submit { order, answer } => self.submit(order, answer, group),
            Command::Begin { printer, answer } => self.begin(&printer, answer, group),
            Command::Tell { number, verdict } => self.tell(number, verdict, group),
            Command::Decide { key, wish, by, answer } => {
                self.decide(&key, wish, by, answer, group);
            }
            Command::Note { drawer, by, act, answer } => {
                self.note(drawer, by, act, answer, group);
            }
            Command::Look(look) => self.later.push(look),
            Command::Stop => self.is_stopping = true,
        }
    }

    fn done(&mut self, written: Result<Vec<Location>, CommitError>, journal: &mut Journal) {
        let pending = std::mem::take(&mut self.pending);
        match written {
            Ok(locations) => {
                for pending in pending {
                    self.finish(pending, &locations, journal);
                }
            }
            Err(error) => {
                let problem = not_stored(&error);
                tracing::error!(%error, "the spool cannot write");
                for pending in pending.into_iter().rev() {
                    self.fail(pending, &problem);
                }
            }
        }
        self.held.let_go(journal);
        if std::mem::take(&mut self.changes) {
            self.turn.send_modify(|turn| *turn += 1);
        }
        for look in std::mem::take(&mut self.later) {
            look(self);
        }
    }

    fn checkpoint(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn rewrite(&mut self, segment: u64, group: &mut Group) {
        for number in self.held.jobs_in(segment) {
            let content = self.held.written(number, &self.reader);
            let (Some(job), Some(content)) = (self.held.job(number), content) else { continue };
            let index = group.push(stored::JOB, &[&stored::head(&job), &content]);
            self.pending.push(Pending::Job { number, index, new: false, answer: None });
        }
        for entry in self.held.entries_in(segment) {
            let json = serde_json::to_vec(&entry).expect("an entry is plain text and numbers");
            let index = group.push(stored::ENTRY, &[&json]);
            self.pending.push(Pending::Entry { number: entry.number, index, answer: None });
        }
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping
    }
}

fn unknown(number: u64) -> Problem {
    Problem::new(Code::JobUnknown, format!("job {number} is not known"))
}

fn refusal(error: &SpoolError) -> Problem {
    let code = match error {
        SpoolError::Full | SpoolError::Crowded => Code::StorageFull,
        SpoolError::KeyTaken { .. } => Code::JobConflict,
        SpoolError::Unknown { .. } => Code::JobUnknown,
        SpoolError::State { .. } | SpoolError::Copies { .. } => Code::JobState,
    };
    Problem::new(code, error.to_string())
}

fn not_stored(error: &CommitError) -> Problem {
    match error {
        CommitError::Full => {
            Problem::new(Code::StorageFull, "the disk is full, nothing was stored")
        }
        CommitError::Failed(_) | CommitError::Poisoned => {
            Problem::new(Code::StorageFailed, "the spool takes nothing until the box restarts")
        }
    }
}

/// Whether a record waits for its printer.
fn waits(record: &Record) -> bool {
    record.state == State::Queued
}
