//! The one owner of outbox and journal; runs on the committer's thread.
//!
//! What is accepted is applied at once, so that the next one in the group sees it, and withdrawn if the group cannot
//! be written.
//! Everything else is applied after the group was written.

mod admit;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use storebox_proto::ids::{Hash32, SinkId, TxKey};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{By, Event, Outbox, Record, Verdict, Work};
use storebox_proto::ticket::Receipt;
use tokio::sync::{oneshot, watch};

use super::command::{Act, Command, Given, News, OutboxFigures, Said, Taken, Told};
use super::documents::Held;
use super::refusals::{not_done, not_stored};
use super::settled::{Settled, SettledKeys};
use super::takeover::Quiet;
use admit::unwritten;
use places::replace;

pub(super) use places::{read_envelope, read_if_whole};

use crate::journal::{
    CommitError, GROUP_BYTES_TARGET, Group, Journal, Location, Owner, Reader, Usage,
};

/// The kind of the outbox's records in the journal.
pub(super) const RECORD: u8 = 1;
/// Callers that wait for a transaction to be settled.
const WATCHERS_MAX: usize = 1024;
/// Refusals of neighbours' transactions that are remembered.
const RETURNED_MAX: usize = 1024;

pub(super) struct Keeper {
    pub(super) outbox: Outbox,
    pub(super) settled: SettledKeys,
    pub(super) documents: Held,
    pub(super) locations: BTreeMap<u64, Location>,
    pub(super) conflict_locations: BTreeMap<u64, Location>,
    pub(super) reader: Reader,
    pub(super) usage: Usage,
    pub(super) rng: ChaCha8Rng,
    pub(super) wake: watch::Sender<u64>,
    quiet: Quiet,
    watchers: BTreeMap<TxKey, Vec<oneshot::Sender<Receipt>>>,
    /// Neighbours' transactions that were refused; who asks later sends them once more.
    returned: BTreeMap<TxKey, (Hash32, Problem)>,
    pending: Vec<Pending>,
    /// Decided between groups; goes into the next one.
    unwritten: Vec<Record>,
    /// What only looks, and waits for the group to be on disk.
    later: Vec<Command>,
    is_stopping: bool,
}

/// What a group is about, in the order of its commands.
enum Pending {
    Accept {
        answer: oneshot::Sender<Result<Told, Problem>>,
        result: Result<Taken, Problem>,
        written: Option<(usize, Record)>,
        /// The neighbour's word for what it made this box's own.
        claimed: Option<Box<Receipt>>,
        document: Option<String>,
    },
    /// To be applied, written or not: the sink's word does not depend on our disk.
    Heard {
        records: Vec<Record>,
        receipts: Vec<(u64, Receipt)>,
        answer: oneshot::Sender<()>,
    },
    Act {
        record: Record,
        index: usize,
        answer: oneshot::Sender<Result<(), Problem>>,
    },
    Carried {
        position: u64,
        index: usize,
    },
    CarriedConflict {
        number: u64,
        index: usize,
    },
}

impl Keeper {
    pub(super) fn new(
        outbox: Outbox,
        settled: SettledKeys,
        documents: Held,
        reader: Reader,
        rng: ChaCha8Rng,
        quiet: Quiet,
    ) -> Self {
        Self {
            outbox,
            settled,
            documents,
            locations: BTreeMap::new(),
            conflict_locations: BTreeMap::new(),
            reader,
            usage: Usage::default(),
            rng,
            wake: watch::Sender::new(0),
            quiet,
            watchers: BTreeMap::new(),
            returned: BTreeMap::new(),
            pending: Vec::new(),
            unwritten: Vec::new(),
            later: Vec::new(),
            is_stopping: false,
        }
    }

