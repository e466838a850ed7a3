//! What the demo measured, and the verdict.

use std::fmt;
use std::time::Duration;

use storebox_proto::ids::TxKey;
use storebox_proto::ticket::Envelope;

use super::till::Day;
use super::verdict::{self, Verdict};

/// Everything that is printed at the end.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) import: Duration,
    pub(super) replicate: Duration,
    pub(super) records: u64,
    pub(super) changes: usize,
    pub(super) waiting_at_return: u64,
    pub(super) first_upload: Option<Duration>,
    pub(super) drain: Option<Duration>,
    pub(super) catch_up: Option<Duration>,
    /// Sales by weight with exactly one receipt on paper.
    pub(super) receipts: usize,
    day: Day,
    verdict: Verdict,
}

impl Report {
    /// Adds what one till did.
    pub(super) fn end_of_day(&mut self, day: Day) {
        let Day { sold, weighed, lookups, wrong, lookup_us, accept_us } = day;
        self.day.weighed.extend(weighed);
        self.day.sold.extend(sold);
        self.day.lookups += lookups;
        self.day.wrong += wrong;
        self.day.lookup_us.extend(lookup_us);
        self.day.accept_us.extend(accept_us);
    }

    /// How fast the shop's box replicated.
    pub(super) fn records_per_second(&self) -> f64 {
        let records = u32::try_from(self.records).unwrap_or(u32::MAX);
        f64::from(records) / self.replicate.as_secs_f64().max(f64::EPSILON)
    }

    /// Compares all days with head office's ledger.
    pub(super) fn compare(&mut self, ledger: &[Envelope]) {
        self.verdict = verdict::compare(&self.day.sold, ledger);
    }

    /// Whether everything is as it must be.
    pub(super) fn holds(&self) -> bool {
        self.verdict.holds() && self.day.wrong == 0 && self.receipts == self.day.weighed.len()
    }

    /// What was sold by weight.
    pub(super) fn weighed(&self) -> &[TxKey] {
        &self.day.weighed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Day { lookups, wrong, lookup_us, accept_us, .. } = &self.day;
        let seconds = |time: Option<Duration>| {
            time.map_or_else(|| "-".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
        };
        let longest = lookup_us.iter().chain(accept_us).max().copied().unwrap_or(0);
        writeln!(f)?;
        writeln!(
            f,
            "masterdata    {} records imported in {}, replicated in {}; {} prices changed during the outage",
            self.records,
            seconds(Some(self.import)),
            seconds(Some(self.replicate)),
            self.changes
        )?;
        writeln!(f, "lookups       {lookups}, {wrong} wrong; {}", Times(lookup_us))?;
        writeln!(f, "transactions  on disk before the answer; {}", Times(accept_us))?;
        writeln!(f, "longest stall {} ms at any till, the outage included", longest / 1000)?;
        writeln!(
            f,
            "line back     first upload after {}, {} waiting transactions drained after {}, replica level after {}",
            seconds(self.first_upload),
            self.waiting_at_return,
            seconds(self.drain),
            seconds(self.catch_up)
        )?;
        let (weighed, receipts) = (self.day.weighed.len(), self.receipts);
        writeln!(f, "receipts      {weighed} sales by weight, {receipts} on paper exactly once")?;
        write!(f, "comparison    {}", self.verdict)
    }
}

/// The spread of some times in microseconds.
struct Times<'a>(&'a [u64]);

impl fmt::Display for Times<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.to_vec();
        sorted.sort_unstable();
        let Some(last) = sorted.len().checked_sub(1) else { return f.write_str("none") };
        let at = |percent: usize| Ms(sorted[last * percent / 100]);
        write!(f, "median {} ms, 99 % within {} ms, all within {} ms", at(50), at(99), at(100))
    }
}

/// Microseconds, written as milliseconds.
struct Ms(u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 1000, self.0 % 1000 / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_spread() {
        let times: Vec<u64> = (0..=100).map(|n| n * 1000).collect();
        let text = Times(&times).to_string();
        assert_eq!(text, "median 50.00 ms, 99 % within 99.00 ms, all within 100.00 ms");
        assert_eq!(Times(&[]).to_string(), "none");
    }
}
