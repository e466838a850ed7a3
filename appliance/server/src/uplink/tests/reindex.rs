//! A ledger whose index fails in the middle of its life.

use std::sync::Arc;

use storebox_proto::problem::Code;
use tokio::sync::oneshot;

use super::samples::sale;
use crate::env;
use crate::journal::sim::SimDisk;
use crate::journal::{Group, Journal, Options, Owner};
use crate::uplink::bookkeeper::{Bookkeeper, Candidate, Command, Outcome};
use crate::uplink::index::Index;
use crate::uplink::reindex::Replay;
use crate::uplink::{LedgerFigures, Rules};

/// Settles these as one group.
fn settle(keeper: &mut Bookkeeper, journal: &mut Journal, numbers: &[u64]) -> Vec<Outcome> {
    if journal.begin(&mut || keeper.checkpoint()) {
        keeper.rolled(journal);
    }
    let candidate =
        |number: &u64| Candidate::new(sale(*number, 1, *number, 100), &Rules::default());
    let (answer, mut answered) = oneshot::channel();
    let (node, at) = ("store-1".parse().unwrap(), env::timestamp());
    let batch = numbers.iter().map(candidate).collect();
    let mut group = Group::new();
    keeper.take(Command::Settle { node, at, batch, answer }, &mut group);
    let written = if group.is_empty() { Ok(Vec::new()) } else { journal.commit(group) };
    keeper.done(written, journal);
    answered.try_recv().unwrap()
}

fn positions(outcomes: &[Outcome]) -> Vec<u64> {
    let position = |outcome: &Outcome| match outcome {
        Outcome::Taken(settlement) => settlement.position,
        other @ (Outcome::Later(_) | Outcome::Refused(_)) => panic!("{other:?}"),
    };
    outcomes.iter().map(position).collect()
}

#[test]
fn an_index_that_failed_is_open_again_for_the_next_batch_and_takes_nothing_twice() {
    let home = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 4096, deletes: false, ..Options::default() };
    let (disk, dir) = (Arc::new(SimDisk::new()), home.path().join("journal"));
    let mut journal = Journal::open(disk, &dir, options, 0, &mut |_| {}).unwrap().journal;
    let found = Index::open(&home.path().join("index")).unwrap();
    let reindexed = Replay::new(found.index).finish(found.used, found.beyond, false).unwrap();
    let (usage, reader) = (journal.usage(), journal.reader());
    let mut keeper = Bookkeeper::new(reindexed, usage, reader);
    let all: Vec<u64> = (1..=30).collect();
    for part in all.chunks(3) {
        assert_eq!(positions(&settle(&mut keeper, &mut journal, part)), part);
    }
    keeper.index.fail();
    let outcomes = settle(&mut keeper, &mut journal, &[1, 31]);
    for outcome in &outcomes {
        assert!(
            matches!(outcome, Outcome::Later(p) if p.code == Code::StorageFailed),
            "{outcome:?}"
        );
    }
    assert!(LedgerFigures::of(&keeper).index_failed);
    assert_eq!(positions(&settle(&mut keeper, &mut journal, &[1, 30, 31])), [1, 30, 31]);
    assert_eq!(keeper.index.count(), 31);
    assert!(!LedgerFigures::of(&keeper).index_failed);
    assert_eq!(positions(&settle(&mut keeper, &mut journal, &all)), all);
}
