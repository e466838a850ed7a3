//! A second node for what a box holds, and a box that begins with nothing under the name of one that burned.

use std::sync::Arc;
use std::time::Duration;

use storebox_proto::ids::SourceId;
use storebox_proto::sync::ladder::Kind;
use storebox_proto::ticket::Grade;
use tokio_util::sync::CancellationToken;

use super::relay::{eventually, node, open, serve, ship, start, ways};
use super::samples::{key, main_options, sale};
use crate::http::mirror::{Shelf, routes};
use crate::http::settle;
use crate::terminal::access::Access;
use crate::uplink::{Copies, Ledger, Mirror, Outbox, Routes, Signers};

/// A neighbour that keeps copies of box `far`.
struct Neighbour {
    copies: Copies,
    routes: Routes,
    home: tempfile::TempDir,
}

async fn neighbour() -> Neighbour {
    let home = tempfile::tempdir().unwrap();
    let copies = Copies::open(&home.path().join("copies")).unwrap().copies;
    let shelf = Shelf { copies: copies.clone(), folder: home.path().to_owned() };
    let address = serve(routes(shelf), "far").await;
    Neighbour { copies, routes: ways(&[("near", Kind::Peer, address)]), home }
}

impl Neighbour {
    /// The outbox, copied here for as long as it is not stopped.
    fn mirror(&self, outbox: &Outbox, terminals: &str, stop: &CancellationToken) -> Outbox {
        let peer: SourceId = "near".parse().unwrap();
        let terminals = terminals.as_bytes().to_vec();
        let (mirror, task) = Mirror::new(
            outbox.clone(),
            self.routes.clone(),
            peer,
            Some(Duration::from_secs(2)),
            Arc::new(move || terminals.clone()),
        )
        .unwrap();
        start(task.run(stop.clone()));
        outbox.clone().mirrored_by(mirror)
    }

    async fn count(&self) -> u64 {
        self.copies.count().await.unwrap()
    }

    fn terminals(&self) -> String {
        std::fs::read_to_string(self.home.path().join("far.terminals")).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_begins_with_nothing_takes_back_what_its_mirror_has_and_forgets_none_of_it() {
    let neighbour = neighbour().await;
    let home = tempfile::tempdir().unwrap();
    let (burning, stop) = (open(&home.path().join("old"), "far").outbox, CancellationToken::new());
    let old = neighbour.mirror(&burning, "[{\"till\":1}]", &stop);
    eventually(|| async { neighbour.terminals().contains("till") }).await;
    // The later ones have the lower keys, as after a clock that was put back; one ticket is one lane.
    for (number, sequence) in [(30, 1), (20, 2), (10, 3)] {
        let mut envelope = sale(number, 1, sequence, 100);
        envelope.lane = "ticket:1".parse().unwrap();
        eventually(|| async {
            old.accept(envelope.clone()).await.unwrap().grade == Grade::Mirrored
                || neighbour.count().await >= sequence
        })
        .await;
    }
    assert_eq!(neighbour.count().await, 3);
    stop.cancel();

    let ledger = Ledger::open(main_options(home.path())).unwrap().ledger;
    let access = Access::open(home.path()).unwrap();
    let signers = Signers::open(home.path()).unwrap();
    let settling = settle::Settling { ledger: ledger.clone(), access, signers };
    let main = serve(settle::routes(settling), "far").await;
    let (fresh, stop) = (open(&home.path().join("new"), "far").outbox, CancellationToken::new());
    ship(&fresh, "far", ways(&[("main", Kind::Primary, main)]), &stop);
    let fresh = neighbour.mirror(&fresh, "[]", &stop);
    fresh.settled(key(10)).await.unwrap();
    let mut settled = ledger.list(None, 10).await.unwrap();
    settled.sort_by_key(|entry| entry.position);
    let sequences: Vec<u64> = settled.iter().map(|entry| entry.envelope.sequence).collect();
    assert_eq!(sequences, [1, 2, 3], "in their order, whatever their keys are");
    assert!(settled.iter().all(|entry| entry.node == node("far")));
    eventually(|| async { neighbour.count().await == 0 }).await;
    assert!(neighbour.terminals().contains("till"), "they are for whoever adopts them");
    stop.cancel();
}
