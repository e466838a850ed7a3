//! The ledger's index from the ledger's journal: at a start, and when the index has failed in the middle of a life.
//!
//! A key that is missing in the index would be taken twice; so an index that knows less than what was promised is not
//! used.

use std::io;

use storebox_proto::ids::TxKey;
use storebox_proto::problem::Code;
use storebox_proto::sync::outbox::Meta;

use super::bookkeeper::{CONFLICT, Checkpoint, Head, REFUSED, TAKEN};
use super::index::{Index, Line, Mark, RefusalLine, TakenLine, Used};
use crate::db::DiskError;
use crate::journal::record::CHECKPOINT;
use crate::journal::{Reader, Replayed, Spot, Step};

/// An index that knows what the journal says.
pub(super) struct Reindexed {
    pub(super) index: Index,
    /// The position of the next one.
    pub(super) next: u64,
    pub(super) refused: u64,
    /// What was wrong.
    pub(super) incidents: Vec<String>,
}

/// Why an index that failed cannot be used again.
#[derive(Debug, thiserror::Error)]
pub(super) enum AgainError {
    /// It does not open.
    #[error("open the ledger's index again")]
    Index(#[from] DiskError),
    /// The journal cannot be read.
    #[error("read the ledger's journal")]
    Journal(#[from] io::Error),
    /// It would take something twice.
    #[error(
        "the index would have {count} transactions and the next position {next}; that is too little"
    )]
    Forgetful { count: u64, next: u64 },
}

/// Opens an index that failed once more and fills it from the journal, of which nothing may be on its way.
///
/// It has to know so many transactions, and positions up to this one.
pub(super) fn again(
    index: &mut Index,
    reader: &Reader,
    count: u64,
    next: u64,
) -> Result<(), AgainError> {
    let found = index.reopen()?;
    let mut replay = Replay::new(found.index);
    let from = Spot { segment: found.from, offset: 0 };
    reader.follow(from, true, &mut |record| {
        replay.take(record);
        Step::Taken
    })?;
    let reindexed = replay.finish(found.used, found.beyond, true)?;
    let known = reindexed.index.count();
    if !reindexed.incidents.is_empty() || known < count || reindexed.next < next {
        return Err(AgainError::Forgetful { count: known, next: reindexed.next });
    }
    *index = reindexed.index;
    Ok(())
}

/// What the journal adds to the index.
pub(super) struct Replay {
    index: Index,
    /// The index at the start of the last segment.
    mark: Option<Mark>,
    next: u64,
    refused: u64,
    incidents: Vec<String>,
}

impl Replay {
    pub(super) fn new(index: Index) -> Self {
        Self { index, mark: None, next: 1, refused: 0, incidents: Vec::new() }
    }

    /// The index as it is now that everything was taken; `damaged` says that the journal may not have told all.
    pub(super) fn finish(
        mut self,
        used: Used,
        beyond: Vec<(TxKey, TakenLine)>,
        damaged: bool,
    ) -> Result<Reindexed, DiskError> {
        // A sale that a bad sector took out of the journal was settled all the same.
        let kept = if damaged { self.keep(beyond)? } else { 0 };
        let Self { index, mark, next, refused, mut incidents } = self;
        if kept > 0 {
            incidents.push(format!("{kept} settled transactions are known only by their keys"));
        }
        // Its mark does not count what was kept: the next segment's will.
        if let Some(mark) = mark.filter(|_| kept == 0) {
            index.mark(&mark)?;
        }
        // No number is given twice, whatever the journal can still tell.
        let (next, refused) = (next.max(used.position + 1), refused.max(used.refused));
        Ok(Reindexed { index, next, refused, incidents })
    }

    /// Takes what the index knew and the damaged journal did not tell again; how many that are.
    fn keep(&mut self, known: Vec<(TxKey, TakenLine)>) -> Result<usize, DiskError> {
        let mut kept = 0;
        for (key, line) in known {
            if !matches!(self.index.get(&key)?, Some(Line::Taken(_))) {
                self.index.take(&key, line)?;
                kept += 1;
            }
        }
        Ok(kept)
    }

    pub(super) fn take(&mut self, replayed: &Replayed<'_>) {
        if replayed.kind == CHECKPOINT {
            if let Ok(checkpoint) = serde_json::from_slice::<Checkpoint>(replayed.body) {
                self.next = self.next.max(checkpoint.next);
                self.refused = self.refused.max(checkpoint.refused);
            }
            self.mark = Some(self.index.at_start_of(replayed.location.segment));
            return;
        }
        let place = replayed.location.as_place();
        let sequence = replayed.location.sequence;
        let read = Head::decode(replayed.body);
        let read = read.and_then(|(head, bytes)| Some((head, Meta::read(bytes).ok()?)));
        let Some((head, meta)) = read else {
            self.incidents.push(format!("ledger record {sequence} is not understood"));
            return;
        };
        let Meta { key, digest, .. } = meta;
        let Head { position, at, node, problem, .. } = head;
        let code = problem.map_or(Code::TransactionRefused, |problem| problem.code);
        let noted = match replayed.kind {
            TAKEN => {
                self.next = self.next.max(position + 1);
                self.index.take(&key, TakenLine { digest, position, at, node, place })
            }
            REFUSED | CONFLICT => {
                self.refused += 1;
                let listed = self.index.list_refusal(self.refused, &RefusalLine { key, place });
                listed.and_then(|()| self.index.refuse(&key, code))
            }
            _ => return,
        };
        if let Err(error) = noted {
            self.incidents.push(format!("index of the ledger: {error}"));
        }
    }
}
