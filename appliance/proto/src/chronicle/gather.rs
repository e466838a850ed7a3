//! Points out of samples that are taken a few times a minute.

use super::{Point, Waits, minute_of};
use crate::time::Timestamp;

/// The state of a box at one moment; counters grow from some beginning of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Transactions that wait.
    pub waiting: Option<u64>,
    /// The age of the oldest.
    pub oldest_s: Option<u64>,
    /// Counter of transactions taken.
    pub sales: Option<u64>,
    /// Counter of transactions settled.
    pub sent: Option<u64>,
    /// Whether masterdata is known to be level with head office.
    pub is_level: Option<bool>,
    /// Counters of waits.
    pub waits: Waits,
}

/// Makes points of samples.
#[derive(Debug, Clone, Default)]
pub struct Gatherer {
    open: Option<Open>,
    last: Option<Sample>,
    level_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Default)]
struct Open {
    point: Point,
    waits: Waits,
}

impl Gatherer {
    /// Takes a sample; the point of the minute before, if that has ended.
    ///
    /// A clock that jumps ends the minute too; what happened between two samples belongs to the later one.
    pub fn note(&mut self, at: Timestamp, sample: Sample) -> Option<Point> {
        let minute = minute_of(at);
        let ended = self.open.take_if(|open| open.point.minute != minute).map(Open::close);
        let lag_s = self.lag(at, sample.is_level);
        let fresh = || Open { point: Point { minute, ..Point::default() }, ..Open::default() };
        self.open.get_or_insert_with(fresh).add(self.last.as_ref(), &sample, lag_s);
        self.last = Some(sample);
        ended
    }

    /// The minute that has not ended.
    pub fn current(&self) -> Option<Point> {
        self.open.clone().map(Open::close)
    }

    fn lag(&mut self, at: Timestamp, is_level: Option<bool>) -> Option<u64> {
        if is_level? {
            self.level_at = Some(at);
        }
        let behind = at.unix_ms().saturating_sub(self.level_at?.unix_ms());
        Some(u64::try_from(behind / 1000).unwrap_or(0))
    }
}

impl Open {
    fn add(&mut self, last: Option<&Sample>, sample: &Sample, lag_s: Option<u64>) {
        let point = &mut self.point;
        raise(&mut point.waiting, sample.waiting);
        let none_waits = (sample.waiting == Some(0)).then_some(0);
        raise(&mut point.oldest_s, sample.oldest_s.or(none_waits));
        raise(&mut point.lag_s, lag_s);
        let last_sales = last.and_then(|last| last.sales);
        grow(&mut point.sales, last_sales, sample.sales);
        let last_sent = last.and_then(|last| last.sent);
        grow(&mut point.sent, last_sent, sample.sent);
        if let Some(last) = last {
            self.waits.add_between(&last.waits, &sample.waits);
        }
    }

    fn close(self) -> Point {
        Point {
            answers: Some(narrow(self.waits.total())),
            median_us: self.waits.within(50).map(narrow),
            slow_us: self.waits.within(99).map(narrow),
            ..self.point
        }
    }
}

fn raise(own: &mut Option<u32>, seen: Option<u64>) {
    *own = (*own).max(seen.map(narrow));
}

/// What a counter has grown by; one that went back began anew, and says nothing about before.
fn grow(own: &mut Option<u32>, before: Option<u64>, now: Option<u64>) {
    if let (Some(before), Some(now)) = (before, now) {
        *own = Some(own.unwrap_or(0).saturating_add(narrow(now.saturating_sub(before))));
    }
}

/// The largest number is kept for what is not known.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).min(u32::MAX - 1)
}
