//! Giving entries out, and what answers mean.

use std::collections::BTreeSet;
use std::time::Instant;

use rand::Rng;

use super::order::Blocker;
use super::record::{Event, Record};
use super::sink::{Failure, Link, Sink, SinkStatus, delay};
use super::{Outbox, Phase};
use crate::ids::{Hash32, SinkId, TxKey};
use crate::problem::{Code, Problem};

/// What to do for a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Nothing until something changes.
    Nothing,
    /// Nothing before this instant, unless something changes or the line returns.
    Wait {
        /// When to ask again.
        until: Instant,
        /// Whether it is worth looking for the return of the line.
        network: bool,
    },
    /// Ask the sink for these, in order, until one is unknown there; then [`Outbox::handle_known`].
    Ask(Vec<Item>),
    /// Send these, in order.
    Send(Batch),
    /// Write and apply this, then ask again: entries wait for each other in a circle.
    Stuck(Box<Record>),
}

/// Entries to be sent together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// In order.
    pub items: Vec<Item>,
}

/// One entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Where it is.
    pub position: u64,
    /// Its key.
    pub key: TxKey,
    /// Its content.
    pub digest: Hash32,
}

/// What a sink said about one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has it.
    Taken,
    /// Not now.
    Later(Problem),
    /// Never as it is.
    Refused(Problem),
}

impl Outbox {
    /// What to do for this sink; what is given out must be answered by one of the `handle_` calls.
    pub fn poll(&mut self, sink: &SinkId, now: Instant) -> Work {
        let Some(index) = self.sink_index(sink) else { return Work::Nothing };
        let sink = &self.sinks[index];
        if !sink.in_flight.is_empty() {
            return Work::Nothing;
        }
        if let Some(until) = sink.closed_until(now) {
            let network = matches!(sink.link, Link::Waiting { network: true, .. });
            return Work::Wait { until, network };
        }
        let unsure: Vec<u64> = sink.unsure.clone();
        let unsure: Vec<Item> = unsure.iter().filter_map(|position| self.item(*position)).collect();
        if !unsure.is_empty() {
            self.sinks[index].in_flight = unsure.iter().map(|item| item.position).collect();
            return Work::Ask(unsure);
        }
        self.sinks[index].unsure.clear();
        let batch = if self.sinks[index].authoritative {
            match self.gather_open(self.sinks[index].batch_max, now) {
                Ok(batch) => batch,
                Err(work) => return work,
            }
        } else {
            self.gather_behind(&self.sinks[index])
        };
        if batch.items.is_empty() {
            return Work::Nothing;
        }
        self.sinks[index].in_flight = batch.items.iter().map(|item| item.position).collect();
        Work::Send(batch)
    }

