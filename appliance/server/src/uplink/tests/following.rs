//! Reading the ledger in the order of settling.

use std::path::Path;
use std::sync::Arc;

use storebox_proto::problem::Code;
use storebox_proto::ticket::SettleRequest;

use super::samples::{key, main_options, number, sale};
use crate::journal::sim::SimDisk;
use crate::journal::{Options, Spot};
use crate::uplink::{Ledger, LedgerCursor, LedgerOpened, LedgerOptions};

fn store() -> storebox_proto::ids::NodeId {
    "store-1".parse().unwrap()
}

fn open(dir: &Path, disk: &SimDisk) -> LedgerOpened {
    let options = main_options(dir);
    Ledger::open(LedgerOptions { disk: Arc::new(disk.clone()), ..options }).unwrap()
}

async fn settle(ledger: &Ledger, numbers: std::ops::Range<u64>) {
    let envelopes = numbers.map(|n| sale(n, 1, n, 200)).collect();
    let request = SettleRequest { node: store(), envelopes, origins: Vec::new() };
    ledger.receive(&store(), request, |_| None).await.unwrap();
}

#[tokio::test]
async fn a_follower_gets_everything_once_in_order_whatever_it_forgets() {
    let dir = tempfile::tempdir().unwrap();
    let options = main_options(dir.path());
    let journal = Options { segment_bytes: 8192, ..options.journal };
    let opened = Ledger::open(LedgerOptions { journal, ..options }).unwrap();
    let ledger = opened.ledger;
    let (mut seen, mut cursor) = (Vec::new(), LedgerCursor::default());
    for round in 0..5 {
        // Later keys first: the order is that of settling and not that of keys.
        settle(&ledger, 1000 - round * 20..1000 - round * 20 + 20).await;
        loop {
            if round == 3 {
                cursor.spot = Spot { segment: 99, offset: 7 };
            }
            let page = ledger.follow(cursor, 7, 1 << 20).await.unwrap();
            cursor = page.cursor;
            if page.entries.is_empty() {
                assert_eq!((page.last, cursor.position), ((round + 1) * 20, (round + 1) * 20));
                break;
            }
            assert!(page.entries.len() <= 7);
            seen.extend(page.entries.iter().map(|entry| (entry.position, number(entry.key))));
        }
    }
    let wanted: Vec<_> = (0..5).flat_map(|r| 1000 - r * 20..1000 - r * 20 + 20).collect();
    let wanted: Vec<_> = (1..).zip(wanted).collect();
    assert_eq!(seen, wanted);
    let page = ledger.follow(LedgerCursor::default(), 1000, 2000).await.unwrap();
    assert!((2..10).contains(&page.entries.len()), "bounded by bytes too");
    ledger.stop().await;
}