    pub(super) fn figures(&self) -> OutboxFigures {
        let waiting = self.outbox.held() as u64;
        let accepted = self.outbox.accepted();
        let oldest = self.outbox.oldest();
        let given_up = self.outbox.given_up_total();
        OutboxFigures {
            waiting,
            oldest,
            quarantined: self.outbox.quarantined() as u64,
            conflicts: self.outbox.conflicts().count() as u64,
            accepted,
            settled: accepted - waiting - given_up,
            given_up,
            guests: self.outbox.guests() as u64,
            usage: self.usage,
            sinks: self.outbox.sinks(),
        }
    }

    fn hear(
        &mut self,
        sink: &SinkId,
        news: News,
        now: Instant,
    ) -> (Vec<Record>, Vec<(u64, Receipt)>) {
        match news {
            News::Answers { answers, receipts } => {
                self.note_returned(&answers);
                (self.outbox.handle_answers(sink, &answers, now, &mut self.rng), receipts)
            }
            News::Known { receipts } => {
                let known: Vec<u64> = receipts.iter().map(|(position, _)| *position).collect();
                (self.outbox.handle_known(sink, &known), receipts)
            }
            News::Failed(failure) => {
                (self.outbox.handle_failure(sink, failure, now, &mut self.rng), Vec::new())
            }
            News::Unreadable { positions } => {
                (self.outbox.handle_unreadable(sink, &positions), Vec::new())
            }
            News::LinkUp => {
                self.outbox.handle_link_up(sink);
                (Vec::new(), Vec::new())
            }
            News::Restarted => {
                self.outbox.handle_restart(sink);
                (Vec::new(), Vec::new())
            }
        }
    }

    /// Whether exactly this was refused when it was passed on for a neighbour.
    pub(super) fn has_returned(&self, key: &TxKey, digest: &Hash32) -> bool {
        self.returned.get(key).is_some_and(|(known, _)| known == digest)
    }

    /// Remembers why neighbours' transactions were refused, until they ask again.
    fn note_returned(&mut self, answers: &[(u64, Verdict)]) {
        for (position, verdict) in answers {
            let (Verdict::Refused(problem), Some(_)) = (verdict, self.outbox.guest(*position))
            else {
                continue;
            };
            if let Some((meta, digest, _)) = self.outbox.entry(*position) {
                self.returned.insert(meta.key, (digest, problem.clone()));
            }
            while self.returned.len() > RETURNED_MAX {
                self.returned.pop_first();
            }
        }
    }

    fn act(
        &mut self,
        act: Act,
        by: By,
        answer: oneshot::Sender<Result<(), Problem>>,
        group: &mut Group,
    ) {
        // What was decided in this group is not part of the state yet, by which the next one would be judged.
        if self.pending.iter().any(|pending| matches!(pending, Pending::Act { .. })) {
            let detail =
                "somebody else decides about a transaction at this very moment: look again";
            let _ = answer.send(Err(Problem::new(Code::Busy, detail)));
            return;
        }
        let (decided, bytes) = match act {
            Act::Retry(key) => (self.outbox.retry(&key, by), None),
            Act::Repair { meta, bytes } => (self.outbox.repair(*meta, by), Some(bytes)),
            Act::GiveUp(key) => (self.outbox.give_up(&key, by), None),
            Act::Dismiss(number) => (self.outbox.dismiss(number, by), None),
        };
        match decided {
            Ok(record) => {
                let head = record.event.encode_head();
                let index = group.push(RECORD, &[&head, bytes.as_deref().unwrap_or_default()]);
                self.pending.push(Pending::Act { record, index, answer });
            }
            Err(error) => {
                let _ = answer.send(Err(not_done(&error)));
            }
        }
    }

    /// Asked here and not before the question is sent: what was accepted in the meantime is not offered either.
    fn poll(&mut self, sink: &SinkId, now: Instant) -> Given {
        if self.quiet.is_kept() {
            return Given { work: Work::Nothing, locations: Vec::new(), guests: Vec::new() };
        }
        loop {
            let work = self.outbox.poll(sink, now);
            let items: &[_] = match &work {
                Work::Stuck(record) => {
                    tracing::warn!(?record, "transactions wait for each other");
                    self.outbox.apply(record);
                    self.unwritten.push((**record).clone());
                    continue;
                }
                Work::Send(batch) => &batch.items,
                Work::Ask(items) => items,
                Work::Nothing | Work::Wait { .. } => &[],
            };
            let locations =
                items.iter().map(|item| self.locations.get(&item.position).copied()).collect();
            let guests = items.iter().map(|item| self.outbox.guest(item.position).cloned());
            let guests = guests.collect();
            return Given { work, locations, guests };
        }
    }

