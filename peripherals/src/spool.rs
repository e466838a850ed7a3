//! The spool's policy: which job prints next, and which never again.
//!
//! ```text
//! Queued ──begin──> Sending ──> Sent ──> Printed(level)
//!   │ ^                │          │
//!   │ └─ NotStarted ───┘          ├────> Unknown(doubt) ──late proof──> Printed
//!   ├─ cancel ──> Cancelled       └────> Discarded
//!   └─ expire ──> Expired
//! ```
//! Invariants:
//! - one key is one job: submitting it again answers with that job and prints nothing;
//! - a job leaves `Queued` only through [`Spool::begin`], whose record must be durable before its
//!   first byte goes out; so no crash can make it print twice;
//! - after a restart, a job that had begun is `Unknown`, never `Queued`;
//! - a reprint is a new job that says on its paper that it is a copy;
//! - memory is bounded: queued jobs by refusal, finished ones by forgetting the oldest.
//!
//! The spool does no I/O: every change comes back as a [`Record`] that its owner writes down, and
//! a spool is restored from those records.
//! What a job prints is the owner's too; the spool keeps only its digest, to tell a retry from
//! another receipt under the same key.

mod record;

use std::collections::{BTreeMap, BTreeSet};

pub use record::{Class, Key, KeyError, Record, State};

use crate::printer::{Doubt, Verdict};
use crate::receipt::document::{Cell, Document, Frame, Line, Span, Width};
use crate::receipt::{Align, Style};

/// Jobs that may wait, over all printers.
pub const WAITING_MAX: usize = 2_000;
/// Jobs that may wait for one printer: one that stands still must not stop the others.
pub const WAITING_EACH_MAX: usize = 500;
const _: () = assert!(WAITING_EACH_MAX <= WAITING_MAX / 4, "one printer leaves room for others");
/// Finished jobs remembered, so that their keys never print again; weeks of a busy till.
pub const FINISHED_MAX: usize = 20_000;
/// Copies of one receipt.
pub const COPIES_MAX: u16 = 99;

/// What is asked of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The client's name for the job.
    pub key: Key,
    /// The printer.
    pub printer: String,
    /// What kind of job it is.
    pub class: Class,
    /// A digest of what it prints.
    pub digest: [u8; 16],
    /// After this time, in milliseconds of the owner's clock, it must not print any more.
    pub expires_at: Option<u64>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// A new job waits; write its record down, then tell the client.
    New(Record),
    /// The key is known; this is its job. Nothing is printed.
    Known(Record),
}

/// Why the spool refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// Too many jobs wait.
    #[error("spool a job: {WAITING_MAX} jobs wait already")]
    Full,
    /// Too many jobs wait for this printer.
    #[error("spool a job: {WAITING_EACH_MAX} jobs wait for this printer already")]
    Crowded,
    /// The key belongs to a job that prints something else.
    #[error("spool a job: its key belongs to job {number}, which prints something else")]
    KeyTaken {
        /// That job.
        number: u64,
    },
    /// There is no such job.
    #[error("find job {number}: it is not known, or long forgotten")]
    Unknown {
        /// The number.
        number: u64,
    },
    /// The job is not in a state that allows it.
    #[error("change job {number}: its state does not allow it")]
    State {
        /// The job.
        number: u64,
    },
    /// Too many copies were made of it.
    #[error("copy job {number}: {COPIES_MAX} copies were made already")]
    Copies {
        /// The job.
        number: u64,
    },
}

/// What a change asks of the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Write this record down, replacing an older one of its number.
    Write(Record),
    /// Forget the record, and what the job printed.
    Forget {
        /// The job's number.
        number: u64,
    },
}

/// The jobs of a box.
#[derive(Debug, Default)]
pub struct Spool {
    jobs: BTreeMap<u64, Record>,
    keys: BTreeMap<Key, u64>,
    waiting: BTreeSet<(String, Class, u64)>,
    finished: BTreeSet<u64>,
    last: u64,
}