    /// The sink answered; what lasts of it is to be written and applied.
    pub fn handle_answers(
        &mut self,
        sink: &SinkId,
        answers: &[(u64, Verdict)],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<Record> {
        let Some(index) = self.sink_index(sink) else { return Vec::new() };
        let asked = std::mem::take(&mut self.sinks[index].in_flight);
        self.sinks[index].answered();
        self.sinks[index].batch_max = self.sinks[index].batch_max.saturating_mul(2);
        let said = |position| answers.iter().find(|(p, _)| *p == position).map(|(_, v)| v);
        if self.sinks[index].authoritative {
            self.judge(index, &asked, said, now, rng)
        } else {
            self.advance(index, &asked, said, now, rng)
        }
    }

    /// The sink was asked after a time-out and knows these; the rest of what was asked is sent again.
    pub fn handle_known(&mut self, sink: &SinkId, known: &[u64]) -> Vec<Record> {
        let Some(index) = self.sink_index(sink) else { return Vec::new() };
        let sink = &mut self.sinks[index];
        sink.unsure.clear();
        let asked = std::mem::take(&mut sink.in_flight);
        sink.answered();
        let positions: Vec<u64> = known.iter().filter(|p| asked.contains(p)).copied().collect();
        if positions.is_empty() {
            return Vec::new();
        }
        let event = if sink.authoritative {
            Event::Settled { positions }
        } else {
            Event::Delivered { sink: sink.id.clone(), positions }
        };
        vec![Record::plain(event)]
    }

    /// The batch or the question failed as a whole; what lasts of it is to be written and applied.
    pub fn handle_failure(
        &mut self,
        sink: &SinkId,
        failure: Failure,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<Record> {
        let Some(index) = self.sink_index(sink) else { return Vec::new() };
        let sink = &mut self.sinks[index];
        match failure {
            Failure::Unreachable => sink.wait(true, now, rng),
            Failure::Lost => {
                sink.unsure = sink.in_flight.clone();
                sink.wait(true, now, rng);
            }
            Failure::Unavailable => sink.wait(false, now, rng),
            Failure::Forbidden(problem) => sink.pause(problem, now),
            Failure::BatchRefused(problem) => return self.narrow(index, problem),
        }
        Vec::new()
    }

    /// The line is back: what waits for it is tried at once.
    pub fn handle_link_up(&mut self, sink: &SinkId) {
        if let Some(index) = self.sink_index(sink) {
            let sink = &mut self.sinks[index];
            if matches!(sink.link, Link::Waiting { network: true, .. }) {
                sink.link = Link::Up;
                sink.failures = 0;
            }
        }
    }

    /// Whoever carried things to this sink is new and knows nothing of what was given out.
    pub fn handle_restart(&mut self, sink: &SinkId) {
        if let Some(index) = self.sink_index(sink) {
            let sink = &mut self.sinks[index];
            if !sink.in_flight.is_empty() {
                sink.unsure = std::mem::take(&mut sink.in_flight);
            }
            sink.link = Link::Up;
        }
    }

    /// A best-effort sink that is too far behind is left behind; to be written, applied and said aloud.
    pub fn overdue(&self) -> Option<Record> {
        if self.settled <= self.limits.pinned_max {
            return None;
        }
        let slowest = self.sinks.iter().filter(|sink| !sink.authoritative);
        let slowest =
            slowest.min_by_key(|sink| sink.again.first().map_or(sink.cursor, |p| p - 1))?;
        let pinned = self.entries.iter().filter(|(_, entry)| entry.phase == Phase::Settled);
        let surplus = self.settled - self.limits.pinned_max / 2;
        let (to, _) = pinned.take(surplus).last()?;
        let left = self.entries.range(..=to).filter(|(p, _)| slowest.needs(**p)).count();
        let (sink, left) = (slowest.id.clone(), left as u64);
        Some(Record::plain(Event::LeftBehind { sink, to: *to, left }))
    }

    /// How each sink stands.
    pub fn sinks(&self) -> Vec<SinkStatus> {
        let status = self.sinks.iter().map(|sink| SinkStatus {
            id: sink.id.clone(),
            authoritative: sink.authoritative,
            link: sink.link.clone(),
            behind: if sink.authoritative {
                self.held()
            } else {
                self.entries.range(sink.cursor + 1..).count() + sink.again.len()
            },
            refused: sink.refused,
            left: sink.left,
        });
        status.collect()
    }

    pub(super) fn sink_index(&self, sink: &SinkId) -> Option<usize> {
        self.sinks.iter().position(|known| known.id == *sink)
    }

    fn item(&self, position: u64) -> Option<Item> {
        let meta = &self.entries.get(&position)?.meta;
        Some(Item { position, key: meta.key, digest: meta.digest })
    }

    /// Open entries whose turn it is, or what to do if there are none.
    fn gather_open(&mut self, batch_max: usize, now: Instant) -> Result<Batch, Work> {
        loop {
            let look = self.look(batch_max, now);
            for position in &look.parked {
                self.open.remove(position);
                self.parked.insert(*position);
            }
            if !look.batch.items.is_empty() {
                return Ok(look.batch);
            }
            match (look.wake, look.circle) {
                (Some(until), _) => return Err(Work::Wait { until, network: false }),
                (None, None) => return Err(Work::Nothing),
                (None, Some(_)) if !look.parked.is_empty() => {}
                (None, Some(position)) => {
                    let detail = "it waits for transactions that wait for it";
                    let problem = Problem::new(Code::DependencyMissing, detail);
                    let event = Event::Quarantined { position, problem };
                    return Err(Work::Stuck(Box::new(Record::plain(event))));
                }
            }
        }
    }

    fn look(&self, batch_max: usize, now: Instant) -> Look {
        let mut look = Look::default();
        let mut chosen = BTreeSet::new();
        let mut bytes = 0;
        for position in self.by_urgency() {
            let Some(entry) = self.entries.get(position) else { continue };
            match self.blocker(*position, &chosen) {
                Some(blocker) if self.is_parking(blocker) => look.parked.push(*position),
                Some(_) => look.circle = look.circle.or(Some(*position)),
                None if entry.not_before.is_some_and(|at| at > now) => {
                    look.wake = look.wake.into_iter().chain(entry.not_before).min();
                }
                None => {
                    let limit = self.limits.batch_envelopes_max.min(batch_max);
                    let full = look.batch.items.len() >= limit
                        || bytes + entry.meta.bytes > self.limits.batch_bytes_max;
                    if full && !look.batch.items.is_empty() {
                        return look;
                    }
                    bytes += entry.meta.bytes;
                    chosen.insert(*position);
                    look.batch.items.extend(self.item(*position));
                }
            }
        }
        look
    }

    /// Open entries: what is urgent, then the rest, each in the order of acceptance.
    fn by_urgency(&self) -> impl Iterator<Item = &u64> {
        let is_urgent = |position: &&u64| {
            let entry = self.entries.get(position);
            entry.is_some_and(|entry| self.urgent.contains(&entry.meta.kind))
        };
        let sorts = !self.urgent.is_empty();
        let urgent = sorts.then(|| self.open.iter().filter(is_urgent)).into_iter().flatten();
        urgent.chain(self.open.iter().filter(move |position| !sorts || !is_urgent(position)))
    }

    fn is_parking(&self, blocker: Blocker) -> bool {
        match blocker {
            Blocker::Number => true,
            Blocker::Entry(other) => self.parked.contains(&other) || self.is_quarantined(other),
        }
    }

    fn gather_behind(&self, sink: &Sink) -> Batch {
        let again = sink.again.iter().copied();
        let ahead = self.entries.range(sink.cursor + 1..).map(|(position, _)| *position);
        let limit = self.limits.batch_envelopes_max.min(sink.batch_max).max(1);
        let mut batch = Batch::default();
        let mut bytes = 0;
        for position in again.chain(ahead).take(limit) {
            let Some(entry) = self.entries.get(&position) else { continue };
            if !batch.items.is_empty() && bytes + entry.meta.bytes > self.limits.batch_bytes_max {
                break;
            }
            bytes += entry.meta.bytes;
            batch.items.extend(self.item(position));
        }
        batch
    }

    fn judge<'a>(
        &mut self,
        index: usize,
        asked: &[u64],
        said: impl Fn(u64) -> Option<&'a Verdict>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<Record> {
        let mut taken = Vec::new();
        let mut returned = BTreeSet::new();
        let mut records = Vec::new();
        let mut sink_is_busy = false;
        for position in asked {
            match said(*position) {
                Some(Verdict::Taken) => taken.push(*position),
                Some(Verdict::Refused(_)) if self.guest(*position).is_some() => {
                    returned.extend(self.guests_behind(*position));
                }
                Some(Verdict::Refused(problem)) if !self.follows_refused(*position, problem) => {
                    let (position, problem) = (*position, problem.clone());
                    records.push(Record::plain(Event::Quarantined { position, problem }));
                }
                Some(Verdict::Later(problem)) if problem.code != Code::DependencyMissing => {
                    sink_is_busy = true;
                }
                Some(Verdict::Later(problem)) => match self.needs_given_up(*position) {
                    Some(problem) => {
                        let position = *position;
                        records.push(Record::plain(Event::Quarantined { position, problem }));
                    }
                    None if self.waits_in_vain(*position, now) => {
                        let (position, problem) = (*position, problem.clone());
                        records.push(Record::plain(Event::Quarantined { position, problem }));
                    }
                    None => self.defer(*position, now, rng),
                },
                Some(Verdict::Refused(_)) | None => self.defer(*position, now, rng),
            }
        }
        if sink_is_busy {
            self.sinks[index].wait(false, now, rng);
        }
        // What has to come behind a refused one is its own box's to offer again.
        returned.retain(|position| !taken.contains(position));
        if !returned.is_empty() {
            let positions = returned.into_iter().collect();
            records.push(Record::plain(Event::Returned { positions }));
        }
        if !taken.is_empty() {
            records.insert(0, Record::plain(Event::Settled { positions: taken }));
        }
        records
    }

    /// Refused only because of something that waits here for a person: it will follow that.
    fn follows_refused(&self, position: u64, problem: &Problem) -> bool {
        let Some(entry) = self.entries.get(&position) else { return false };
        let mut needed = entry.meta.depends_on.iter().filter_map(|key| self.keys.get(key));
        problem.code == Code::DependencyRefused && needed.any(|p| self.is_quarantined(*p))
    }

    fn defer(&mut self, position: u64, now: Instant, rng: &mut impl Rng) {
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.not_before = Some(now + delay(entry.attempts, rng));
            entry.attempts = entry.attempts.saturating_add(1);
        }
    }

