//! A store and a main server over HTTP on loopback: cut lines, refusals, repairs, restarts.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use storebox_proto::problem::Code;
use storebox_proto::sync::outbox::{By, Link};
use storebox_proto::ticket::{Answer, Grade, SettleRequest};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::samples::{key, main_options, main_sink, sale, signer, store_options};
use crate::env;
use crate::http::identity::Identity;
use crate::http::settle;
use crate::journal::sim::SimDisk;
use crate::pass::Pass;
use crate::terminal::access::Access;
use crate::uplink::{
    Ledger, LedgerOpened, Outbox, OutboxOpened, Route, Routes, Rules, Shipper, ShipperOptions,
    Signers,
};

/// Whether the main server lets the line be used.
type Line = Arc<AtomicBool>;

#[expect(clippy::disallowed_methods, reason = "test start helper")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

#[expect(clippy::disallowed_methods, reason = "test start helper")]
fn start() -> Instant {
    Instant::now()
}

fn store() -> storebox_proto::ids::NodeId {
    "store-1".parse().unwrap()
}

/// Serves a ledger; while the line is cut, connections are taken and dropped without a word.
async fn serve(ledger: Ledger, line: Line) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let guard = middleware::from_fn(move |request: Request, next: Next| {
        let up = line.load(Ordering::SeqCst);
        async move { if up { next.run(request).await } else { cut() } }
    });
    let dir = tempfile::tempdir().unwrap();
    let (access, signers) = (Access::open(dir.path()).unwrap(), Signers::open(dir.path()).unwrap());
    let settling = settle::Settling { ledger, access, signers };
    let (router, _) = settle::routes(settling).split_for_parts();
    let router = router
        .route("/healthz", get(|| async { "ok" }))
        .layer(Extension(Identity::Node(store())))
        .layer(guard);
    spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// An answer that breaks off.
fn cut() -> Response {
    let broken = futures_util::stream::once(async { Err::<bytes::Bytes, _>("line is cut") });
    (StatusCode::OK, axum::body::Body::from_stream(broken)).into_response()
}

fn open_main(home: &Path, rules: Rules) -> LedgerOpened {
    Ledger::open(crate::uplink::LedgerOptions { rules, ..main_options(home) }).unwrap()
}

fn open_store(home: &Path) -> OutboxOpened {
    Outbox::open(store_options(home)).unwrap()
}

fn ship(outbox: &Outbox, url: String, shutdown: &CancellationToken) {
    drop(ship_to(outbox, url, 2, shutdown));
}

/// Ships to a server whose receipts are believed if they are signed with this key.
fn ship_to(
    outbox: &Outbox,
    url: String,
    trusted: u8,
    shutdown: &CancellationToken,
) -> JoinHandle<()> {
    let options = ShipperOptions {
        sink: main_sink(),
        authoritative: true,
        routes: Routes::single(Route::near(url, Pass::Token("secret".to_owned()))),
        node: store(),
        trusted: vec![signer(trusted).verifying_key()],
        line_back: std::sync::Arc::new(|| {}),
    };
    let shipper = Shipper::new(outbox.clone(), options).unwrap();
    spawn(shipper.run(shutdown.clone()))
}

/// Waits for a condition, at most thirty seconds.
async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..6000 {
        if holds().await {
            return;
        }
        tick.tick().await;
    }
    panic!("it did not happen within its deadline");
}