impl Spool {
    /// A spool from what was written down; jobs that had begun come back as unknown.
    #[must_use]
    pub fn restore(records: impl IntoIterator<Item = Record>) -> (Self, Vec<Change>) {
        let mut spool = Self::default();
        let mut changes = Vec::new();
        for mut record in records {
            spool.last = spool.last.max(record.number);
            if matches!(record.state, State::Sending | State::Sent) {
                record.state = State::Unknown { doubt: Doubt::Restarted };
                changes.push(Change::Write(record.clone()));
            }
            spool.insert(record);
        }
        changes.extend(spool.forget());
        (spool, changes)
    }

    fn insert(&mut self, record: Record) {
        let slot = (record.printer.clone(), record.class, record.number);
        if record.state == State::Queued {
            self.waiting.insert(slot);
        } else {
            self.waiting.remove(&slot);
        }
        if record.state.is_final() {
            self.finished.insert(record.number);
        }
        self.keys.insert(record.key.clone(), record.number);
        self.jobs.insert(record.number, record);
    }

    /// Forgets the oldest finished jobs beyond the limit.
    fn forget(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.finished.len() > FINISHED_MAX {
            let Some(number) = self.finished.pop_first() else { break };
            if let Some(record) = self.jobs.remove(&number) {
                self.keys.remove(&record.key);
                changes.push(Change::Forget { number });
            }
        }
        changes
    }

