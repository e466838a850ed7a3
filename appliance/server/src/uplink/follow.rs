//! The ledger in the order of settling, for those who hand it on.
//!
//! A follower keeps a [`LedgerCursor`]: the position that it has dealt with, and where to read on.
//! The position counts; the place is a hint, and a wrong one costs a walk through the ledger and nothing else.
//! Only what is durable is shown, so nobody outside learns of a transaction that a power cut could take back.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::Envelope;

use super::bookkeeper::{Head, TAKEN};
use super::ledger::{Ledger, LedgerEntry};
use crate::blocking::beside;
use crate::journal::{Location, Spot, Step};

/// How far a follower is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerCursor {
    /// The last position that was dealt with; 0 is none.
    pub position: u64,
    /// Where to read on.
    pub spot: Spot,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerPage {
    /// Settled transactions, ascending by position.
    pub entries: Vec<LedgerEntry>,
    /// Positions up to the cursor that the disk does not give back, ascending.
    pub missing: Vec<RangeInclusive<u64>>,
    /// The cursor behind them.
    pub cursor: LedgerCursor,
    /// The last position in the ledger.
    pub last: u64,
}

impl Ledger {
    /// Settled transactions behind the cursor, in the order of settling; reads the disk.
    pub async fn follow(
        &self,
        cursor: LedgerCursor,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<LedgerPage, Problem> {
        let last = self.look(|keeper| keeper.next - 1).await?;
        if cursor.position >= last {
            return Ok(LedgerPage { entries: Vec::new(), missing: Vec::new(), cursor, last });
        }
        let ledger = self.clone();
        let read = move || {
            let most = (count_max, bytes_max);
            let mut page = ledger.read_on(cursor, last, most, false)?;
            let begins = page.entries.first().map(|entry| entry.position);
            if begins != Some(cursor.position + 1) {
                // The place was wrong, or what is missing cannot be read.
                let whole = LedgerCursor { spot: Spot::default(), ..cursor };
                page = ledger.read_on(whole, last, most, true)?;
            }
            if page.entries.is_empty() {
                page.cursor = LedgerCursor { position: last, ..cursor };
            }
            page.missing = missing(cursor.position, &page);
            Ok(page)
        };
        beside(read).await
    }

    /// Where the files of the ledger are that a page is read from.
    pub fn files(&self) -> &Path {
        self.reader.dir()
    }

    /// Reads on to `last`, which is durable, and everything before it; with `passing` what cannot be read keeps it from
    /// nothing behind it.
    fn read_on(
        &self,
        cursor: LedgerCursor,
        last: u64,
        (count_max, bytes_max): (usize, usize),
        passing: bool,
    ) -> Result<LedgerPage, Problem> {
        let LedgerCursor { position: mut reached, spot: mut behind } = cursor;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let spot = self.reader.follow(cursor.spot, passing, &mut |record| {
            if record.kind != TAKEN {
                return Step::Taken;
            }
            let Some((head, envelope)) = Head::decode(record.body) else { return Step::Taken };
            if head.position <= reached {
                return Step::Taken;
            }
            let is_full = entries.len() >= count_max || (bytes > 0 && bytes >= bytes_max);
            if head.position > last || is_full {
                return Step::Stop;
            }
            let Ok(envelope) = Envelope::parse(envelope) else { return Step::Taken };
            let Head { position, at, node, .. } = head;
            let Location { segment, offset, length, .. } = record.location;
            behind = Spot { segment, offset: offset + u64::from(length) };
            reached = position;
            bytes += record.body.len();
            entries.push(LedgerEntry { key: envelope.key, position, at, node, envelope });
            if position == last { Step::Enough } else { Step::Taken }
        });
        let spot = spot.map_err(|error| {
            Problem::new(Code::StorageFailed, format!("ledger cannot be read: {error}"))
        })?;
        let spot = if passing { behind } else { spot };
        let cursor = LedgerCursor { position: reached, spot };
        Ok(LedgerPage { entries, missing: Vec::new(), cursor, last })
    }
}

/// Positions behind `from` that a page does not have, although it goes beyond them: each is given once, without gaps.
fn missing(from: u64, page: &LedgerPage) -> Vec<RangeInclusive<u64>> {
    let ends = page.entries.iter().map(|entry| entry.position).chain([page.cursor.position + 1]);
    let mut expected = from + 1;
    let mut found = Vec::new();
    for position in ends {
        if position > expected {
            found.push(expected..=position - 1);
        }
        expected = position + 1;
    }
    found
}
