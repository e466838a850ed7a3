//! Rows that fit, within the bounds of one answer.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::query::Query;

use crate::env;

/// A row of an answer.
pub(super) type Row = Map<String, Value>;

/// Rows that one question may look at.
const EXAMINED_MAX: u64 = 200_000;
/// How long one question may look at rows.
const TIME_MAX: Duration = Duration::from_secs(3);
/// The clock is read once for so many rows.
const CLOCK_EVERY: u64 = 64;
/// The content of one answer, roughly.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Collects the rows of one answer, in the order of their ids.
pub(super) struct Rows<'a> {
    query: &'a Query,
    wanted: u64,
    begun: Instant,
    /// The rows of the answer.
    pub(super) rows: Vec<Row>,
    /// Rows that fit, as far as was looked.
    pub(super) fitting: u64,
    /// Rows that were looked at.
    pub(super) examined: u64,
    /// There is at least one more.
    pub(super) more: bool,
    bytes: usize,
}

impl<'a> Rows<'a> {
    /// An empty answer for so many rows at most.
    pub(super) fn new(query: &'a Query, rows_max: u64) -> Self {
        let wanted = query.end_row.map_or(rows_max, |end| (end - query.start_row).min(rows_max));
        let begun = env::instant();
        Self {
            query,
            wanted,
            begun,
            rows: Vec::new(),
            fitting: 0,
            examined: 0,
            more: false,
            bytes: 0,
        }
    }

    /// A row is looked at; refused when that were too many.
    pub(super) fn examine(&mut self) -> Result<(), Problem> {
        self.examined += 1;
        let is_late = self.examined.is_multiple_of(CLOCK_EVERY) && self.begun.elapsed() > TIME_MAX;
        if self.examined <= EXAMINED_MAX && !is_late {
            return Ok(());
        }
        let detail = format!(
            "the query looked at {} rows of {} without an end; add a criterion that an index answers: \
             id, a code or a barcode with equals or inSet, a name with iStartsWith",
            self.examined, self.query.entity
        );
        Err(Problem::new(Code::QueryTooBroad, detail))
    }

    /// Whether a row fits.
    pub(super) fn fits(&self, row: &Row) -> bool {
        self.query.criteria.fits(row)
    }

    /// Takes a fitting row; false when nothing further is wanted.
    pub(super) fn take(&mut self, row: Row) -> bool {
        self.fitting += 1;
        if self.fitting <= self.query.start_row {
            return true;
        }
        if self.rows.len() as u64 >= self.wanted || self.bytes > ANSWER_BYTES_MAX {
            self.more = true;
            return false;
        }
        self.bytes += size(&row);
        self.rows.push(row);
        true
    }

    /// What its rows may still weigh.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.bytes <= 2 * ANSWER_BYTES_MAX
    }
}

/// What a row weighs, without writing it.
pub(super) fn size(row: &Row) -> usize {
    row.iter().map(|(name, value)| name.len() + weight(value) + 4).sum()
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(|value| weight(value) + 1).sum::<usize>() + 2,
        Value::Object(fields) => size(fields) + 2,
    }
}