#[tokio::test]
async fn a_bad_first_sector_of_the_last_segment_gives_no_position_twice_and_takes_no_sale_twice() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let opened = open(dir.path(), &disk);
    settle(&opened.ledger, 1..51).await;
    let position = |ledger: Ledger, number| async move {
        ledger.receipt(key(number)).await.unwrap().unwrap().position
    };
    let first = position(opened.ledger.clone(), 1).await;
    opened.ledger.stop().await;
    tokio::task::spawn_blocking(|| opened.thread.join().unwrap()).await.unwrap();
    drop(opened.ledger);

    let segment = dir.path().join("ledger/journal/seg-0000000001.log");
    disk.spoil(&segment, 0..4096);
    for round in 0..2 {
        let opened = open(dir.path(), &disk);
        assert_eq!(opened.incidents.is_empty(), round > 0, "a person is told");
        let ledger = opened.ledger;
        settle(&ledger, 1..52 + round).await;
        assert_eq!(position(ledger.clone(), 1).await, first, "it was settled before");
        let cursor = LedgerCursor { position: 50 + round, ..LedgerCursor::default() };
        let page = ledger.follow(cursor, 10, 1 << 20).await.unwrap();
        let new: Vec<_> = page.entries.iter().map(|e| (e.position, number(e.key))).collect();
        assert_eq!(new, [(51 + round, 51 + round)], "what is new reaches the sink");
        ledger.stop().await;
        tokio::task::spawn_blocking(|| opened.thread.join().unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_sale_that_the_disk_does_not_give_back_is_named_with_its_file_and_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let opened = open(dir.path(), &disk);
    let ledger = opened.ledger;
    settle(&ledger, 1..21).await;
    let segment = dir.path().join("ledger/journal/seg-0000000001.log");
    disk.damage(&segment, |bytes| {
        let at = bytes.windows(9).position(|part| part == b"\"order-7\"").unwrap();
        bytes[at + 2] ^= 1;
    });

    let all = ledger.list(None, 100).await.unwrap();
    let read: Vec<_> = all.entries.iter().map(|entry| number(entry.key)).collect();
    assert_eq!(read, (1..21).filter(|number| *number != 7).collect::<Vec<_>>());
    let [lost] = &all.unreadable[..] else { panic!("{:?}", all.unreadable) };
    assert_eq!((lost.key, lost.position, lost.node.clone()), (key(7), 7, store()));
    assert_eq!(lost.problem.code, Code::StorageFailed);
    assert!(lost.problem.detail.contains(&*segment.to_string_lossy()), "{}", lost.problem.detail);
    assert_eq!(all.next, None);
    let page = ledger.list(Some(key(6)), 1).await.unwrap();
    assert_eq!((page.entries.len(), page.unreadable.len()), (0, 1));
    assert_eq!(page.next, Some(key(7)), "the next page goes on behind it");
    assert_eq!(ledger.load(key(7)).await.unwrap_err().code, Code::StorageFailed);
    assert_eq!(ledger.receipt(key(7)).await.unwrap().unwrap().position, 7, "settled all the same");

    let followed = |position, spot, count| {
        let ledger = ledger.clone();
        async move {
            let cursor = LedgerCursor { position, spot };
            let page = ledger.follow(cursor, count, 1 << 20).await.unwrap();
            let read: Vec<_> = page.entries.iter().map(|entry| entry.position).collect();
            (read, page.missing, page.cursor)
        }
    };
    // All of one group: what stands behind the damage might be on its way, says the journal; the ledger knows better.
    let (read, missing, before) = followed(0, Spot::default(), 100).await;
    assert_eq!((read, missing), ((1..7).collect(), vec![]));
    let (read, missing, _) = followed(6, before.spot, 100).await;
    assert_eq!((read, missing), ((8..21).collect(), vec![7..=7]));
    settle(&ledger, 21..22).await;
    let (read, missing, behind) = followed(0, Spot::default(), 10).await;
    assert_eq!((read.last(), missing), (Some(&11), vec![7..=7]), "proven by the next group");
    let (read, missing, _) = followed(2, behind.spot, 2).await;
    assert_eq!((read, missing), (vec![3, 4], vec![]), "a place too far on passes nothing over");
    let (read, missing, cursor) = followed(6, Spot::default(), 1).await;
    assert_eq!((read, missing, cursor.position), (vec![8], vec![7..=7], 8));
    ledger.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_at_the_end_is_told_too() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let opened = open(dir.path(), &disk);
    settle(&opened.ledger, 1..6).await;
    let segment = dir.path().join("ledger/journal/seg-0000000001.log");
    disk.spoil(&segment, 0..1 << 20);
    let page = opened.ledger.follow(LedgerCursor::default(), 10, 1 << 20).await.unwrap();
    assert_eq!((page.entries.len(), page.missing, page.cursor.position), (0, vec![1..=5], 5));
    assert_eq!(
        page.cursor.spot,
        Spot::default(),
        "read on from where it was, not from behind what it has not seen"
    );
    assert_eq!(opened.ledger.list(None, 10).await.unwrap().unreadable.len(), 5);
    opened.ledger.stop().await;
}
