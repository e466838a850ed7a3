//! A best-effort sink that never answers: it cannot fill the disk, and what it loses is said aloud.

use std::time::Duration;

use storebox_proto::sync::outbox::{Item, Limits, SinkDef, Verdict, Work};
use storebox_proto::ticket::{Grade, Receipt};
use storebox_proto::time::Timestamp;

use super::samples::{key, main_sink, sale, signer, store_options};
use crate::uplink::command::{Given, News};
use crate::uplink::{Outbox, OutboxOptions};

async fn settle_all(outbox: &Outbox) {
    loop {
        let Given { work, .. } = outbox.poll(&main_sink()).await.unwrap();
        let Work::Send(batch) = work else { return };
        let (at, node) = (Timestamp::from_unix_ms(1_795_341_720_000), "main".parse().unwrap());
        let receipt = |item: &Item| {
            let (key, digest) = (item.key, item.digest);
            Receipt::state(key, digest, Grade::Settled, &node, 1, at).sign(&signer(2))
        };
        let receipts = batch.items.iter().map(|item| (item.position, receipt(item))).collect();
        let answers = batch.items.iter().map(|item| (item.position, Verdict::Taken)).collect();
        outbox.report(&main_sink(), News::Answers { answers, receipts }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_stays_away_is_left_behind_and_the_loss_is_counted_over_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let open = || {
        let mut options = store_options(home.path());
        options.sinks.push(SinkDef { id: "archive".parse().unwrap(), authoritative: false });
        let limits = Limits { pinned_max: 20, ..Limits::default() };
        Outbox::open(OutboxOptions { limits, ..options }).unwrap()
    };
    let store = open();
    for number in 1..=50 {
        store.outbox.accept(sale(number, 1, number, 100)).await.unwrap();
        settle_all(&store.outbox).await;
    }
    let figures = store.outbox.figures().await.unwrap();
    let archive = figures.sinks.iter().find(|sink| !sink.authoritative).unwrap().clone();
    assert_eq!((figures.waiting, figures.settled), (0, 50), "nobody waited for it");
    assert!(archive.left >= 30 && archive.behind <= 20, "{archive:?}");
    assert_eq!(archive.left + archive.behind as u64, 50, "each is counted once");
    store.outbox.stop().await;
    tokio::task::spawn_blocking(|| store.thread.join().unwrap()).await.unwrap();
    drop((store.outbox, store.documents));

    let again = open();
    let figures = again.outbox.figures().await.unwrap();
    let after = figures.sinks.iter().find(|sink| !sink.authoritative).unwrap();
    assert_eq!((after.left, after.behind), (archive.left, archive.behind));
    let given = tokio::time::timeout(Duration::from_secs(10), again.outbox.poll(&after.id));
    let Work::Send(batch) = given.await.unwrap().unwrap().work else { panic!("it may go on") };
    assert_eq!(batch.items.last().unwrap().key, key(50));
}
