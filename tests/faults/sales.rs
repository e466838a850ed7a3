//! Tills that sell, at the box that answers, and never give up on a sale; and what they were told is safe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use storebox::demo::ledger;
use storebox::demo::process::Process;
use storebox_tests::wait;
use tokio::task::JoinSet;

/// A box has so long for its answer; a till asks the other one after that.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Before a sale that no box took is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(150);
/// What was accepted is settled within this, if nothing is wrong.
const ON_ITS_WAY_MAX: Duration = Duration::from_secs(60);
/// Refusals that are told one by one.
const TOLD_MAX: usize = 5;

#[expect(clippy::disallowed_methods, reason = "how long something took is what is measured")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// What all tills have sold.
#[derive(Default)]
pub(crate) struct Sales {
    /// Keys that a box said are safe, and what was paid.
    accepted: Mutex<BTreeMap<String, String>>,
    attempted: Mutex<BTreeSet<String>>,
    refused: Mutex<Vec<String>>,
    longest: Mutex<Duration>,
    closing: AtomicBool,
    tries: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A box as a till reaches it: where, and with what token.
pub(crate) type Counter = (String, String);

/// All tills of the shop.
pub(crate) struct Tills {
    pub(crate) sales: Arc<Sales>,
    working: JoinSet<()>,
}

impl Tills {
    /// Each till has its own way to each box; `pace` is a till's.
    pub(crate) fn open(tills: Vec<Vec<Counter>>, pace: Duration) -> anyhow::Result<Self> {
        let sales = Arc::new(Sales::default());
        let client = reqwest::Client::builder().timeout(ANSWER_MAX).build()?;
        let mut working = JoinSet::new();
        for (at, boxes) in tills.into_iter().enumerate() {
            let (sales, client) = (Arc::clone(&sales), client.clone());
            working.spawn(Till { number: at + 1, boxes, client, sales, at: 0 }.work(pace));
        }
        Ok(Self { sales, working })
    }

    /// Lets the tills finish the sale they began; says how many still stand with theirs when patience ends.
    pub(crate) async fn close(&mut self, patience: Duration) -> usize {
        self.sales.closing.store(true, Ordering::Relaxed);
        let ended = async { while self.working.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(patience, ended).await;
        let standing = self.working.len();
        self.working.abort_all();
        standing
    }
}

struct Till {
    number: usize,
    boxes: Vec<Counter>,
    client: reqwest::Client,
    sales: Arc<Sales>,
    /// The box that answered last.
    at: usize,
}

impl Till {
    async fn work(mut self, pace: Duration) {
        let mut beat = tokio::time::interval(pace);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sequence = 0;
        while !self.sales.closing.load(Ordering::Relaxed) {
            beat.tick().await;
            sequence += 1;
            self.sell(sequence).await;
        }
    }

    async fn sell(&mut self, sequence: usize) {
        let sale = sale(self.number, sequence);
        let key = sale["key"].as_str().unwrap_or_default().to_owned();
        lock(&self.sales.attempted).insert(key.clone());
        let begun = now();
        while !self.hand_over(&sale).await {
            self.sales.tries.fetch_add(1, Ordering::Relaxed);
            wait::moment(AGAIN_AFTER).await;
        }
        let mut longest = lock(&self.sales.longest);
        *longest = begun.elapsed().max(*longest);
        let gross = sale["payload"]["gross"].as_str().unwrap_or_default().to_owned();
        lock(&self.sales.accepted).insert(key, gross);
    }

