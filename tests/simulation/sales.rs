//! A box's transactions: a journal that survives crashes, and the machine that orders and sends.
//!
//! The driver is as the real one: what the machine decides is written, what is confirmed was flushed,
//! and after a crash the machine is made again from the journal's bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use storebox_proto::ids::{Hash32, SinkId, TxKey};
use storebox_proto::problem::Problem;
use storebox_proto::sync::outbox::{
    Admission, Batch, By, Failure, Item, Limits, Meta, Outbox, Record, SinkDef, Verdict, Work,
};
use storebox_proto::ticket::settle::KeyedAnswer;
use storebox_proto::ticket::{Answer, Envelope, Receipt};
use storebox_proto::time::Timestamp;

use crate::defects::Defect;
use crate::net::Message;
use crate::tills::POISON;

/// How long the main server may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What is in the journal's segments.
enum Piece {
    /// The small state at the start of a segment.
    Checkpoint(Vec<u8>),
    Record(Vec<u8>),
}

/// A batch or question that was sent.
struct Sent {
    number: u64,
    items: Vec<Item>,
    until: Instant,
}

/// The sales side of one box.
pub(crate) struct Sales {
    /// The box's number.
    pub(crate) number: usize,
    main: SinkId,
    archive: SinkId,
    /// Durable.
    journal: Vec<Piece>,
    /// Keys in the durable journal.
    durable: BTreeSet<TxKey>,
    /// Written, not flushed.
    tail: Vec<Vec<u8>>,
    /// Tills that wait for the flush.
    waiting: Vec<TxKey>,
    pub(crate) outbox: Outbox,
    pub(crate) envelopes: BTreeMap<u64, Envelope>,
    sent: Option<Sent>,
    numbers: u64,
    waits_until: Option<Instant>,
    /// What the best-effort sink has got.
    pub(crate) archived: BTreeSet<TxKey>,
    /// What this box takes for settled.
    pub(crate) settled: BTreeMap<TxKey, Hash32>,
    /// Guests that the main server refused, for the boxes that ask again.
    pub(crate) returned: BTreeMap<TxKey, (Hash32, Problem)>,
    /// Nothing is offered while something is taken back.
    pub(crate) hushed: bool,
    pub(crate) changed: bool,
    pub(crate) defect: Defect,
}

impl Sales {
    pub(crate) fn start(number: usize, defect: Defect) -> Self {
        let (main, archive): (SinkId, SinkId) =
            ("main".parse().unwrap(), "archive".parse().unwrap());
        Self {
            outbox: empty_outbox(&main, &archive),
            number,
            main,
            archive,
            journal: vec![],
            durable: BTreeSet::new(),
            tail: vec![],
            waiting: vec![],
            envelopes: BTreeMap::new(),
            sent: None,
            numbers: 0,
            waits_until: None,
            archived: BTreeSet::new(),
            settled: BTreeMap::new(),
            returned: BTreeMap::new(),
            hushed: false,
            changed: false,
            defect,
        }
    }

    /// A till hands over an envelope; it is confirmed by the next flush.
    pub(crate) fn append(&mut self, envelope: Envelope, clock: Timestamp) {
        let canonical = envelope.canonical();
        match self.outbox.admit(&Meta::of(&envelope, &canonical), clock) {
            Admission::New { position, record } => {
                self.waiting.push(envelope.key);
                self.envelopes.insert(position, envelope);
                self.write(&record);
            }
            Admission::Again { .. } => self.waiting.push(envelope.key),
            Admission::Claimed { record, .. } => {
                self.waiting.push(envelope.key);
                self.write(&record);
            }
            Admission::Conflict { code, .. } => panic!("{} contradicts: {code}", envelope.key),
            Admission::Full { held } => panic!("{held} are held, the simulation is too long"),
        }
    }

    /// The flush is done; these keys are confirmed.
    pub(crate) fn flushed(&mut self) -> Vec<TxKey> {
        for bytes in std::mem::take(&mut self.tail) {
            self.keep(bytes);
        }
        self.changed = true;
        std::mem::take(&mut self.waiting)
    }

