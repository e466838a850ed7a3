//! The ledger in the order of settling, for those who hand it on.
//!
//! A follower keeps a [`LedgerCursor`]: the position that it has dealt with, and where to read on.
//! The position counts; the place is a hint, and a wrong one costs a walk through the ledger and nothing else.
//! Only what is durable is shown, so nobody outside learns of a transaction that a power cut could take back.

use serde::{Deserialize, Serialize};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::Envelope;

use super::bookkeeper::{Head, TAKEN};
use super::ledger::{Ledger, LedgerEntry};
use crate::blocking::beside;
use crate::journal::{Spot, Step};

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
            return Ok(LedgerPage { entries: Vec::new(), cursor, last });
        }
        let ledger = self.clone();
        let read = move || {
            let page = ledger.read_on(cursor, last, count_max, bytes_max)?;
            if !page.entries.is_empty() {
                return Ok(page);
            }
            // The place was wrong, or what is missing cannot be read: the start would have named it.
            let whole = LedgerCursor { spot: Spot::default(), ..cursor };
            let mut page = ledger.read_on(whole, last, count_max, bytes_max)?;
            if page.entries.is_empty() {
                page.cursor.position = last;
            }
            Ok(page)
        };
        beside(read).await
    }

    fn read_on(
        &self,
        cursor: LedgerCursor,
        last: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<LedgerPage, Problem> {
        let mut reached = cursor.position;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let spot = self.reader.follow(cursor.spot, &mut |record| {
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
            reached = position;
            bytes += record.body.len();
            entries.push(LedgerEntry { key: envelope.key, position, at, node, envelope });
            if position == last { Step::Enough } else { Step::Taken }
        });
        let spot = spot.map_err(|error| {
            Problem::new(Code::StorageFailed, format!("ledger cannot be read: {error}"))
        })?;
        Ok(LedgerPage { entries, cursor: LedgerCursor { position: reached, spot }, last })
    }
}
