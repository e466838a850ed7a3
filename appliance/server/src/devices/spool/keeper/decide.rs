//! What persons decide, what they look at, and room for what they send.

use bytes::Bytes;
use storebox_peripherals::printer::{Level, Verdict};
use storebox_peripherals::spool::{Key, State, Submitted};
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::{Code, Problem};
use tokio::sync::oneshot;

use super::super::limits::{
    CONTENT_BYTES_MAX, CONTENT_EACH_MAX, CONTENT_KEPT, DROPPED_AT_ONCE_MAX, JOBS_PAGE_MAX,
};
use super::super::stored::{self, Decision, Entry, Job};
use super::super::{Order, Wish};
use super::{Keeper, Pending, refusal, unknown, waits};
use crate::devices::rendering::Source;
use crate::env;
use crate::journal::Group;

impl Keeper {
    pub(super) fn decide(
        &mut self,
        key: &Key,
        wish: Wish,
        by: String,
        answer: oneshot::Sender<Result<Job, Problem>>,
        group: &mut Group,
    ) {
        let Some(number) = self.spool.find(key).map(|record| record.number) else {
            let problem =
                Problem::new(Code::JobUnknown, format!("no job has the key {}", key.as_str()));
            self.pending.push(Pending::Answer { result: Box::new(Err(problem)), answer });
            return;
        };
        let decided = match wish {
            Wish::Printed => self.call_printed(number).map(|()| "printed"),
            Wish::Cancel => match self.spool.cancel(number) {
                Ok(_) => Ok("cancel"),
                Err(error) => Err(refusal(&error)),
            },
            Wish::Reprint { key, printer } => {
                return self.reprint(number, key, printer, by, answer, group);
            }
        };
        if let Ok(what) = decided {
            self.note_decision(number, what, by, group);
        }
        let result = decided.and_then(|_| self.held.job(number).ok_or_else(|| unknown(number)));
        self.pending.push(Pending::Answer { result: Box::new(result), answer });
    }

    /// A person has seen it on paper; nothing else may override what a printer said.
    fn call_printed(&mut self, number: u64) -> Result<(), Problem> {
        match self.spool.get(number).map(|record| record.state) {
            Some(State::Unknown { .. }) => {
                let verdict = Verdict::Printed(Level::HandedOver);
                self.spool.apply(number, verdict).map(drop).map_err(|error| refusal(&error))
            }
            Some(_) => Err(Problem::new(Code::JobState, "only a job in doubt needs this decision")),
            None => Err(unknown(number)),
        }
    }

    fn note_decision(&mut self, number: u64, what: &str, by: String, group: &mut Group) {
        let decision = Decision { what: what.to_owned(), by, at: env::timestamp() };
        self.held.change(number, |job| job.decision = Some(decision));
        self.write_change(number, group);
    }

    fn reprint(
        &mut self,
        number: u64,
        key: Key,
        printer: Option<DeviceId>,
        by: String,
        answer: oneshot::Sender<Result<Job, Problem>>,
        group: &mut Group,
    ) {
        let content = self.held.read(number, &self.reader);
        let original = self.held.job(number).filter(|job| job.bytes > 0);
        let (Some(original), Some(content)) = (original, content) else {
            let detail = "what it prints was dropped; only its key is still known";
            let result = Err(Problem::new(Code::JobForgotten, detail));
            self.pending.push(Pending::Answer { result: Box::new(result), answer });
            return;
        };
        let printer = printer.as_ref().map(DeviceId::as_str);
        match self.spool.copy(number, key, printer) {
            Ok(Submitted::New(record)) => {
                self.note_decision(number, "reprint", by.clone(), group);
                let at = env::timestamp();
                let (changed, decision, kick) = (at, None, None);
                let copy = Job { record, by, at, changed, decision, kick, ..original };
                self.write_job(copy, &content, Some(answer), group);
            }
            Ok(Submitted::Known(record)) => self.answer_known(Ok(record.number), answer),
            Err(error) => self.answer_known(Err(error), answer),
        }
    }

    /// Makes room for what a new job prints, or says why there is none.
    ///
    /// Each printer has its share: one that stands still must not stop the receipts of the others.
    pub(super) fn room_for(&mut self, order: &Order, group: &mut Group) -> Option<&'static str> {
        let needed = order.content.len();
        let waiting = self.held.full().filter(|job| !job.record.state.is_final());
        let mine = waiting.filter(|job| job.record.printer == order.request.printer);
        if mine.map(|job| job.bytes).sum::<usize>() + needed > CONTENT_EACH_MAX {
            return Some("the spool is full of jobs that wait for this printer");
        }
        let has_room = self.make_room(needed, group);
        (!has_room).then_some("the spool is full of jobs that wait")
    }

    /// Drops what finished jobs print until there is room; false if jobs that wait leave none.
    fn make_room(&mut self, needed: usize, group: &mut Group) -> bool {
        let now = env::timestamp().unix_ms();
        let kept_ms = i64::try_from(CONTENT_KEPT.as_millis()).unwrap_or(i64::MAX);
        for _ in 0..DROPPED_AT_ONCE_MAX {
            let is_short = self.held.content() + needed > CONTENT_BYTES_MAX;
            let droppable = |job: &&Job| {
                job.record.state.is_final()
                    && (is_short || now.saturating_sub(job.changed.unix_ms()) > kept_ms)
            };
            let Some(mut job) = self.held.full().find(droppable).cloned() else { break };
            job.bytes = 0;
            let number = job.record.number;
            let index = group.push_release(stored::JOB, &[&stored::head(&job)]);
            self.held.put(job);
            self.pending.push(Pending::Job { number, index, new: false, answer: None });
        }
        self.held.content() + needed <= CONTENT_BYTES_MAX
    }

    pub(in super::super) fn find(&self, key: &Key) -> Option<Job> {
        self.held.job(self.spool.find(key)?.number)
    }

    pub(in super::super) fn content(&self, key: &Key) -> Option<(Source, Bytes)> {
        let job = self.find(key).filter(|job| job.bytes > 0 && !job.secret)?;
        Some((job.source, self.held.read(job.record.number, &self.reader)?))
    }

    pub(in super::super) fn jobs(&self, printer: &DeviceId, limit: usize) -> Vec<Job> {
        let mine = self.held.jobs().rev().filter(|job| job.record.printer == printer.as_str());
        mine.take(limit.min(JOBS_PAGE_MAX)).cloned().collect()
    }

    pub(in super::super) fn figures(&self, printer: &DeviceId) -> (usize, usize) {
        let mine = || self.held.jobs().filter(|job| job.record.printer == printer.as_str());
        let doubtful = |job: &&Job| {
            matches!(job.record.state, State::Unknown { .. }) && job.decision.is_none()
        };
        (mine().filter(|job| waits(&job.record)).count(), mine().filter(doubtful).count())
    }

    pub(in super::super) fn entries(&self, drawer: &DeviceId, limit: usize) -> Vec<Entry> {
        self.held.entries_of(drawer, limit)
    }
}
