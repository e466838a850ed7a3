//! A second node for what a box holds, and a box that begins with nothing under the name of one that burned.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use storebox_proto::ids::SourceId;
use storebox_proto::sync::ladder::Kind;
use storebox_proto::sync::outbox::Work;
use storebox_proto::ticket::{Envelope, Grade};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::relay::{eventually, node, open, serve, ship, start, ways};
use super::samples::{main_options, main_sink, sale};
use crate::http::mirror::{Shelf, routes};
use crate::http::settle;
use crate::terminal::access::Access;
use crate::uplink::command::News;
use crate::uplink::takeover::QUIET_MAX;
use crate::uplink::{Copies, Ledger, Mirror, Outbox, Routes, Signers};

/// A neighbour that keeps copies of box `far`.
struct Neighbour {
    copies: Copies,
    routes: Routes,
    address: SocketAddr,
    /// While this says so, it refuses everything.
    is_away: Arc<AtomicBool>,
    home: tempfile::TempDir,
}

/// One that breaks off after the first page of copies, as long as this says so.
async fn neighbour(breaks_off: &Arc<AtomicBool>) -> Neighbour {
    neighbour_that(breaks_off, false).await
}

/// The same; it may also be gone for good when it has broken off.
async fn neighbour_that(breaks_off: &Arc<AtomicBool>, stays_away: bool) -> Neighbour {
    let home = tempfile::tempdir().unwrap();
    let copies = Copies::open(&home.path().join("copies")).unwrap().copies;
    let shelf = Shelf::new(copies.clone(), home.path().to_owned());
    let (breaks_off, is_away) = (breaks_off.clone(), Arc::new(AtomicBool::new(false)));
    let away = is_away.clone();
    let gate = from_fn(move |request: Request, next: Next| {
        let second = request.uri().query().is_some_and(|query| query.starts_with("after="));
        let is_cut = second && breaks_off.swap(false, Ordering::SeqCst);
        away.fetch_or(is_cut && stays_away, Ordering::SeqCst);
        let is_cut = is_cut || away.load(Ordering::SeqCst);
        async move {
            if is_cut { StatusCode::BAD_GATEWAY.into_response() } else { next.run(request).await }
        }
    });
    let address = serve(routes(shelf).layer(gate), "far").await;
    Neighbour { copies, routes: ways(&[("near", Kind::Peer, address)]), address, is_away, home }
}

/// One of the transactions of a single ticket; later ones have the lower keys, as after a clock that was put back.
fn part(sequence: u64) -> Envelope {
    let mut envelope = sale(1000 - sequence, 1, sequence, 100);
    envelope.lane = "ticket:1".parse().unwrap();
    envelope
}

impl Neighbour {
    /// The outbox, copied here for as long as it is not stopped.
    fn mirror(&self, outbox: &Outbox, terminals: &str, stop: &CancellationToken) -> Outbox {
        self.mirror_quiet_for(outbox, terminals, QUIET_MAX, stop)
    }

    fn mirror_quiet_for(
        &self,
        outbox: &Outbox,
        terminals: &str,
        quiet_max: Duration,
        stop: &CancellationToken,
    ) -> Outbox {
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
        start(task.quiet_for(quiet_max).run(stop.clone()));
        outbox.clone().mirrored_by(mirror)
    }

    async fn count(&self) -> u64 {
        self.copies.count().await.unwrap()
    }

    fn terminals(&self) -> String {
        std::fs::read_to_string(self.home.path().join("far.terminals")).unwrap_or_default()
    }
}

