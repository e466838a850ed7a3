//! The records of pushes on disk.
//!
//! Letters of the keys, each followed by the definition and a zero:
//! `p` id → record, `q` number → id (the order), `d` id → dead record, `t` id (was told), `s` → course.
//! `n`, followed by nothing: the greatest number, where the records do not say it any more.
//!
//! What touches several keys has its turn alone: logs are followed, targets told and clients heard at the same time.

mod dead;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storebox_proto::feed::Position;
use storebox_proto::ids::FeedId;
use storebox_proto::time::Timestamp;

use crate::db::{DiskError, Keyed};

const RECORD: u8 = b'p';
const ORDER: u8 = b'q';
const DEAD: u8 = b'd';
const TOLD: u8 = b't';
const COURSE: u8 = b's';
const NUMBER: u8 = b'n';
/// The greatest number of a client that is believed; as many are left for events, which JSON tells exactly.
const BELIEVED_MAX: u64 = 1 << 52;

/// Records of one definition; beyond that one `reset` says the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// That wait.
    pub(super) waiting: u64,
    /// That were refused.
    pub(super) dead: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { waiting: 200_000, dead: 1000 }
    }
}

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happened {
    /// It is new or other than before.
    Changed,
    /// It is no more, or is none of those that the definition is about.
    Removed,
    /// It is not known what changed: load anew.
    Reset,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The order of telling.
    pub number: u64,
    /// What it is about; empty for a reset.
    pub id: String,
    /// What happened.
    pub event: Happened,
    /// When it was noticed.
    pub at: Timestamp,
}

/// The last delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When.
    pub at: Timestamp,
    /// Up to which number.
    pub number: u64,
    /// How many at once.
    pub count: usize,
}

/// How far a definition is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Course {
    /// In the logs of masterdata.
    pub feeds: BTreeMap<FeedId, Position>,
    /// In the log of the shop.
    pub documents: u64,
    /// The last delivery.
    pub last: Option<Last>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Since when they fail.
    pub failing_since: Option<Timestamp>,
    /// Up to which number a client was told.
    #[serde(default)]
    pub told: u64,
    /// Up to which number the delivery goes that began last; it lasts until all of that is taken.
    #[serde(default)]
    pub until: u64,
}

/// The records.
pub(super) struct Store {
    keyed: Keyed,
    turn: Mutex<()>,
    known: Mutex<Known>,
    bounds: Bounds,
}

/// What is asked for often.
#[derive(Default)]
struct Known {
    number: u64,
    counts: BTreeMap<String, u64>,
    dead: BTreeMap<String, u64>,
    courses: BTreeMap<String, Course>,
}

impl Store {
    /// The records in this directory, and why those before are gone, if they are.
    pub(super) fn open(dir: &Path) -> Result<(Self, Option<DiskError>), DiskError> {
        Self::bounded(dir, Bounds::default())
    }

    /// Likewise, with other bounds.
    pub(super) fn bounded(
        dir: &Path,
        bounds: Bounds,
    ) -> Result<(Self, Option<DiskError>), DiskError> {
        let opened = Keyed::open(dir)?;
        let (keyed, mut known) = (opened.keyed, Known::default());
        keyed.scan(RECORD, &[], None, &mut |key, value| {
            if let (Some((push, _)), Some(record)) = (split(key), read::<Record>(value)) {
                known.number = known.number.max(record.number);
                *known.counts.entry(push).or_default() += 1;
            }
            true
        })?;
        keyed.scan(DEAD, &[], None, &mut |key, _| {
            if let Some((push, _)) = split(key) {
                *known.dead.entry(push).or_default() += 1;
            }
            true
        })?;
        keyed.scan(COURSE, &[], None, &mut |key, value| {
            if let (Some((push, _)), Some(course)) = (split(key), read::<Course>(value)) {
                let last = course.last.as_ref().map_or(0, |last| last.number);
                known.number = known.number.max(last).max(course.told).max(course.until);
                known.courses.insert(push, course);
            }
            true
        })?;
        if let Some(number) = keyed.get(NUMBER, b"")?.as_deref().and_then(read::<u64>) {
            known.number = known.number.max(number);
        }
        let (turn, known) = (Mutex::default(), Mutex::new(known));
        Ok((Self { keyed, turn, known, bounds }, opened.lost))
    }

