//! A box that runs for long: what is done gives its space back, what is stuck survives.

use std::sync::Arc;

use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{State, Verdict, Work};
use storebox_proto::ticket::{Grade, Receipt};
use storebox_proto::time::Timestamp;

use super::samples::{key, main_sink, number, sale, signer, store_options};
use crate::journal::Options;
use crate::journal::sim::SimDisk;
use crate::uplink::command::{Given, News};
use crate::uplink::keeper::read_envelope;
use crate::uplink::{Outbox, OutboxOpened, OutboxOptions};

const SMALL: Options =
    Options { segment_bytes: 8 * 1024, reserve_bytes: 4096, spares_max: 1, deletes: true };

/// Takes everything, and keeps its documents first, as a shipper does.
pub(crate) async fn settle_and_keep(outbox: &Outbox) {
    for (taken, location) in outbox.open_entries().await.unwrap() {
        let envelope = read_envelope(&outbox.reader(), &location).unwrap();
        outbox.documents().keep(taken.position, &envelope);
    }
    settle_all(outbox, 1).await;
}

/// Takes everything except for the first transactions, which it refuses.
async fn settle_all(outbox: &Outbox, refused: u64) {
    loop {
        let Given { work, .. } = outbox.poll(&main_sink()).await.unwrap();
        let Work::Send(batch) = work else { return };
        let (mut answers, mut receipts) = (Vec::new(), Vec::new());
        for item in &batch.items {
            if number(item.key) <= refused {
                let problem = Problem::new(Code::TransactionRefused, "a rule");
                answers.push((item.position, Verdict::Refused(problem)));
                continue;
            }
            let (at, node) = (Timestamp::from_unix_ms(1_795_341_720_000), "main".parse().unwrap());
            let (key, digest) = (item.key, item.digest);
            let receipt =
                Receipt::state(key, digest, Grade::Settled, &node, 1, at).sign(&signer(2));
            answers.push((item.position, Verdict::Taken));
            receipts.push((item.position, receipt));
        }
        outbox.report(&main_sink(), News::Answers { answers, receipts }).await.unwrap();
    }
}

async fn end(store: OutboxOpened) {
    store.outbox.stop().await;
    tokio::task::spawn_blocking(|| store.thread.join().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stuck_transaction_moves_on_and_does_not_keep_the_space_of_the_others() {
    let home = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let open = || {
        let options = store_options(home.path());
        let options = OutboxOptions { disk: Arc::new(disk.clone()), journal: SMALL, ..options };
        Outbox::open(options).unwrap()
    };
    let store = open();
    store.outbox.accept(sale(1, 1, 1, 500)).await.unwrap();
    let mut other = sale(1, 1, 1, 501);
    other.payload.insert("id".to_owned(), "contradiction".into());
    store.outbox.accept(other).await.unwrap_err();
    for number in 2..400 {
        store.outbox.accept(sale(number, 1, number, 500)).await.unwrap();
        settle_all(&store.outbox, 1).await;
        let usage = store.outbox.figures().await.unwrap().usage;
        assert!(usage.segments <= 4, "{usage:?} after {number}");
    }
    end(store).await;

    let store = open();
    assert_eq!(store.incidents, Vec::<String>::new());
    let figures = store.outbox.figures().await.unwrap();
    assert_eq!((figures.waiting, figures.quarantined, figures.conflicts), (1, 1, 1));
    assert_eq!((figures.accepted, figures.settled), (399, 398));
    let entry = store.outbox.show(key(1)).await.unwrap();
    assert_eq!((entry.summary.state, entry.summary.position), (State::Quarantined, 1));
    assert_eq!(entry.envelope["payload"]["id"], "order-1");
    let conflicts = store.outbox.conflicts().await.unwrap();
    assert_eq!(conflicts[0].envelope["payload"]["id"], "contradiction");
    let have = store.outbox.have("till-1".parse().unwrap()).await.unwrap();
    assert_eq!((have[0].have.len(), have[0].have[0].to), (1, 399));
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_refused_sales_does_not_keep_the_space_of_all_that_come_after_it() {
    let home = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let open = || {
        let options = store_options(home.path());
        let options = OutboxOptions { disk: Arc::new(disk.clone()), journal: SMALL, ..options };
        Outbox::open(options).unwrap()
    };
    let store = open();
    let refused = 12;
    for number in 1..=refused {
        store.outbox.accept(sale(number, number, 1, 500)).await.unwrap();
    }
    settle_all(&store.outbox, refused).await;
    for number in 100..500 {
        store.outbox.accept(sale(number, 99, number, 500)).await.unwrap();
        settle_all(&store.outbox, refused).await;
        let usage = store.outbox.figures().await.unwrap().usage;
        assert!(usage.segments <= 14, "{usage:?} after {number}");
    }
    end(store).await;
    let store = open();
    assert_eq!(store.incidents, Vec::<String>::new());
    for number in 1..=refused {
        let kept = store.outbox.show(key(number)).await.unwrap();
        assert_eq!(kept.envelope["payload"]["id"], format!("order-{number}"));
    }
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_disk_says_so_and_a_new_start_has_what_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let open = || {
        let options = store_options(home.path());
        let options = OutboxOptions { disk: Arc::new(disk.clone()), journal: SMALL, ..options };
        Outbox::open(options).unwrap()
    };
    let store = open();
    store.outbox.accept(sale(1, 1, 1, 100)).await.unwrap();
    disk.fail_syncs(true);
    let problem = store.outbox.accept(sale(2, 1, 2, 100)).await.unwrap_err();
    assert_eq!(problem.code, Code::StorageFailed);
    disk.fail_syncs(false);
    let problem = store.outbox.accept(sale(3, 1, 3, 100)).await.unwrap_err();
    assert_eq!(problem.code, Code::StorageFailed);
    assert!(store.outbox.figures().await.unwrap().usage.failed);
    assert_eq!(store.outbox.progress(key(1)).await.unwrap().grade, Grade::Held);
    end(store).await;
    let store = open();
    assert_eq!(store.outbox.progress(key(1)).await.unwrap().grade, Grade::Held);
    store.outbox.accept(sale(3, 1, 3, 100)).await.unwrap();
    end(store).await;
}
