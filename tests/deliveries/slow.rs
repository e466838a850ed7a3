//! A receiver that is slower than the tills: what waits for it lies in the ledger, and nowhere else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::ensure;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use storebox_tests::wait;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::office::{Office, PATIENCE};

/// As many as one request has at most.
const BATCH_MAX: usize = 256;
const SETTLED: u64 = 1500;

/// Answers nothing until it is told to.
#[derive(Clone)]
struct Slow {
    answers: watch::Receiver<bool>,
    /// Requests that wait for an answer now, and the most that did at once.
    waiting: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    largest: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<u64>>>,
}

/// A request that waits; gone with it, however it ends.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own receiver, which ends with it")]
async fn open(slow: Slow) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/sales", post(take)).layer(DefaultBodyLimit::disable());
    tokio::spawn(async move { axum::serve(listener, router.with_state(slow)).await });
    Ok(address)
}

async fn take(State(mut slow): State<Slow>, Json(body): Json<Value>) -> StatusCode {
    let now = slow.waiting.fetch_add(1, Ordering::SeqCst) + 1;
    let _waiting = Waiting(slow.waiting.clone());
    slow.most.fetch_max(now, Ordering::SeqCst);
    let entries = body["entries"].as_array().cloned().unwrap_or_default();
    slow.largest.fetch_max(entries.len(), Ordering::SeqCst);
    if slow.answers.wait_for(|answers| *answers).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let positions = entries.iter().filter_map(|entry| entry["position"].as_u64());
    slow.taken.lock().expect("nobody panics with it").extend(positions);
    StatusCode::NO_CONTENT
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_holds_up_no_settling_and_has_one_bounded_batch_before_it()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (answer, answers) = watch::channel(false);
    let slow = Slow {
        answers,
        waiting: Arc::default(),
        most: Arc::default(),
        largest: Arc::default(),
        taken: Arc::default(),
    };
    let address = open(slow.clone()).await?;
    let delivery =
        format!("[[deliver]]\nid = \"erp\"\nto = \"http\"\nurl = \"http://{address}/sales\"\n");
    let office = Office::open(folder.path(), &delivery).await?;
    office.settle(1..2).await?;
    let waits = || async { Ok(slow.waiting.load(Ordering::SeqCst) == 1) };
    wait::until("the receiver has a batch", PATIENCE, waits).await?;
    // All of this is settled while the receiver answers nothing at all.
    office.settle(2..SETTLED + 1).await?;
    let status = office.main.control("GET", "/v1/status", None).await?;
    ensure!(status["ledger"]["settled"] == SETTLED, "{}", status["ledger"]);
    ensure!(office.delivery().await?["behind"] == SETTLED, "{}", office.delivery().await?);
    answer.send_replace(true);
    office.await_level().await?;
    let taken = slow.taken.lock().expect("nobody panics with it").clone();
    let all: BTreeSet<u64> = taken.iter().copied().collect();
    ensure!(all.len() as u64 == SETTLED, "{} of {SETTLED} came", all.len());
    ensure!(taken.is_sorted(), "in the order of settling");
    let (most, largest) = (slow.most.load(Ordering::SeqCst), slow.largest.load(Ordering::SeqCst));
    ensure!(most == 1, "{most} requests at once");
    ensure!((2..=BATCH_MAX).contains(&largest), "{largest} in one request");
    Ok(())
}