    /// At the box that answered last, else at the other.
    async fn hand_over(&mut self, sale: &Value) -> bool {
        for _ in 0..self.boxes.len() {
            let (url, token) = &self.boxes[self.at];
            let request = self.client.post(format!("{url}/v1/transactions")).bearer_auth(token);
            match request.json(sale).send().await {
                Ok(answer) if answer.status() == 200 => return true,
                Ok(answer) if answer.status().is_client_error() => {
                    let said =
                        format!("{} {}", answer.status(), answer.text().await.unwrap_or_default());
                    lock(&self.sales.refused).push(said);
                }
                Ok(_) | Err(_) => {}
            }
            self.at = (self.at + 1) % self.boxes.len();
        }
        false
    }
}

/// A sale; its content follows from who sold it and when.
fn sale(till: usize, sequence: usize) -> Value {
    let cents = till * 7919 + sequence * 31;
    json!({
        "key": format!("0192d3a4-5b6c-7000-8{till:03x}-{sequence:012x}"), "kind": "Order",
        "terminal": format!("till-{till}"), "epoch": 1, "sequence": sequence,
        "lane": format!("ticket:{till}-{sequence}"),
        "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
        "payload": {"id": format!("order-{till}-{sequence}"), "gross": format!("{}.{:02}", cents / 100, cents % 100),
                    "lines": [{"productId": format!("P{:05}", sequence % 500), "quantity": 1}]}
    })
}

/// What came of all sales.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) wrong: Vec<String>,
}

impl Sales {
    /// How many a box has said are safe.
    pub(crate) fn accepted(&self) -> usize {
        lock(&self.accepted).len()
    }

    /// The longest that a customer waited since the last question, and how often no box took a sale.
    pub(crate) fn stalls(&self) -> (Duration, usize) {
        (std::mem::take(&mut *lock(&self.longest)), self.tries.swap(0, Ordering::Relaxed))
    }

    /// Compares what was accepted until now with what head office holds.
    pub(crate) async fn compare(&self, main: &Process) -> anyhow::Result<Verdict> {
        let accepted = lock(&self.accepted).clone();
        // What was sold just now is on its way; what does not come is lost.
        let asked = now();
        let held = loop {
            let held = ledger::read(main).await?;
            let keys: BTreeSet<String> = held.iter().map(|one| one.key.to_string()).collect();
            let is_whole = accepted.keys().all(|key| keys.contains(key));
            if is_whole || asked.elapsed() > ON_ITS_WAY_MAX {
                break held;
            }
            wait::moment(AGAIN_AFTER).await;
        };
        let attempted = lock(&self.attempted).clone();
        let mut verdict = Verdict::default();
        let (mut keys, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for one in &held {
            let key = one.key.to_string();
            let is_new = numbers.insert((one.terminal.clone(), one.epoch, one.sequence));
            verdict.doubled += usize::from(!keys.insert(key.clone()) || !is_new);
            let paid = one.payload.get("gross").and_then(Value::as_str);
            if !attempted.contains(&key) {
                verdict.wrong.push(format!("{key} was never sold"));
            } else if accepted.get(&key).is_some_and(|gross| paid != Some(gross.as_str())) {
                verdict.wrong.push(format!("{key} has another content"));
            }
        }
        verdict.lost = accepted.keys().filter(|key| !keys.contains(*key)).count();
        let refused = std::mem::take(&mut *lock(&self.refused));
        verdict
            .wrong
            .extend(refused.into_iter().take(TOLD_MAX).map(|said| format!("refused: {said}")));
        verdict.wrong.truncate(TOLD_MAX);
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn closing_does_not_wait_for_a_box_that_never_answers() -> anyhow::Result<()> {
        let mute = TcpListener::bind("127.0.0.1:0").await?;
        let counter = (format!("http://{}", mute.local_addr()?), "token".to_owned());
        let mut tills = Tills::open(vec![vec![counter]], AGAIN_AFTER)?;
        let has_begun = || async { Ok(!lock(&tills.sales.attempted).is_empty()) };
        wait::until("a sale has begun", ON_ITS_WAY_MAX, has_begun).await?;
        assert_eq!(tills.close(AGAIN_AFTER).await, 1, "a till stands with its sale");
        assert_eq!(tills.sales.accepted(), 0);
        Ok(())
    }
}