    /// What is to be sent now.
    pub(crate) fn requests(&mut self, now: Instant, rng: &mut ChaCha8Rng) -> Vec<Message> {
        self.archive_some(now, rng);
        if self.hushed {
            return vec![];
        }
        let main = self.main.clone();
        let mut work = self.outbox.poll(&main, now);
        while let Work::Stuck(record) = work {
            self.write(&record);
            work = self.outbox.poll(&main, now);
        }
        self.numbers += 1;
        let batch = self.numbers;
        let (items, message) = match work {
            Work::Nothing | Work::Stuck(_) => return vec![],
            Work::Wait { until, .. } => {
                self.wait_until(until);
                return vec![];
            }
            Work::Send(Batch { mut items }) => {
                if self.defect == Defect::NoOrder {
                    items.reverse();
                }
                let envelope = |item: &Item| self.envelopes[&item.position].clone();
                let envelopes = items.iter().map(envelope).collect();
                let origins = items.iter().map(|item| self.origin(item.position)).collect();
                (items, Message::Settle { batch, envelopes, origins })
            }
            Work::Ask(items) => {
                let keys = items.iter().map(|item| item.key).collect();
                (items, Message::AskKeys { batch, keys })
            }
        };
        let sent = Sent { number: batch, items, until: now + ANSWER_MAX };
        self.sent = Some(sent);
        vec![message]
    }

    /// The main server answered a batch.
    pub(crate) fn answered(
        &mut self,
        batch: u64,
        answers: &[KeyedAnswer],
        now: Instant,
        rng: &mut ChaCha8Rng,
    ) {
        let Some(sent) = self.sent.take_if(|sent| sent.number == batch) else { return };
        let verdict = |item: &Item| {
            let answer = answers.iter().find(|answer| answer.key == item.key)?;
            Some((item.position, verdict_of(&answer.answer, item)))
        };
        let verdicts: Vec<(u64, Verdict)> = sent.items.iter().filter_map(verdict).collect();
        let taken = |item: &&Item| {
            verdicts.iter().any(|(at, verdict)| *at == item.position && *verdict == Verdict::Taken)
        };
        self.settled.extend(sent.items.iter().filter(taken).map(|item| (item.key, item.digest)));
        for (position, verdict) in &verdicts {
            let item = sent.items.iter().find(|item| item.position == *position);
            if let (Verdict::Refused(problem), Some(item), Some(_)) =
                (verdict, item, self.outbox.guest(*position))
            {
                self.returned.insert(item.key, (item.digest, problem.clone()));
            }
        }
        let records = self.outbox.handle_answers(&self.main, &verdicts, now, rng);
        self.write_all(&records);
    }

    /// The main server told which of the asked it has.
    pub(crate) fn told(&mut self, batch: u64, receipts: &[Receipt]) {
        let Some(sent) = self.sent.take_if(|sent| sent.number == batch) else { return };
        let has = |item: &&Item| {
            receipts.iter().any(|receipt| receipt.key == item.key && receipt.digest == item.digest)
        };
        let known: Vec<Item> = sent.items.iter().filter(has).copied().collect();
        self.settled.extend(known.iter().map(|item| (item.key, item.digest)));
        let positions: Vec<u64> = known.iter().map(|item| item.position).collect();
        let records = self.outbox.handle_known(&self.main, &positions);
        self.write_all(&records);
    }

    /// The line was down when the batch was to be sent.
    pub(crate) fn unreachable(&mut self, now: Instant, rng: &mut ChaCha8Rng) {
        if self.sent.take().is_some() {
            let failure = Failure::Unreachable;
            let records = self.outbox.handle_failure(&self.main, failure, now, rng);
            self.write_all(&records);
        }
    }

    pub(crate) fn link_up(&mut self) {
        self.outbox.handle_link_up(&self.main);
    }

