//! What a receipt says is so: `mirrored` stands on two nodes; without the second it says `held`, and nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use storebox_proto::ids::TxKey;
use storebox_proto::sync::ladder::Kind;
use storebox_proto::ticket::Grade;
use tokio_util::sync::CancellationToken;

use super::relay::{eventually, node, open, serve, start, ways};
use super::samples::{key, main_options, main_sink, sale, signer};
use crate::http::mirror::{Shelf, routes};
use crate::http::settle;
use crate::terminal::access::Access;
use crate::uplink::{Copies, Ledger, Mirror, Outbox, Routes, Shipper, ShipperOptions, Signers};

/// No sale waits for it longer; far longer than a copy takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);
/// Far shorter than a request to a mirror that is silent.
const SHORT: Duration = Duration::from_millis(50);

/// A neighbour that keeps copies of box `far`, and is silent while this says so, as behind a pulled cable.
struct Neighbour {
    copies: Copies,
    routes: Routes,
    silent: Arc<AtomicBool>,
    _home: tempfile::TempDir,
}

async fn neighbour() -> Neighbour {
    let home = tempfile::tempdir().unwrap();
    let copies = Copies::open(&home.path().join("copies")).unwrap().copies;
    let shelf = Shelf::new(copies.clone(), home.path().to_owned());
    let silent = Arc::new(AtomicBool::new(false));
    let hears = silent.clone();
    let gate = from_fn(move |request: Request, next: Next| {
        let is_silent = hears.load(Ordering::SeqCst);
        async move { if is_silent { std::future::pending().await } else { next.run(request).await } }
    });
    let address = serve(routes(shelf).layer(gate), "far").await;
    let routes = ways(&[("near", Kind::Peer, address)]);
    Neighbour { copies, routes, silent, _home: home }
}

impl Neighbour {
    /// The outbox, mirrored here, once it is.
    async fn mirror(&self, outbox: &Outbox, wait: Duration) -> (Outbox, Mirror, CancellationToken) {
        let (peer, stop) = ("near".parse().unwrap(), CancellationToken::new());
        let terminals = Arc::new(|| b"[]".to_vec());
        let made = Mirror::new(outbox.clone(), self.routes.clone(), peer, Some(wait), terminals);
        let (mirror, task) = made.unwrap();
        start(task.run(stop.clone()));
        eventually(|| async { mirror.state().up }).await;
        (outbox.clone().mirrored_by(mirror.clone()), mirror, stop)
    }

    fn is_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }

    async fn keys(&self) -> Vec<TxKey> {
        self.copies.keys(node("far"), None).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrored_is_said_of_what_the_neighbour_has_and_held_when_it_does_not_answer_in_time() {
    let (neighbour, home) = (neighbour().await, tempfile::tempdir().unwrap());
    let plain = open(home.path(), "far").outbox;
    let (outbox, _, stop) = neighbour.mirror(&plain, LONG).await;
    for number in 1..=3 {
        let receipt = outbox.accept(sale(number, 1, number, 100)).await.unwrap();
        assert_eq!(receipt.grade, Grade::Mirrored);
        assert!(neighbour.keys().await.contains(&key(number)), "it has it before the till hears");
    }
    stop.cancel();
    let (outbox, mirror, stop) = neighbour.mirror(&plain, SHORT).await;
    neighbour.is_silent(true);
    let receipt = outbox.accept(sale(4, 1, 4, 100)).await.unwrap();
    assert_eq!(receipt.grade, Grade::Held);
    assert!(mirror.state().up, "the till did not wait until the mirror was given up");
    eventually(|| async { !mirror.state().up }).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_comes_back_has_exactly_what_is_open() {
    let (neighbour, home) = (neighbour().await, tempfile::tempdir().unwrap());
    let plain = open(home.path(), "far").outbox;
    let (outbox, mirror, stop) = neighbour.mirror(&plain, LONG).await;
    for number in 1..=2 {
        outbox.accept(sale(number, 1, number, 100)).await.unwrap();
    }
    neighbour.is_silent(true);
    eventually(|| async { !mirror.state().up }).await;

    let ledger = Ledger::open(main_options(home.path())).unwrap().ledger;
    let access = Access::open(home.path()).unwrap();
    let signers = Signers::open(home.path()).unwrap();
    let main = serve(settle::routes(settle::Settling { ledger, access, signers }), "far").await;
    let options = ShipperOptions {
        sink: main_sink(),
        authoritative: true,
        routes: ways(&[("main", Kind::Primary, main)]),
        node: node("far"),
        trusted: vec![signer(2).verifying_key()],
        line_back: Arc::new(|| {}),
    };
    // The line to head office is there for two of them only.
    let shipper = Shipper::new(plain.clone(), options).unwrap();
    tokio::select! {
        () = shipper.run(CancellationToken::new()) => panic!("it was not told to stop"),
        () = async {
            plain.settled(key(1)).await.unwrap();
            plain.settled(key(2)).await.unwrap();
        } => {}
    }
    for number in 3..=4 {
        let receipt = outbox.accept(sale(number, 1, number, 100)).await.unwrap();
        assert_eq!(receipt.grade, Grade::Held, "a mirror that is lost is not waited for");
    }
    assert_eq!(neighbour.keys().await, [key(1), key(2)], "what it had when it was lost");
    neighbour.is_silent(false);
    eventually(|| async { neighbour.keys().await == [key(3), key(4)] }).await;
    eventually(|| async { mirror.state().up }).await;
    let receipt = outbox.accept(sale(5, 1, 5, 100)).await.unwrap();
    assert_eq!(receipt.grade, Grade::Mirrored);
    assert_eq!(neighbour.keys().await, [key(3), key(4), key(5)]);
    stop.cancel();
}
