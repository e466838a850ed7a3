//! Reading the ledger in the order of settling.

use storebox_proto::ticket::SettleRequest;

use super::samples::{main_options, number, sale};
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