    pub(crate) fn timeout(&mut self, now: Instant, rng: &mut ChaCha8Rng) {
        self.waits_until.take_if(|until| *until <= now);
        if self.sent.take_if(|sent| sent.until <= now).is_some() {
            let records = self.outbox.handle_failure(&self.main, Failure::Lost, now, rng);
            self.write_all(&records);
        }
    }

    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.sent.as_ref().map(|sent| sent.until).into_iter().chain(self.waits_until).min()
    }

    /// A person gives what was refused another content.
    pub(crate) fn repair(&mut self, clock: Timestamp) {
        for summary in self.outbox.list(0, true, usize::MAX) {
            let envelope = self.envelopes.get_mut(&summary.position).unwrap();
            envelope.payload.remove(POISON);
            let meta = Meta::of(envelope, &envelope.canonical());
            let by = By::new("the operator", clock);
            let record = self.outbox.repair(meta, by).expect("it is in quarantine");
            self.write(&record);
        }
    }

    /// Writes what still matters once more, so that the old segments can go.
    pub(crate) fn compact(&mut self) {
        if !self.tail.is_empty() {
            return;
        }
        self.journal = vec![Piece::Checkpoint(self.outbox.checkpoint())];
        self.durable.clear();
        let positions: Vec<u64> = self.outbox.positions().collect();
        for position in positions {
            let event = self.outbox.carry(position).expect("the position is there");
            let mut bytes = event.encode_head();
            bytes.extend(self.envelopes[&position].canonical());
            self.keep(bytes);
        }
        self.changed = true;
    }

    /// What was not flushed is gone, except for some of its beginning.
    pub(crate) fn crash(&mut self, rng: &mut ChaCha8Rng) {
        let written = rng.random_range(0..=self.tail.len());
        for bytes in std::mem::take(&mut self.tail).into_iter().take(written) {
            self.keep(bytes);
        }
        self.waiting.clear();
        self.returned.clear();
        self.hushed = false;
        self.sent = None;
        self.waits_until = None;
        self.changed = true;
    }

    /// Makes the machine again from the journal.
    pub(crate) fn restart(&mut self) {
        self.outbox = empty_outbox(&self.main, &self.archive);
        self.envelopes.clear();
        for piece in &self.journal {
            match piece {
                Piece::Checkpoint(bytes) => self.outbox.restore(bytes).unwrap(),
                Piece::Record(bytes) => {
                    let record = Record::decode(bytes).unwrap();
                    self.outbox.apply(&record);
                    if let Some(meta) = &record.meta
                        && let Some(position) = self.outbox.position(&meta.key)
                    {
                        let envelope = Record::envelope(bytes).unwrap();
                        self.envelopes.insert(position, Envelope::parse(envelope).unwrap());
                    }
                }
            }
        }
        self.outbox.poll_released();
    }

    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether the key is on this box's disk.
    pub(crate) fn holds(&self, key: &TxKey) -> bool {
        self.durable.contains(key)
    }

    pub(crate) fn settled(&self) -> impl Iterator<Item = &TxKey> {
        self.settled.keys()
    }

    /// Whether every sink has everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.outbox.positions().next().is_none()
    }

    pub(crate) fn archived(&self, key: &TxKey) -> bool {
        self.archived.contains(key)
    }

    pub(crate) fn summary(&self) -> String {
        format!("holds {:?}", self.outbox.list(0, false, 3))
    }

    /// The best-effort sink takes what it is given, more often than not.
    fn archive_some(&mut self, now: Instant, rng: &mut ChaCha8Rng) {
        while let Work::Send(Batch { items }) | Work::Ask(items) =
            self.outbox.poll(&self.archive.clone(), now)
        {
            if rng.random_ratio(1, 4) {
                let failure = [Failure::Unreachable, Failure::Lost, Failure::Unavailable];
                let failure = failure[rng.random_range(0..3)].clone();
                self.outbox.handle_failure(&self.archive, failure, now, rng);
                continue;
            }
            self.archived.extend(items.iter().map(|item| item.key));
            let taken: Vec<_> = items.iter().map(|item| (item.position, Verdict::Taken)).collect();
            let records = self.outbox.handle_answers(&self.archive, &taken, now, rng);
            self.write_all(&records);
        }
        if let Work::Wait { until, .. } = self.outbox.poll(&self.archive.clone(), now) {
            self.wait_until(until);
        }
    }

    fn wait_until(&mut self, until: Instant) {
        self.waits_until = Some(self.waits_until.map_or(until, |other| other.min(until)));
    }

    fn write_all(&mut self, records: &[Record]) {
        records.iter().for_each(|record| self.write(record));
    }

    /// Applies a record and writes it behind the others.
    pub(crate) fn write(&mut self, record: &Record) {
        self.outbox.apply(record);
        let mut bytes = record.event.encode_head();
        if let Some(meta) = &record.meta {
            let position = self.outbox.position(&meta.key).expect("it was just applied");
            bytes.extend(self.envelopes[&position].canonical());
        }
        self.tail.push(bytes);
        for position in self.outbox.poll_released() {
            self.envelopes.remove(&position);
        }
        self.changed = true;
    }

    fn keep(&mut self, bytes: Vec<u8>) {
        let record = Record::decode(&bytes).unwrap();
        self.durable.extend(record.meta.map(|meta| meta.key));
        self.journal.push(Piece::Record(bytes));
    }
}

fn empty_outbox(main: &SinkId, archive: &SinkId) -> Outbox {
    let limits = Limits { batch_envelopes_max: 5, ..Limits::default() };
    let sinks = [(main, true), (archive, false)];
    let sinks = sinks.map(|(id, authoritative)| SinkDef { id: id.clone(), authoritative });
    Outbox::new(limits, sinks.into()).unwrap()
}

fn verdict_of(answer: &Answer, item: &Item) -> Verdict {
    match answer {
        Answer::Taken { receipt } => {
            assert_eq!(receipt.digest, item.digest, "a receipt is for the content that was sent");
            Verdict::Taken
        }
        Answer::Later { problem } => Verdict::Later(problem.clone()),
        Answer::Refused { problem } => Verdict::Refused(problem.clone()),
    }
}
