//! Transactions that go through a neighbour because the own line is cut.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::routing::get;
use storebox_proto::ids::{NodeId, SourceId};
use storebox_proto::problem::Code;
use storebox_proto::sync::ladder::{Kind, Rung};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use super::samples::{key, main_options, main_sink, sale, signer, store_options};
use crate::http::identity::Identity;
use crate::http::{relay, settle};
use crate::pass::Pass;
use crate::terminal::access::{Access, Kind as Client};
use crate::tiers::Tiers;
use crate::uplink::{
    Ledger, LedgerOptions, Outbox, OutboxOpened, OutboxOptions, Relay, Route, Routes, Rules,
    Shipper, ShipperOptions, Signers,
};

#[expect(clippy::disallowed_methods, reason = "the test's own tasks")]
pub(super) fn start(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

pub(super) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// Serves these routes to one box.
pub(super) async fn serve(routes: OpenApiRouter, caller: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, _) = routes.split_for_parts();
    let router = router
        .route("/healthz", get(|| async { "ok" }))
        .layer(Extension(Identity::Node(node(caller))));
    start(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn route(address: SocketAddr) -> Route {
    Route::near(format!("http://{address}"), Pass::Token("secret".to_owned()))
}

pub(super) fn open(home: &Path, name: &str) -> OutboxOpened {
    let options = store_options(&home.join(name));
    Outbox::open(OutboxOptions { node: node(name), ..options }).unwrap()
}

pub(super) fn ship(outbox: &Outbox, name: &str, routes: Routes, shutdown: &CancellationToken) {
    let options = ShipperOptions {
        sink: main_sink(),
        authoritative: true,
        routes,
        node: node(name),
        trusted: vec![signer(2).verifying_key()],
        line_back: Arc::new(|| {}),
    };
    start(Shipper::new(outbox.clone(), options).unwrap().run(shutdown.clone()));
}

pub(super) fn ways(ways: &[(&str, Kind, SocketAddr)]) -> Routes {
    let tiers = Tiers::new(0);
    let routes = Routes::new(tiers.clone());
    for (name, kind, address) in ways {
        let id: SourceId = name.parse().unwrap();
        routes.put(id.clone(), route(*address));
        tiers.put(Rung::new(id, *kind), &address.to_string());
    }
    routes
}

/// A head office, a box that reaches it, and one that reaches only that box.
struct Shop {
    ledger: Ledger,
    near: Outbox,
    far: Outbox,
    access: Access,
    signers: Signers,
    shutdown: CancellationToken,
    _home: tempfile::TempDir,
}

async fn shop(rules: Rules) -> Shop {
    let home = tempfile::tempdir().unwrap();
    let options = LedgerOptions { rules, ..main_options(home.path()) };
    let ledger = Ledger::open(options).unwrap().ledger;
    let access = Access::open(home.path()).unwrap();
    access.add(Client::Node, "far", [1; 32], crate::env::timestamp()).unwrap();
    let signers = Signers::open(home.path()).unwrap();
    let (books, shown) = (ledger.clone(), signers.clone());
    let settling = settle::Settling { ledger: books, access: access.clone(), signers: shown };
    let main = serve(settle::routes(settling), "near").await;
    let cut = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (near, far) = (open(home.path(), "near").outbox, open(home.path(), "far").outbox);
    let shutdown = CancellationToken::new();
    let direct = ways(&[("main", Kind::Primary, main)]);
    let neighbour = serve(relay::routes(Relay::new(near.clone(), direct.clone())), "far").await;
    ship(&near, "near", direct, &shutdown);
    let around = ways(&[("main", Kind::Primary, cut), ("near", Kind::Peer, neighbour)]);
    ship(&far, "far", around, &shutdown);
    Shop { ledger, near, far, access, signers, shutdown, _home: home }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(super) async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..4000 {
        if holds().await {
            return;
        }
        tick.tick().await;
    }
    panic!("it did not happen within its deadline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cut_off_box_sells_is_settled_in_its_name_through_its_neighbour() {
    let shop = shop(Rules::default()).await;
    for number in 1..=20 {
        shop.far.accept(sale(number, number, number, 100)).await.unwrap();
    }
    let receipt = shop.far.settled(key(20)).await.unwrap();
    assert!(receipt.is_signed_by(&signer(2).verifying_key()), "head office's own word");
    eventually(|| async { shop.far.figures().await.unwrap().waiting == 0 }).await;
    let settled = shop.ledger.list(None, 100).await.unwrap().entries;
    assert_eq!(settled.len(), 20);
    assert!(settled.iter().all(|entry| entry.node == node("far")), "in its own name");
    eventually(|| async { shop.near.figures().await.unwrap().waiting == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_head_office_refuses_goes_back_to_the_box_that_sold_it() {
    let shop = shop(Rules::new(|_| Err("no such article".to_owned()))).await;
    shop.far.accept(sale(1, 1, 1, 100)).await.unwrap();
    eventually(|| async { shop.far.figures().await.unwrap().quarantined == 1 }).await;
    let near = shop.near.figures().await.unwrap();
    assert_eq!((near.waiting, near.quarantined), (0, 0), "nobody there has to look at it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_was_struck_off_gets_nothing_in_through_a_neighbour() {
    let shop = shop(Rules::default()).await;
    shop.access.revoke(Client::Node, "far", crate::env::timestamp()).unwrap();
    shop.far.accept(sale(1, 1, 1, 100)).await.unwrap();
    eventually(|| async { shop.far.figures().await.unwrap().quarantined == 1 }).await;
    let held = shop.far.list(0, true, 10).await.unwrap();
    let problem = serde_json::to_value(&held[0]).unwrap().to_string();
    assert!(problem.contains(Code::Forbidden.as_str()), "{problem}");
    assert_eq!(shop.ledger.figures().await.unwrap().settled, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_its_box_has_not_signed_settles_nothing_until_the_box_shows_its_key() {
    let shop = shop(Rules::default()).await;
    shop.signers.learn(&node("far"), &signer(9).verifying_key()).unwrap();
    shop.far.accept(sale(1, 1, 1, 100)).await.unwrap();
    eventually(|| async { shop.near.figures().await.unwrap().guests == 1 }).await;
    let refused = async {
        let held = shop.near.list(0, false, 10).await.unwrap();
        serde_json::to_string(&held).unwrap()
    };
    assert!(!refused.await.contains("quarantined"), "nobody has to look at it");
    assert_eq!(shop.ledger.figures().await.unwrap().settled, 0);
    shop.signers.learn(&node("far"), &signer(1).verifying_key()).unwrap();
    shop.far.settled(key(1)).await.unwrap();
    assert_eq!(shop.ledger.list(None, 10).await.unwrap().entries[0].node, node("far"));
}
