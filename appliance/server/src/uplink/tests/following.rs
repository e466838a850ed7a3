//! Reading the ledger in the order of settling.

use std::sync::Arc;

use storebox_proto::ticket::SettleRequest;

use super::samples::{key, main_options, number, sale};
use crate::journal::sim::SimDisk;
use crate::journal::{Options, Spot};
use crate::uplink::{Ledger, LedgerCursor, LedgerOptions};

fn store() -> storebox_proto::ids::NodeId {
    "store-1".parse().unwrap()
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
    let open = || {
        let options = main_options(dir.path());
        Ledger::open(LedgerOptions { disk: Arc::new(disk.clone()), ..options }).unwrap()
    };
    let opened = open();
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
        let opened = open();
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
