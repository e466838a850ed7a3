//! What a till was told stands, also on a bad disk and when the box that accepted it is gone.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::ladder::Kind;
use storebox_proto::sync::outbox::Verdict;
use storebox_proto::ticket::{Envelope, Grade, Receipt};
use storebox_proto::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::mirror::{Held, begin};
use super::relay::{eventually, node, open, serve, ship, ways};
use super::samples::{key, main_options, main_sink, sale, signer, store_options};
use crate::http::settle;
use crate::journal::Options;
use crate::journal::sim::SimDisk;
use crate::terminal::access::Access;
use crate::uplink::command::News;
use crate::uplink::{Ledger, Outbox, OutboxOpened, OutboxOptions, Signers};

fn open_on(disk: &SimDisk, home: &Path, segment_bytes: u64) -> OutboxOpened {
    let options = store_options(home);
    let journal = Options { segment_bytes, reserve_bytes: 4096, ..options.journal };
    let (disk, node) = (Arc::new(disk.clone()), node("far"));
    Outbox::open(OutboxOptions { disk, journal, node, ..options }).unwrap()
}

async fn end(store: OutboxOpened) {
    store.outbox.stop().await;
    tokio::task::spawn_blocking(|| store.thread.join().unwrap()).await.unwrap();
}

/// The same sale twice in one group, which then cannot be written.
async fn hands_over_twice(outbox: &Outbox, sold: &Envelope, spoil: impl FnOnce()) -> [Code; 2] {
    let held = Held::hold(outbox).await;
    let mut first = pin!(outbox.accept(sold.clone()));
    begin(first.as_mut()).await;
    let mut again = pin!(outbox.accept(sold.clone()));
    begin(again.as_mut()).await;
    spoil();
    held.release().await;
    [first.await.unwrap_err().code, again.await.unwrap_err().code]
}

#[tokio::test]
async fn a_sale_that_is_sent_twice_while_the_disk_fails_gets_no_receipt() {
    let home = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let store = open_on(&disk, home.path(), 32 * 1024);
    store.outbox.accept(sale(1, 1, 1, 100)).await.unwrap();
    let said = hands_over_twice(&store.outbox, &sale(2, 1, 2, 100), || disk.fail_syncs(true)).await;
    assert_eq!(said, [Code::StorageFailed; 2]);
    assert_eq!(store.outbox.figures().await.unwrap().waiting, 1);
    end(store).await;
}

#[tokio::test]
async fn a_sale_that_is_sent_twice_to_a_full_box_gets_no_receipt_and_is_taken_when_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let store = open_on(&disk, home.path(), 32 * 1024);
    let outbox = &store.outbox;
    disk.leave_room(0);
    let mut number = 1;
    while outbox.accept(sale(number, 1, number, 1000)).await.is_ok() {
        number += 1;
        assert!(number < 2000, "it has to be full some time");
    }
    let sold = sale(number, 1, number, 1000);
    assert_eq!(hands_over_twice(outbox, &sold, || {}).await, [Code::StorageFull; 2]);
    disk.leave_room(10_000_000);
    eventually(|| async { outbox.accept(sold.clone()).await.is_ok() }).await;
    assert_eq!(outbox.figures().await.unwrap().waiting, number);
    end(store).await;
}

#[tokio::test]
async fn a_sale_that_was_passed_on_and_then_handed_over_here_waits_here_when_it_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path(), "near");
    let (outbox, sold) = (&store.outbox, sale(1, 1, 1, 100));
    let at = Timestamp::from_unix_ms(1_795_341_720_000);
    let word = Receipt::state(key(1), sold.digest(), Grade::Held, &node("far"), 7, at);
    outbox.accept_guest(sold.clone(), word.sign(&signer(3))).await.unwrap();
    assert_eq!(outbox.figures().await.unwrap().guests, 1);
    let receipt = outbox.accept(sold.clone()).await.unwrap();
    assert_eq!(receipt.node, node("near"));
    assert_eq!(outbox.figures().await.unwrap().guests, 0);
    outbox.poll(&main_sink()).await.unwrap();
    let refused = Verdict::Refused(Problem::new(Code::TransactionRefused, "no such article"));
    let news = News::Answers { answers: vec![(1, refused)], receipts: Vec::new() };
    outbox.report(&main_sink(), news).await.unwrap();
    assert_eq!(outbox.figures().await.unwrap().quarantined, 1, "its box may be gone");
    end(store).await;

    let again = open(home.path(), "near");
    assert_eq!(again.outbox.figures().await.unwrap().quarantined, 1);
    assert_eq!(again.outbox.show(key(1)).await.unwrap().envelope["payload"]["id"], "order-1");
    assert_eq!(again.outbox.accept(sold).await.unwrap(), receipt, "the same word as before");
    end(again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_the_disk_does_not_give_back_waits_for_a_person_and_the_others_go() {
    let home = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let store = open_on(&disk, home.path(), 32 * 1024);
    for number in 1..=3 {
        store.outbox.accept(sale(number, 1, number, 100)).await.unwrap();
    }
    let segment = home.path().join("outbox/journal/seg-0000000001.log");
    disk.damage(&segment, |bytes| {
        let at = bytes.windows(9).position(|text| text == b"\"order-1\"").unwrap();
        bytes[at] ^= 1;
    });
    let ledger = Ledger::open(main_options(home.path())).unwrap().ledger;
    let access = Access::open(home.path()).unwrap();
    let signers = Signers::open(home.path()).unwrap();
    let main = serve(settle::routes(settle::Settling { ledger, access, signers }), "far").await;
    let stop = CancellationToken::new();
    ship(&store.outbox, "far", ways(&[("main", Kind::Primary, main)]), &stop);
    let outbox = &store.outbox;
    eventually(|| async { outbox.figures().await.unwrap().waiting == 1 }).await;
    let waiting = outbox.list(0, true, 10).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].key), (1, key(1)));
    assert_eq!(waiting[0].problem.as_ref().unwrap().code, Code::StorageFailed);
    stop.cancel();
}