    fn look(&mut self, command: Command) {
        match command {
            Command::Poll { sink, now, answer } => {
                let given = self.poll(&sink, now);
                if answer.send(given).is_err() {
                    // Whoever asked is gone, and so is what was given out: it may be asked for anew.
                    self.outbox.handle_restart(&sink);
                }
            }
            Command::Watch { key, answer } => self.watch(key, answer),
            Command::Look(look) => look(self),
            Command::Stop => self.is_stopping = true,
            Command::Accept(_) | Command::Report { .. } | Command::Act { .. } => {
                unreachable!("commands that write are taken into the group")
            }
        }
    }

    fn watch(&mut self, key: TxKey, answer: oneshot::Sender<Receipt>) {
        if let Some(settled) = self.settled.get(&key) {
            let _ = answer.send(settled.receipt);
            return;
        }
        if self.watchers.len() >= WATCHERS_MAX {
            self.watchers.retain(|_, waiting| {
                waiting.retain(|answer| !answer.is_closed());
                !waiting.is_empty()
            });
        }
        if self.watchers.len() < WATCHERS_MAX {
            self.watchers.entry(key).or_default().push(answer);
        }
    }

    fn finish(
        &mut self,
        pending: Pending,
        written: Result<(&[Location], &mut impl Iterator<Item = Told>), &Problem>,
        unwritten: &BTreeSet<u64>,
        journal: &mut Journal,
    ) {
        match (pending, written) {
            (
                Pending::Accept { answer, result, written: record, document, .. },
                Ok((locations, told)),
            ) => {
                if let Some((index, record)) = record {
                    self.place(&record, locations[index], journal, document);
                }
                let result = result.map(|_| told.next().expect("one for each that is taken"));
                let _ = answer.send(result);
            }
            (Pending::Accept { answer, result, written: record, claimed, .. }, Err(problem)) => {
                match (&record, &result, claimed) {
                    (Some(_), Ok(taken), Some(guest)) => {
                        self.outbox.disclaim(taken.position, guest);
                    }
                    (Some((_, record)), _, _) => self.outbox.withdraw(record),
                    (None, _, _) => {}
                }
                let stands = |taken: &Taken| !unwritten.contains(&taken.position);
                let result = match result {
                    Ok(taken) if !stands(&taken) => Err(problem.clone()),
                    other @ (Ok(_) | Err(_)) => other.map(Told::alone),
                };
                let _ = answer.send(result);
            }
            (Pending::Heard { records, receipts, answer }, _) => {
                for record in &records {
                    self.note_settled(record, &receipts);
                    tell(record, &self.outbox);
                    self.outbox.apply(record);
                }
                let _ = answer.send(());
            }
            (Pending::Act { record, index, answer }, Ok((locations, _))) => {
                tracing::info!(event = ?record.event, "operator acted on a transaction");
                self.outbox.apply(&record);
                self.place(&record, locations[index], journal, None);
                let _ = answer.send(Ok(()));
            }
            (Pending::Act { answer, .. }, Err(problem)) => {
                let _ = answer.send(Err(problem.clone()));
            }
            (Pending::Carried { position, index }, Ok((locations, _))) => {
                self.move_to(position, locations[index], journal);
            }
            (Pending::CarriedConflict { number, index }, Ok((locations, _))) => {
                let old = self.conflict_locations.insert(number, locations[index]);
                replace(old, locations[index], journal);
            }
            (Pending::Carried { .. } | Pending::CarriedConflict { .. }, Err(_)) => {}
        }
    }