async fn waiting(outbox: &Outbox) -> u64 {
    outbox.figures().await.unwrap().waiting
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sold_during_an_outage_arrives_once_and_soon_after_it() {
    let home = tempfile::tempdir().unwrap();
    let main = open_main(home.path(), Rules::default());
    let line: Line = Arc::new(AtomicBool::new(true));
    let address = serve(main.ledger.clone(), line.clone()).await;
    let store = open_store(home.path());
    let shutdown = CancellationToken::new();
    ship(&store.outbox, format!("http://{address}"), &shutdown);
    let receipt = store.outbox.accept(sale(1, 1, 1, 100)).await.unwrap();
    assert_eq!(
        (receipt.grade, receipt.is_signed_by(&signer(1).verifying_key())),
        (Grade::Held, true)
    );
    let settled = store.outbox.settled(key(1)).await.unwrap();
    assert!(settled.is_signed_by(&signer(2).verifying_key()));

    line.store(false, Ordering::SeqCst);
    for number in 2..=300 {
        store.outbox.accept(sale(number, 1, number, 100)).await.unwrap();
    }
    assert_eq!(waiting(&store.outbox).await, 299);
    let outbox = &store.outbox;
    line.store(true, Ordering::SeqCst);
    let back = start();
    let ledger = &main.ledger;
    eventually(|| async { ledger.figures().await.unwrap().settled > 1 }).await;
    let took = back.elapsed();
    assert!(took < Duration::from_secs(2), "first upload after {took:?}");
    eventually(|| async { waiting(outbox).await == 0 }).await;
    assert_eq!(ledger.figures().await.unwrap().settled, 300);
    let again = store.outbox.accept(sale(1, 1, 1, 100)).await.unwrap();
    assert_eq!(again, receipt, "a late retry gets the first answer");
    let other = store.outbox.accept(sale(1, 1, 1, 101)).await.unwrap_err();
    assert_eq!(other.code, Code::KeyConflict);
    assert_eq!(store.outbox.conflicts().await.unwrap().len(), 1);
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_is_not_quite_zero_is_settled_as_it_was_sold() {
    let home = tempfile::tempdir().unwrap();
    let main = open_main(home.path(), Rules::default());
    let address = serve(main.ledger.clone(), Arc::new(AtomicBool::new(true))).await;
    let store = open_store(home.path());
    let mut sold = sale(1, 1, 1, 100);
    let rest = serde_json::from_str("-5.684341886080802e-14").unwrap();
    sold.payload.insert("rest".to_owned(), rest);
    store.outbox.accept(sold.clone()).await.unwrap();
    let shutdown = CancellationToken::new();
    ship(&store.outbox, format!("http://{address}"), &shutdown);
    let outbox = &store.outbox;
    eventually(|| async { waiting(outbox).await == 0 }).await;
    let settled = main.ledger.load(key(1)).await.unwrap().unwrap();
    assert_eq!(settled.envelope.digest(), sold.digest());
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sale_waits_with_its_payment_until_a_person_repairs_it() {
    let home = tempfile::tempdir().unwrap();
    let rules = Rules::new(|sale| match sale.payload.get("gross").and_then(|g| g.as_str()) {
        Some("-1") => Err("gross must not be negative".to_owned()),
        _ => Ok(()),
    });
    let main = open_main(home.path(), rules);
    let address = serve(main.ledger.clone(), Arc::new(AtomicBool::new(true))).await;
    let store = open_store(home.path());
    let mut bad = sale(1, 1, 1, 100);
    bad.payload.insert("gross".to_owned(), "-1".into());
    let mut payment = sale(2, 1, 2, 100);
    payment.depends_on = vec![key(1)];
    for sale in [bad, payment, sale(3, 1, 3, 100)] {
        store.outbox.accept(sale).await.unwrap();
    }
    let shutdown = CancellationToken::new();
    ship(&store.outbox, format!("http://{address}"), &shutdown);
    let outbox = &store.outbox;
    eventually(|| async { waiting(outbox).await == 2 }).await;
    let refused = outbox.list(0, true, 10).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].problem.as_ref().unwrap().code, Code::TransactionRefused);

    let mut payload = outbox.show(key(1)).await.unwrap().envelope["payload"].clone();
    payload["gross"] = "12.30".into();
    let payload = payload.as_object().unwrap().clone();
    outbox.repair(key(1), payload, By::new("anna", env::timestamp())).await.unwrap();
    eventually(|| async { waiting(outbox).await == 0 }).await;
    let repaired = main.ledger.load(key(1)).await.unwrap().unwrap();
    assert_eq!(repaired.envelope.payload["gross"], "12.30");
    assert!(main.ledger.receipt(key(2)).await.unwrap().is_some());
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_contradicts_the_ledger_is_given_up_and_seen_on_both_sides() {
    let home = tempfile::tempdir().unwrap();
    let main = open_main(home.path(), Rules::default());
    let request =
        SettleRequest { node: store(), envelopes: vec![sale(1, 1, 1, 50)], origins: Vec::new() };
    main.ledger.receive(&store(), request, |_| None).await.unwrap();
    let address = serve(main.ledger.clone(), Arc::new(AtomicBool::new(true))).await;
    let first = open_store(home.path());
    let mut payment = sale(2, 1, 2, 100);
    payment.lane = sale(1, 1, 1, 100).lane;
    for sale in [sale(1, 1, 1, 100), payment] {
        first.outbox.accept(sale).await.unwrap();
    }
    let shutdown = CancellationToken::new();
    ship(&first.outbox, format!("http://{address}"), &shutdown);
    let outbox = &first.outbox;
    eventually(|| async { outbox.figures().await.unwrap().quarantined == 1 }).await;
    let by = By { who: "anna".into(), at: env::timestamp(), reason: "sold twice".into() };
    outbox.give_up(key(1), by).await.unwrap();
    eventually(|| async { waiting(outbox).await == 0 }).await;
    let figures = outbox.figures().await.unwrap();
    assert_eq!((figures.settled, figures.given_up, figures.quarantined), (1, 1, 0));
    assert_eq!(first.documents.load(&"Order".parse().unwrap(), "order-1"), None);
    shutdown.cancel();
    outbox.stop().await;
    tokio::task::spawn_blocking(|| first.thread.join().unwrap()).await.unwrap();
    drop((first.outbox, first.documents));

    let again = open_store(home.path());
    let kept = again.outbox.show(key(1)).await.unwrap();
    assert_eq!(kept.envelope["payload"]["id"], "order-1");
    assert_eq!((kept.audit[0].action.as_str(), kept.audit[0].by.who.as_str()), ("drop", "anna"));
    assert_eq!(again.outbox.given_up().await.unwrap().len(), 1);
    assert_eq!(again.outbox.figures().await.unwrap().given_up, 1);
    assert_eq!(again.documents.load(&"Order".parse().unwrap(), "order-1"), None);

    let refusals = main.ledger.refusals(0, 10).await.unwrap();
    assert_eq!((refusals[0].number, refusals[0].problem.code), (1, Code::KeyConflict));
    let length = |envelope: &storebox_proto::ticket::Envelope| {
        envelope.payload["filler"].as_str().map(str::len)
    };
    let settled = refusals[0].settled.as_ref().unwrap();
    assert_eq!((length(&refusals[0].envelope), length(&settled.envelope)), (Some(100), Some(50)));
    assert!(main.ledger.refusals(refusals.last().unwrap().number, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_signed_by_somebody_else_settles_nothing() {
    let home = tempfile::tempdir().unwrap();
    let main = open_main(home.path(), Rules::default());
    let address = serve(main.ledger.clone(), Arc::new(AtomicBool::new(true))).await;
    let store = open_store(home.path());
    store.outbox.accept(sale(1, 1, 1, 100)).await.unwrap();
    let (deceived, outbox, ledger) = (CancellationToken::new(), &store.outbox, &main.ledger);
    let carrier = ship_to(outbox, format!("http://{address}"), 9, &deceived);
    eventually(|| async { ledger.figures().await.unwrap().settled == 1 }).await;
    let is_doubted = |link: &Link| matches!(link, Link::Waiting { .. });
    eventually(|| async { is_doubted(&outbox.figures().await.unwrap().sinks[0].link) }).await;
    assert_eq!(waiting(outbox).await, 1, "it said taken, but nobody that we trust has signed it");
    // A box has one carrier at a time for each sink.
    deceived.cancel();
    carrier.await.unwrap();
    let shutdown = CancellationToken::new();
    ship(outbox, format!("http://{address}"), &shutdown);
    eventually(|| async { waiting(outbox).await == 0 }).await;
    assert_eq!(ledger.figures().await.unwrap().settled, 1, "and not twice");
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_what_is_held_and_shows_it_to_other_tills() {
    let home = tempfile::tempdir().unwrap();
    let first = open_store(home.path());
    for number in 1..=20 {
        first.outbox.accept(sale(number, 1, number, 100)).await.unwrap();
    }
    let kind = "Order".parse().unwrap();
    let document = first.documents.load(&kind, "order-7").unwrap();
    assert_eq!((document.key, document.grade), (key(7), Grade::Held));
    first.outbox.stop().await;
    tokio::task::spawn_blocking(|| first.thread.join().unwrap()).await.unwrap();
    let refused = first.outbox.accept(sale(21, 1, 21, 100)).await.unwrap_err();
    assert_eq!(refused.code, Code::Stopping);
    drop((first.outbox, first.documents));

    let again = open_store(home.path());
    assert_eq!(again.incidents, Vec::<String>::new());
    assert_eq!(waiting(&again.outbox).await, 20);
    assert_eq!(again.documents.list(&kind, Some("order-18"), 100).len(), 10);
    let have = again.outbox.have("till-1".parse().unwrap()).await.unwrap();
    assert_eq!((have[0].have[0].from, have[0].have[0].to), (1, 20));

    let main = open_main(home.path(), Rules::default());
    let address = serve(main.ledger.clone(), Arc::new(AtomicBool::new(true))).await;
    let shutdown = CancellationToken::new();
    ship(&again.outbox, format!("http://{address}"), &shutdown);
    let outbox = &again.outbox;
    eventually(|| async { waiting(outbox).await == 0 }).await;
    let document = again.documents.load(&kind, "order-7").unwrap();
    assert_eq!(document.grade, Grade::Settled);
    again.documents.give_way(&"Order".parse().unwrap(), &"order-7".parse().unwrap());
    assert_eq!(again.documents.load(&kind, "order-7"), None);
    shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_answers_each_envelope_of_a_batch_for_itself() {
    let home = tempfile::tempdir().unwrap();
    let main =
        open_main(
            home.path(),
            Rules::new(|sale| {
                if sale.payload["gross"] == "-1" { Err("negative".to_owned()) } else { Ok(()) }
            }),
        );
    let mut bad = sale(2, 1, 2, 10);
    bad.payload.insert("gross".to_owned(), "-1".into());
    let mut after_bad = sale(3, 1, 3, 10);
    after_bad.lane = bad.lane.clone();
    let mut too_early = sale(4, 1, 4, 10);
    too_early.depends_on = vec![key(99)];
    let mut after_first = sale(5, 1, 5, 10);
    after_first.depends_on = vec![key(1)];
    let envelopes = vec![sale(1, 1, 1, 10), bad, after_bad, too_early, after_first];
    let request = SettleRequest { node: store(), envelopes, origins: Vec::new() };
    let answer = main.ledger.receive(&store(), request.clone(), |_| None).await.unwrap();
    let said = |answer: &storebox_proto::ticket::SettleAnswer| {
        let word = |answer: &Answer| match answer {
            Answer::Taken { .. } => "taken".to_owned(),
            Answer::Later { problem } => format!("later {}", problem.code),
            Answer::Refused { problem } => format!("refused {}", problem.code),
        };
        answer.answers.iter().map(|keyed| word(&keyed.answer)).collect::<Vec<_>>()
    };
    let expected = [
        "taken",
        "refused transaction_refused",
        "later dependency_missing",
        "later dependency_missing",
        "taken",
    ];
    assert_eq!(said(&answer), expected);
    let again = main.ledger.receive(&store(), request, |_| None).await.unwrap();
    assert_eq!(said(&again), expected);
    assert_eq!(again.answers[0], answer.answers[0], "the first receipt again");
    let mut needs_bad = sale(6, 1, 6, 10);
    needs_bad.depends_on = vec![key(2)];
    let envelopes = vec![needs_bad, sale(1, 1, 1, 11)];
    let answer = main
        .ledger
        .receive(&store(), SettleRequest { node: store(), envelopes, origins: Vec::new() }, |_| {
            None
        })
        .await;
    let expected = ["refused dependency_refused", "refused key_conflict"];
    assert_eq!(said(&answer.unwrap()), expected);
    let other = "store-2".parse().unwrap();
    let request = SettleRequest { node: store(), envelopes: Vec::new(), origins: Vec::new() };
    assert_eq!(
        main.ledger.receive(&other, request, |_| None).await.unwrap_err().code,
        Code::Forbidden
    );
    assert_eq!(main.ledger.figures().await.unwrap().settled, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_gone_or_wrong_is_built_anew_and_still_knows_every_key() {
    let home = tempfile::tempdir().unwrap();
    let small =
        crate::journal::Options { segment_bytes: 4096, ..main_options(home.path()).journal };
    let options = crate::uplink::LedgerOptions { journal: small, ..main_options(home.path()) };
    for round in 0..3 {
        let opened = Ledger::open(options.clone()).unwrap();
        assert_eq!(opened.incidents.len(), usize::from(round == 2), "{:?}", opened.incidents);
        let envelopes = (1..=20).map(|number| sale(number, 1, number, 400)).collect();
        let request = SettleRequest { node: store(), envelopes, origins: Vec::new() };
        opened.ledger.receive(&store(), request.clone(), |_| None).await.unwrap();
        opened.ledger.receive(&store(), request, |_| None).await.unwrap();
        assert_eq!(opened.ledger.figures().await.unwrap().settled, 20);
        opened.ledger.stop().await;
        tokio::task::spawn_blocking(|| opened.thread.join().unwrap()).await.unwrap();
        drop(opened.ledger);
        let index = home.path().join("ledger").join("index");
        if round == 0 {
            std::fs::remove_dir_all(&index).unwrap();
        } else {
            let keyed = crate::db::Keyed::open(&index).unwrap().keyed;
            keyed.remove(b'k', key(3).0.as_bytes()).unwrap();
            keyed.commit().unwrap();
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_answered_with_507_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let mut options = store_options(home.path());
    options.disk = Arc::new(disk.clone());
    options.journal.segment_bytes = 32 * 1024;
    let store = Outbox::open(options).unwrap();
    store.outbox.accept(sale(1, 1, 1, 100)).await.unwrap();
    disk.leave_room(0);
    let mut refused = None;
    for number in 2..2000 {
        if let Err(problem) = store.outbox.accept(sale(number, 1, number, 1000)).await {
            refused = Some((number, problem));
            break;
        }
    }
    let (number, problem) = refused.unwrap();
    assert_eq!((problem.code, problem.status), (Code::StorageFull, 507));
    assert!(problem.detail.contains("send it again"), "{problem}");
    assert_eq!(waiting(&store.outbox).await, number - 1);
    let have = store.outbox.have("till-1".parse().unwrap()).await.unwrap();
    assert_eq!(have[0].have[0].to, number - 1, "what was refused is not said to be here");
    disk.leave_room(10_000_000);
    for number in number..number + 200 {
        if store.outbox.accept(sale(number, 1, number, 1000)).await.is_ok() {
            return;
        }
    }
    panic!("with room again it has to accept again");
}
