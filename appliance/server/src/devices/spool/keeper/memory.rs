//! What is known of jobs and drawers, and where it is on disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use storebox_proto::ids::DeviceId;
use zeroize::Zeroizing;

use super::super::limits::ENTRIES_MAX;
use super::super::stored::{self, Entry, Job};
use crate::journal::{Journal, Location, Reader};

/// Jobs and entries with their places in the journal.
#[derive(Debug, Default)]
pub(in super::super) struct Held {
    jobs: BTreeMap<u64, Job>,
    places: BTreeMap<u64, Location>,
    entries: BTreeMap<u64, Entry>,
    entry_places: BTreeMap<u64, Location>,
    /// Bytes of what all jobs print.
    content: usize,
    /// Jobs whose content is still there, oldest first.
    full: BTreeSet<u64>,
    /// What jobs print that is never written down.
    secrets: BTreeMap<u64, Bytes>,
    /// Places that nobody needs any more.
    free: Vec<Location>,
    last_entry: u64,
}

impl Held {
    pub(in super::super) fn job(&self, number: u64) -> Option<Job> {
        self.jobs.get(&number).cloned()
    }

    pub(super) fn jobs(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.jobs.values()
    }

    /// Bytes of what all jobs print.
    pub(super) fn content(&self) -> usize {
        self.content
    }

    /// Jobs whose content is still there, oldest first.
    pub(super) fn full(&self) -> impl Iterator<Item = &Job> {
        self.full.iter().filter_map(|number| self.jobs.get(number))
    }

    /// Takes a job in, in place of what was known of its number.
    pub(super) fn put(&mut self, job: Job) {
        let number = job.record.number;
        self.uncount(number);
        self.content += job.bytes;
        if job.bytes > 0 {
            self.full.insert(number);
        }
        self.jobs.insert(number, job);
    }

    fn uncount(&mut self, number: u64) {
        self.content -= self.jobs.get(&number).map_or(0, |job| job.bytes);
        self.full.remove(&number);
    }

    /// Keeps what a job prints in memory alone; it is erased when its job has ended.
    pub(super) fn keep_secret(&mut self, number: u64, content: &[u8]) {
        self.secrets.insert(number, Bytes::from_owner(Zeroizing::new(content.to_vec())));
    }

    /// Changes what is known of a job, but not what it prints; a secret ends with its job.
    pub(super) fn change(&mut self, number: u64, change: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        change(job);
        if job.secret && job.record.state.is_final() && job.bytes > 0 {
            self.content -= std::mem::take(&mut job.bytes);
            self.full.remove(&number);
            self.secrets.remove(&number);
        }
    }

    /// Jobs that wait for a secret which a restart has lost.
    pub(super) fn without_their_secret(&self) -> Vec<u64> {
        let lost = |job: &&Job| job.secret && !self.secrets.contains_key(&job.record.number);
        let waits = |job: &&Job| !job.record.state.is_final();
        self.jobs.values().filter(lost).filter(waits).map(|job| job.record.number).collect()
    }

    /// A job's record is here now.
    pub(super) fn place(&mut self, number: u64, location: Location, journal: &mut Journal) {
        journal.claim(&location);
        self.free.extend(self.places.insert(number, location));
    }

    pub(super) fn forget(&mut self, number: u64) {
        self.uncount(number);
        self.jobs.remove(&number);
        self.secrets.remove(&number);
        self.free.extend(self.places.remove(&number));
    }

    /// A job was never written.
    pub(super) fn withdraw(&mut self, number: u64) {
        self.forget(number);
    }

    /// What a job prints.
    pub(in super::super) fn read(&self, number: u64, reader: &Reader) -> Option<Bytes> {
        match self.jobs.get(&number).is_some_and(|job| job.secret) {
            true => self.secrets.get(&number).cloned(),
            false => self.written(number, reader),
        }
    }

    /// What of it is on the disk: of a secret nothing.
    pub(super) fn written(&self, number: u64, reader: &Reader) -> Option<Bytes> {
        let body = match reader.read(self.places.get(&number)?) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(job = number, %error, "job cannot be read");
                return None;
            }
        };
        let (_, at) = stored::parse(&body)?;
        Some(body.slice(at..))
    }

    pub(super) fn jobs_in(&self, segment: u64) -> Vec<u64> {
        let within = |(_, location): &(&u64, &Location)| location.segment == segment;
        self.places.iter().filter(within).map(|(number, _)| *number).collect()
    }

    pub(super) fn next_entry(&self) -> u64 {
        self.last_entry + 1
    }

    /// Takes an entry in; the oldest one beyond the limit is let go.
    pub(super) fn put_entry(&mut self, entry: Entry) {
        self.last_entry = self.last_entry.max(entry.number);
        self.entries.insert(entry.number, entry);
        while self.entries.len() > ENTRIES_MAX {
            let Some((number, _)) = self.entries.pop_first() else { break };
            self.free.extend(self.entry_places.remove(&number));
        }
    }

    pub(super) fn withdraw_entry(&mut self, number: u64) {
        self.entries.remove(&number);
    }

    pub(super) fn place_entry(&mut self, number: u64, location: Location, journal: &mut Journal) {
        if self.entries.contains_key(&number) {
            journal.claim(&location);
            self.free.extend(self.entry_places.insert(number, location));
        }
    }

    pub(super) fn entries_of(&self, drawer: &DeviceId, limit: usize) -> Vec<Entry> {
        let mine = self.entries.values().rev().filter(|entry| entry.drawer == *drawer);
        mine.take(limit).cloned().collect()
    }

    pub(super) fn entries_in(&self, segment: u64) -> Vec<Entry> {
        let within = |(_, location): &(&u64, &Location)| location.segment == segment;
        let numbers = self.entry_places.iter().filter(within).map(|(number, _)| number);
        numbers.filter_map(|number| self.entries.get(number).cloned()).collect()
    }

    /// Gives places back that nobody needs.
    pub(super) fn let_go(&mut self, journal: &mut Journal) {
        for location in self.free.drain(..) {
            journal.forget(&location);
        }
    }
}