    fn note_settled(&mut self, record: &Record, receipts: &[(u64, Receipt)]) {
        let Event::Settled { positions } = &record.event else { return };
        for position in positions {
            let receipt = receipts.iter().find(|(known, _)| known == position);
            let (Some((_, receipt)), Some((meta, digest, at))) =
                (receipt, self.outbox.entry(*position))
            else {
                continue;
            };
            let key = meta.key;
            let settled = Settled { digest, position: *position, at, receipt: receipt.clone() };
            self.settled.put(&key, &settled);
            for watcher in self.watchers.remove(&key).into_iter().flatten() {
                let _ = watcher.send(receipt.clone());
            }
        }
    }
}

impl Owner for Keeper {
    type Command = Command;

    fn take(&mut self, command: Command, group: &mut Group) {
        for record in std::mem::take(&mut self.unwritten) {
            group.push_release(RECORD, &[&record.event.encode_head()]);
        }
        match command {
            Command::Accept(accept) => self.accept(accept, group),
            Command::Report { sink, news, now, answer } => {
                let (records, receipts) = self.hear(&sink, news, now);
                for record in &records {
                    group.push_release(RECORD, &[&record.event.encode_head()]);
                }
                self.pending.push(Pending::Heard { records, receipts, answer });
            }
            Command::Act { act, by, answer } => self.act(act, by, answer, group),
            Command::Poll { .. } | Command::Watch { .. } | Command::Look(_) | Command::Stop => {
                self.later.push(command);
            }
        }
    }

    fn done(&mut self, written: Result<Vec<Location>, CommitError>, journal: &mut Journal) {
        let changes = !self.pending.is_empty();
        let pending = std::mem::take(&mut self.pending);
        let unwritten = if written.is_err() { unwritten(&pending) } else { BTreeSet::new() };
        match &written {
            Ok(locations) => {
                let mut told = Said::of(pending.iter().filter_map(Pending::taken).collect()).tell();
                for pending in pending {
                    self.finish(pending, Ok((locations, &mut told)), &unwritten, journal);
                }
            }
            Err(error) => {
                let problem = not_stored(error);
                for pending in pending.into_iter().rev() {
                    let written = Err::<(_, &mut std::iter::Empty<Told>), _>(&problem);
                    self.finish(pending, written, &unwritten, journal);
                }
            }
        }
        self.let_go(journal);
        self.usage = journal.usage();
        for command in std::mem::take(&mut self.later) {
            self.look(command);
        }
        if changes {
            self.wake.send_modify(|count| *count += 1);
        }
    }

    fn checkpoint(&mut self) -> Vec<u8> {
        self.outbox.checkpoint()
    }

    fn rewrite(&mut self, segment: u64, group: &mut Group) {
        let within = |location: &&Location| location.segment == segment;
        let held = self.locations.iter().filter(|(_, location)| within(location));
        for (position, location) in held {
            if group.bytes() >= GROUP_BYTES_TARGET {
                return;
            }
            let Some(event) = self.outbox.carry(*position) else { continue };
            let Some(bytes) = read_envelope(&self.reader, location) else { continue };
            let index = group.push(RECORD, &[&event.encode_head(), &bytes]);
            self.pending.push(Pending::Carried { position: *position, index });
        }
        let kept = self.conflict_locations.iter().filter(|(_, location)| within(location));
        for (number, location) in kept {
            if group.bytes() >= GROUP_BYTES_TARGET {
                return;
            }
            let Some(event) = self.outbox.carry_conflict(*number) else { continue };
            let Some(bytes) = read_envelope(&self.reader, location) else { continue };
            let index = group.push(RECORD, &[&event.encode_head(), &bytes]);
            self.pending.push(Pending::CarriedConflict { number: *number, index });
        }
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping
    }
}

fn tell(record: &Record, outbox: &Outbox) {
    if let Event::Quarantined { position, problem } = &record.event
        && let Some((meta, _, _)) = outbox.entry(*position)
    {
        let (ticket, code) = (meta.key, problem.code);
        tracing::warn!(%ticket, %code, detail = problem.detail, "transaction was refused and waits");
    }
}