    fn advance<'a>(
        &mut self,
        index: usize,
        asked: &[u64],
        said: impl Fn(u64) -> Option<&'a Verdict>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<Record> {
        let hopeless = asked.first().copied().filter(|first| self.needs_what_is_gone(*first));
        let sink = &mut self.sinks[index];
        let mut positions = Vec::new();
        for position in asked {
            match said(*position) {
                Some(Verdict::Taken) => positions.push(*position),
                Some(Verdict::Later(problem))
                    if problem.code == Code::DependencyMissing && hopeless == Some(*position) =>
                {
                    sink.refused += 1;
                    positions.push(*position);
                }
                Some(Verdict::Refused(_)) => {
                    sink.refused += 1;
                    positions.push(*position);
                }
                Some(Verdict::Later(_)) | None => break,
            }
        }
        if positions.len() < asked.len() {
            sink.wait(false, now, rng);
        }
        if positions.is_empty() {
            return Vec::new();
        }
        vec![Record::plain(Event::Delivered { sink: sink.id.clone(), positions })]
    }

    /// Whether it depends on others and none of them is here any more, so that no sink will get them after it.
    fn needs_what_is_gone(&self, position: u64) -> bool {
        let Some(entry) = self.entries.get(&position) else { return false };
        let needed = &entry.meta.depends_on;
        !needed.is_empty() && !needed.iter().any(|key| self.keys.contains_key(key))
    }

    /// The batch was refused as a whole: halve it until the one that is meant stands alone.
    fn narrow(&mut self, index: usize, problem: Problem) -> Vec<Record> {
        let sink = &mut self.sinks[index];
        let asked = std::mem::take(&mut sink.in_flight);
        sink.answered();
        let [position] = asked[..] else {
            sink.batch_max = (asked.len() / 2).max(1);
            return Vec::new();
        };
        if sink.authoritative {
            return vec![Record::plain(Event::Quarantined { position, problem })];
        }
        sink.refused += 1;
        let (sink, positions) = (sink.id.clone(), vec![position]);
        vec![Record::plain(Event::Delivered { sink, positions })]
    }

    pub(super) fn delivered(&mut self, sink: &SinkId, positions: &[u64]) {
        let Some(index) = self.sink_index(sink) else { return };
        for position in positions {
            let sink = &mut self.sinks[index];
            if !sink.again.remove(position) {
                sink.cursor = sink.cursor.max(*position);
            }
            self.release_if_done(*position);
        }
    }

    pub(super) fn left_behind(&mut self, sink: &SinkId, to: u64, left: u64) {
        let Some(index) = self.sink_index(sink) else { return };
        let sink = &mut self.sinks[index];
        sink.cursor = sink.cursor.max(to);
        sink.again = sink.again.split_off(&(to + 1));
        sink.left += left;
        let settled: Vec<u64> = self.entries.range(..=to).map(|(position, _)| *position).collect();
        settled.into_iter().for_each(|position| self.release_if_done(position));
    }
}

#[derive(Default)]
struct Look {
    batch: Batch,
    wake: Option<Instant>,
    parked: Vec<u64>,
    circle: Option<u64>,
}