    /// Something happened; what happened to it before is told no more.
    pub(super) fn note(
        &self,
        push: &str,
        id: &str,
        event: Happened,
        at: Timestamp,
    ) -> Result<(), DiskError> {
        let _turn = self.turn();
        self.note_in_turn(push, id, event, at)
    }

    fn note_in_turn(
        &self,
        push: &str,
        id: &str,
        event: Happened,
        at: Timestamp,
    ) -> Result<(), DiskError> {
        if self.count(push) >= self.bounds.waiting && event != Happened::Reset {
            return self.reset_in_turn(push, at);
        }
        self.withdraw(push, id)?;
        let number = {
            let mut known = self.known();
            known.number += 1;
            *known.counts.entry(push.to_owned()).or_default() += 1;
            known.number
        };
        self.put(push, &Record { number, id: id.to_owned(), event, at })
    }

    fn put(&self, push: &str, record: &Record) -> Result<(), DiskError> {
        let (order, id) = (key(push, &record.number.to_be_bytes()), record.id.as_bytes());
        self.keyed.put(ORDER, &order, id)?;
        self.keyed.put(RECORD, &key(push, id), &write(record))
    }

    /// What waits behind a place gets numbers behind this one, so that numbers are in the order of telling also across
    /// definitions, of which one may wait for its time while others go on.
    pub(super) fn put_behind(&self, push: &str, place: u64, number: u64) -> Result<(), DiskError> {
        let _turn = self.turn();
        let course = self.course(push).unwrap_or_default();
        let first = self.between(push, place, u64::MAX, 1)?;
        let Some(first) = first.first().filter(|first| first.number <= number) else {
            return Ok(());
        };
        let mut last = 0;
        for mut record in self.between(push, place, u64::MAX, usize::MAX)? {
            self.keyed.remove(ORDER, &key(push, &record.number.to_be_bytes()))?;
            last = {
                let mut known = self.known();
                known.number += 1;
                known.number
            };
            record.number = last;
            self.put(push, &record)?;
        }
        // A delivery that is under way goes on; one that waits for its time still does.
        let is_under_way = first.number <= course.until;
        self.amend_in_turn(push, |course| {
            if is_under_way {
                course.until = last;
            }
        })
    }

    /// No number up to this one is given any more; false if there is no believing it.
    pub(super) fn begin_behind(&self, number: u64) -> Result<bool, DiskError> {
        let _turn = self.turn();
        let is_believed = number <= BELIEVED_MAX;
        if is_believed && number > self.number() {
            self.known().number = number;
            self.keep_number()?;
        }
        Ok(is_believed)
    }

    fn keep_number(&self) -> Result<(), DiskError> {
        self.keyed.put(NUMBER, b"", &write(&self.number()))
    }

    /// The greatest number so far.
    pub(super) fn number(&self) -> u64 {
        self.known().number
    }

    /// Everything that waits becomes one record: load anew.
    pub(super) fn reset(&self, push: &str, at: Timestamp) -> Result<(), DiskError> {
        let _turn = self.turn();
        self.reset_in_turn(push, at)
    }

    fn reset_in_turn(&self, push: &str, at: Timestamp) -> Result<(), DiskError> {
        for record in self.up_to(push, u64::MAX)? {
            self.withdraw(push, &record.id)?;
        }
        self.note_in_turn(push, "", Happened::Reset, at)
    }

    /// Whether something waits, or was told as changed.
    pub(super) fn is_with_target(&self, push: &str, id: &str) -> Result<bool, DiskError> {
        let key = key(push, id.as_bytes());
        Ok(self.keyed.get(RECORD, &key)?.is_some() || self.keyed.get(TOLD, &key)?.is_some())
    }