/// Sold on a box that burns, with all its copies at the neighbour; a new box under its name must settle them in order.
async fn burns_and_is_replaced(neighbour: &Neighbour, count: u64) {
    let home = tempfile::tempdir().unwrap();
    let (burning, stop) = (open(&home.path().join("old"), "far").outbox, CancellationToken::new());
    for sequence in 1..=count {
        burning.accept(part(sequence)).await.unwrap();
    }
    let _old = neighbour.mirror(&burning, "[{\"till\":1}]", &stop);
    eventually(|| async { neighbour.terminals().contains("till") }).await;
    eventually(|| async { neighbour.count().await == count }).await;
    stop.cancel();

    let ledger = Ledger::open(main_options(home.path())).unwrap().ledger;
    let access = Access::open(home.path()).unwrap();
    let signers = Signers::open(home.path()).unwrap();
    let settling = settle::Settling { ledger: ledger.clone(), access, signers };
    let main = serve(settle::routes(settling), "far").await;
    let (fresh, stop) = (open(&home.path().join("new"), "far").outbox, CancellationToken::new());
    ship(&fresh, "far", ways(&[("main", Kind::Primary, main)]), &stop);
    let fresh = neighbour.mirror(&fresh, "[]", &stop);
    fresh.settled(part(count).key).await.unwrap();
    let mut settled = ledger.list(None, 1000).await.unwrap().entries;
    settled.sort_by_key(|entry| entry.position);
    let sequences: Vec<u64> = settled.iter().map(|entry| entry.envelope.sequence).collect();
    let all: Vec<u64> = (1..=count).collect();
    assert_eq!(sequences, all, "in their order, whatever their keys are");
    assert!(settled.iter().all(|entry| entry.node == node("far")));
    assert_eq!(fresh.taken_over(), count, "told to a person who asks later");
    eventually(|| async { neighbour.count().await == 0 }).await;
    assert!(neighbour.terminals().contains("till"), "they are for whoever adopts them");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_begins_with_nothing_takes_back_what_its_mirror_has_and_forgets_none_of_it() {
    burns_and_is_replaced(&neighbour(&Arc::default()).await, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_breaks_off_lets_no_part_of_what_it_gives_go_first() {
    let breaks_off = Arc::new(AtomicBool::new(true));
    burns_and_is_replaced(&neighbour(&breaks_off).await, 120).await;
    assert!(!breaks_off.load(Ordering::SeqCst), "it did break off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_dies_while_it_gives_back_keeps_nobody_quiet_for_ever() {
    let dies = Arc::new(AtomicBool::new(true));
    let neighbour = neighbour_that(&dies, true).await;
    let home = tempfile::tempdir().unwrap();
    let (burning, stop) = (open(&home.path().join("old"), "far").outbox, CancellationToken::new());
    for sequence in 1..=120 {
        burning.accept(part(sequence)).await.unwrap();
    }
    let _old = neighbour.mirror(&burning, "[]", &stop);
    eventually(|| async { neighbour.count().await == 120 }).await;
    stop.cancel();

    let (fresh, stop) = (open(&home.path().join("new"), "far").outbox, CancellationToken::new());
    let quiet_max = Duration::from_secs(1);
    let _fresh = neighbour.mirror_quiet_for(&fresh, "[]", quiet_max, &stop);
    eventually(|| async { !dies.load(Ordering::SeqCst) }).await;
    fresh.accept(sale(5000, 2, 1, 100)).await.unwrap();
    let (fresh, sink) = (&fresh, main_sink());
    let is_offered = |work: Work| matches!(work, Work::Send(_));
    eventually(|| async { is_offered(fresh.poll(&sink).await.unwrap().work) }).await;
    stop.cancel();
}

#[tokio::test]
async fn a_list_of_terminals_that_was_overheard_brings_no_terminal_back() {
    let neighbour = neighbour(&Arc::default()).await;
    let base = format!("http://{}/sync/v1/mirror/far/terminals", neighbour.address);
    let client = reqwest::Client::new();
    let asks = async || {
        let asked = client.get(format!("{base}/asks")).send().await.unwrap();
        asked.json::<String>().await.unwrap()
    };
    let put = async |asked: &str, list: &'static str| {
        let request = client.put(format!("{base}?asked={asked}")).body(list);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let code = answer.json::<serde_json::Value>().await.unwrap()["code"].clone();
        (status, code.as_str().unwrap_or_default().to_owned())
    };
    let active = r#"[{"name":"till-1","epoch":1}]"#;
    let revoked = r#"[{"name":"till-1","epoch":1,"revoked":"2026-11-22T10:00:00Z"}]"#;
    let overheard = asks().await;
    assert_eq!(put(&overheard, active).await.0, 200);
    assert_eq!(put(&asks().await, revoked).await.0, 200);
    for asked in [overheard.as_str(), ""] {
        assert_eq!(put(asked, active).await, (409, "list_outdated".to_owned()));
    }
    assert!(neighbour.terminals().contains("revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_was_away_is_told_of_the_terminals_again() {
    let home = tempfile::tempdir().unwrap();
    let (outbox, stop) = (open(home.path(), "far").outbox, CancellationToken::new());
    let neighbour = neighbour(&Arc::default()).await;
    let mirrored = neighbour.mirror(&outbox, "[{\"till\":1}]", &stop);
    eventually(|| async { neighbour.terminals().contains("till") }).await;
    let mut sold = 0;
    let mut grade = async || {
        sold += 1;
        mirrored.accept(part(sold)).await.unwrap().grade
    };
    while grade().await != Grade::Mirrored {}
    neighbour.is_away.store(true, Ordering::SeqCst);
    assert_eq!(grade().await, Grade::Held);
    // Its disk was replaced meanwhile.
    std::fs::remove_file(neighbour.home.path().join("far.terminals")).unwrap();
    neighbour.is_away.store(false, Ordering::SeqCst);
    eventually(|| async { neighbour.terminals().contains("till") }).await;
    stop.cancel();
}

/// Polls a future once.
pub(super) async fn begin<F: Future>(mut future: std::pin::Pin<&mut F>) {
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// The outbox's thread, held between two groups: what is handed over meanwhile falls into one.
pub(super) struct Held {
    release: std::sync::mpsc::Sender<()>,
    look: JoinHandle<()>,
}

impl Held {
    #[expect(clippy::disallowed_methods, reason = "the test's own task, ended by its release")]
    pub(super) async fn hold(outbox: &Outbox) -> Held {
        let (release, held) = std::sync::mpsc::channel();
        let (held_now, is_held) = oneshot::channel();
        let outbox = outbox.clone();
        let look = tokio::spawn(async move {
            let wait = outbox.look(move |_| {
                held_now.send(()).unwrap();
                held.recv().unwrap();
            });
            wait.await.unwrap();
        });
        // Before that, the thread could take what comes next into the group that ends with this look.
        is_held.await.unwrap();
        Held { release, look }
    }

    pub(super) async fn release(self) {
        self.release.send(()).unwrap();
        self.look.await.unwrap();
    }
}

#[tokio::test]
async fn who_asked_before_a_takeover_is_not_offered_what_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let outbox = open(home.path(), "far").outbox;
    let sink = main_sink();
    let held = Held::hold(&outbox).await;
    let mut asked = pin!(outbox.poll(&sink));
    begin(asked.as_mut()).await;
    let hush = outbox.hush();
    let mut adopted = pin!(outbox.accept_as(part(2), None, true));
    begin(adopted.as_mut()).await;
    held.release().await;
    assert_eq!(asked.await.unwrap().work, Work::Nothing);
    adopted.await.unwrap();
    drop(hush);
    assert!(matches!(outbox.poll(&sink).await.unwrap().work, Work::Send(_)));
}

#[tokio::test]
async fn what_was_given_to_a_carrier_that_is_gone_is_asked_for_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let outbox = open(home.path(), "far").outbox;
    outbox.accept(part(1)).await.unwrap();
    let sink = main_sink();
    let held = Held::hold(&outbox).await;
    {
        let mut gone = pin!(outbox.poll(&sink));
        begin(gone.as_mut()).await;
    }
    let mut next = pin!(outbox.report(&sink, News::Restarted));
    begin(next.as_mut()).await;
    held.release().await;
    next.await.unwrap();
    let given = outbox.poll(&sink).await.unwrap();
    assert!(matches!(given.work, Work::Ask(_)), "{:?}", given.work);
}