    /// A job by its number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Record> {
        self.jobs.get(&number)
    }

    /// A job by its key.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<&Record> {
        self.keys.get(key).and_then(|number| self.jobs.get(number))
    }

    /// Every job remembered, oldest first.
    pub fn jobs(&self) -> impl Iterator<Item = &Record> {
        self.jobs.values()
    }

    /// Takes a job in, unless its key is known.
    pub fn submit(&mut self, request: Request) -> Result<Submitted, SpoolError> {
        if let Some(known) = self.find(&request.key) {
            let same = known.digest == request.digest && known.printer == request.printer;
            return if same {
                Ok(Submitted::Known(known.clone()))
            } else {
                Err(SpoolError::KeyTaken { number: known.number })
            };
        }
        Ok(Submitted::New(self.add(request, 0, None)?))
    }

    fn add(&mut self, request: Request, copy: u16, of: Option<u64>) -> Result<Record, SpoolError> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(SpoolError::Full);
        }
        if self.waiting_for(&request.printer).count() >= WAITING_EACH_MAX {
            return Err(SpoolError::Crowded);
        }
        self.last += 1;
        let record = Record {
            number: self.last,
            key: request.key,
            printer: request.printer,
            class: request.class,
            digest: request.digest,
            expires_at: request.expires_at,
            copy,
            of,
            state: State::Queued,
        };
        self.insert(record.clone());
        Ok(record)
    }

    /// Forgets a waiting job whose record could not be written down: it was never taken in.
    pub fn withdraw(&mut self, number: u64) {
        if let Some(record) = self.jobs.get(&number).filter(|job| job.state == State::Queued) {
            self.waiting.remove(&(record.printer.clone(), record.class, number));
            self.keys.remove(&record.key);
            self.jobs.remove(&number);
        }
    }

    /// The job a printer should print next: receipts before reports, then in order.
    #[must_use]
    pub fn next(&self, printer: &str) -> Option<&Record> {
        self.jobs.get(&self.waiting_for(printer).next()?)
    }

    fn waiting_for(&self, printer: &str) -> impl Iterator<Item = u64> {
        let first = (printer.to_owned(), Class::FIRST, 0);
        let mine = self.waiting.range(first..).take_while(move |(found, ..)| found == printer);
        mine.map(|(_, _, number)| *number)
    }

    /// A job is about to be sent. Write the record down before the first byte goes out.
    pub fn begin(&mut self, number: u64) -> Result<Record, SpoolError> {
        self.change(number, |state| (*state == State::Queued).then_some(State::Sending))
    }

    /// A printer said how far its job is.
    ///
    /// What contradicts the job's state is refused: a job in doubt is not queued again, a printed
    /// one does not become unknown.
    pub fn apply(&mut self, number: u64, verdict: Verdict) -> Result<Vec<Change>, SpoolError> {
        let record = self.change(number, |state| match (state, verdict) {
            (State::Sending, Verdict::NotStarted) => Some(State::Queued),
            (State::Sending, Verdict::Sent) => Some(State::Sent),
            (State::Sending | State::Sent, Verdict::Unknown(doubt)) => {
                Some(State::Unknown { doubt })
            }
            (State::Sending | State::Sent | State::Unknown { .. }, Verdict::Printed(level)) => {
                Some(State::Printed { level })
            }
            (State::Sending | State::Sent, Verdict::Discarded) => Some(State::Discarded),
            _ => None,
        })?;
        let mut changes = vec![Change::Write(record)];
        changes.extend(self.forget());
        Ok(changes)
    }

    /// Takes a waiting job back.
    pub fn cancel(&mut self, number: u64) -> Result<Record, SpoolError> {
        self.change(number, |state| (*state == State::Queued).then_some(State::Cancelled))
    }

    /// Ends waiting jobs whose time has passed.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Change> {
        let due: Vec<u64> = self
            .waiting
            .iter()
            .map(|(_, _, number)| *number)
            .filter(|number| {
                self.jobs.get(number).and_then(|job| job.expires_at).is_some_and(|at| at <= now_ms)
            })
            .collect();
        let ended = due.into_iter().filter_map(|number| {
            self.change(number, |state| (*state == State::Queued).then_some(State::Expired)).ok()
        });
        ended.map(Change::Write).collect()
    }

    /// Prints a finished or doubtful job again, as a copy, under a key of its own.
    ///
    /// The copy goes to `printer` if one is named: the way to move a job off a broken printer.
    pub fn copy(
        &mut self,
        number: u64,
        key: Key,
        printer: Option<&str>,
    ) -> Result<Submitted, SpoolError> {
        let first = self.get(number).ok_or(SpoolError::Unknown { number })?;
        let root = first.of.unwrap_or(number);
        if let Some(known) = self.find(&key) {
            let same = known.of == Some(root);
            return if same {
                Ok(Submitted::Known(known.clone()))
            } else {
                Err(SpoolError::KeyTaken { number: known.number })
            };
        }
        let may =
            matches!(first.state, State::Printed { .. } | State::Unknown { .. } | State::Discarded);
        if !may {
            return Err(SpoolError::State { number });
        }
        let made = self.jobs.values().filter(|job| job.of == Some(root)).map(|job| job.copy).max();
        let copy = made.unwrap_or(0) + 1;
        if copy > COPIES_MAX {
            return Err(SpoolError::Copies { number });
        }
        let request = Request {
            key,
            printer: printer.unwrap_or(&first.printer).to_owned(),
            class: first.class,
            digest: first.digest,
            expires_at: None,
        };
        Ok(Submitted::New(self.add(request, copy, Some(root))?))
    }

    fn change(
        &mut self,
        number: u64,
        step: impl FnOnce(&State) -> Option<State>,
    ) -> Result<Record, SpoolError> {
        let mut record = self.jobs.get(&number).ok_or(SpoolError::Unknown { number })?.clone();
        record.state = step(&record.state).ok_or(SpoolError::State { number })?;
        self.insert(record.clone());
        Ok(record)
    }
}

/// The document as a job prints it: a copy says so above, and every receipt ends with a short code
/// by which two of them can be told to be the same.
#[must_use]
pub fn marked(document: &Document, record: &Record) -> Document {
    let line = |text: String, style: Style| Line::Text {
        cells: vec![Cell {
            align: Align::Center,
            width: Width::Share,
            spans: vec![Span::Text(text, style)],
        }],
        frame: Frame::default(),
    };
    let mut lines = document.lines.clone();
    if record.copy > 0 {
        let style = Style { bold: true, height: 2, ..Style::default() };
        lines.insert(0, line(format!("*** COPY {} ***", record.copy), style));
    }
    // Before the cut that ends it, so that the code is on the receipt and not on the next one.
    let end = match lines.last() {
        Some(Line::Cut) => lines.len() - 1,
        Some(_) | None => lines.len(),
    };
    lines.insert(end, line(record.short_code(), Style::default()));
    Document { lines, warnings: document.warnings.clone() }
}

#[cfg(test)]
mod tests;