    /// What waits behind a number, in order.
    pub(super) fn waiting(
        &self,
        push: &str,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<Record>, DiskError> {
        self.between(push, after, u64::MAX, count_max)
    }

    /// What waits up to a number.
    pub(super) fn up_to(&self, push: &str, number: u64) -> Result<Vec<Record>, DiskError> {
        self.between(push, 0, number, usize::MAX)
    }

    fn between(
        &self,
        push: &str,
        after: u64,
        last: u64,
        count_max: usize,
    ) -> Result<Vec<Record>, DiskError> {
        let (prefix, start) = (key(push, &[]), key(push, &after.to_be_bytes()));
        let end = key(push, &last.to_be_bytes());
        let mut ids = Vec::new();
        self.keyed.scan(ORDER, &prefix, Some(&start), &mut |name, id| {
            let is_wanted = name <= end.as_slice();
            if is_wanted {
                ids.push(id.to_vec());
            }
            is_wanted && ids.len() < count_max
        })?;
        let mut found = Vec::new();
        for id in ids {
            let record = self.keyed.get(RECORD, &key(push, &id))?;
            found.extend(record.as_deref().and_then(read::<Record>));
        }
        Ok(found)
    }

    /// These were taken; one that has changed meanwhile stays.
    pub(super) fn delivered(
        &self,
        push: &str,
        records: &[Record],
        last: Last,
    ) -> Result<(), DiskError> {
        let _turn = self.turn();
        for record in records {
            self.take(push, record)?;
            self.bygones(push, record)?;
            let told = key(push, record.id.as_bytes());
            match record.event {
                Happened::Changed => self.keyed.put(TOLD, &told, b"")?,
                Happened::Removed => self.keyed.remove(TOLD, &told)?,
                Happened::Reset => {}
            }
        }
        self.amend_in_turn(push, |course| {
            (course.last, course.error, course.failing_since) = (Some(last), None, None);
        })?;
        self.keyed.commit()
    }

    pub(super) fn course(&self, push: &str) -> Option<Course> {
        self.known().courses.get(push).cloned()
    }

    /// Changes how far a definition is, and leaves what others keep there; durable with the next commit.
    pub(super) fn amend(
        &self,
        push: &str,
        change: impl FnOnce(&mut Course),
    ) -> Result<(), DiskError> {
        let _turn = self.turn();
        self.amend_in_turn(push, change)
    }

    fn amend_in_turn(&self, push: &str, change: impl FnOnce(&mut Course)) -> Result<(), DiskError> {
        let mut course = self.course(push).unwrap_or_default();
        change(&mut course);
        self.keyed.put(COURSE, &key(push, &[]), &write(&course))?;
        self.known().courses.insert(push.to_owned(), course);
        Ok(())
    }

    pub(super) fn commit(&self) -> Result<(), DiskError> {
        self.keyed.commit()
    }

    /// Definitions that have records here.
    pub(super) fn pushes(&self) -> Vec<String> {
        self.known().courses.keys().cloned().collect()
    }

    /// A definition is no more; its numbers were given.
    pub(super) fn forget(&self, push: &str) -> Result<(), DiskError> {
        let _turn = self.turn();
        self.keep_number()?;
        for letter in [RECORD, ORDER, DEAD, TOLD, COURSE] {
            let mut keys = Vec::new();
            self.keyed.scan(letter, &key(push, &[]), None, &mut |key, _| {
                keys.push(key.to_vec());
                true
            })?;
            for key in keys {
                self.keyed.remove(letter, &key)?;
            }
        }
        let mut known = self.known();
        known.counts.remove(push);
        known.dead.remove(push);
        known.courses.remove(push);
        Ok(())
    }

    pub(super) fn count(&self, push: &str) -> u64 {
        self.known().counts.get(push).copied().unwrap_or(0)
    }

    /// Removes a record if it is still the one that was read.
    fn take(&self, push: &str, record: &Record) -> Result<(), DiskError> {
        let now = self.keyed.get(RECORD, &key(push, record.id.as_bytes()))?;
        match now.as_deref().and_then(read::<Record>) {
            Some(now) if now.number == record.number => self.withdraw(push, &record.id),
            Some(_) | None => Ok(()),
        }
    }

    fn withdraw(&self, push: &str, id: &str) -> Result<(), DiskError> {
        let name = key(push, id.as_bytes());
        let Some(bytes) = self.keyed.get(RECORD, &name)? else { return Ok(()) };
        if let Some(record) = read::<Record>(&bytes) {
            self.keyed.remove(ORDER, &key(push, &record.number.to_be_bytes()))?;
        }
        self.keyed.remove(RECORD, &name)?;
        if let Some(count) = self.known().counts.get_mut(push) {
            *count = count.saturating_sub(1);
        }
        Ok(())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(push: &str, rest: &[u8]) -> Vec<u8> {
    [push.as_bytes(), &[0], rest].concat()
}

fn split(key: &[u8]) -> Option<(String, Vec<u8>)> {
    let at = key.iter().position(|byte| *byte == 0)?;
    Some((String::from_utf8(key[..at].to_vec()).ok()?, key[at + 1..].to_vec()))
}

fn write<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with string keys")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}
