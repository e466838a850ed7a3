//! A till in a process of its own on the LAN: sells all the time, at the box that answers, and keeps what no box takes.

use std::collections::VecDeque;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) const ORDERS: &str = "STOREBOX_LANDSCAPES_TILL";

/// A ticket every so often.
const PACE: Duration = Duration::from_millis(100);
/// A box has so long for its answer; a till asks the next one after that.
const ANSWER_MAX: Duration = Duration::from_millis(800);

/// After no box answered, none is asked for so long: customers do not wait for what is known.
const ALONE_FOR: Duration = Duration::from_secs(2);

/// What the till is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Where boxes are, and the till's token there.
    pub(crate) boxes: Vec<(String, String)>,
}

/// What it tells at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Keys of all tickets.
    pub(crate) sold: Vec<String>,
    /// The longest that a customer waited.
    pub(crate) longest_ms: u128,
    /// Tickets that no box took at once.
    pub(crate) kept: usize,
    /// Prices that were not there.
    pub(crate) unknown: usize,
}

#[expect(clippy::disallowed_methods, reason = "the clock of a till")]
fn now() -> Instant {
    Instant::now()
}

pub(crate) fn play(orders: &str) {
    let orders: Orders = serde_json::from_str(orders).expect("written by the test");
    let closing = Arc::new(AtomicBool::new(false));
    let told = closing.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().lock().lines().next();
        told.store(true, Ordering::Relaxed);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = runtime.expect("a runtime").block_on(Till::new(orders).work(&closing));
    let told = serde_json::to_string(&told).expect("plain data");
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{told}").and_then(|()| out.flush()).expect("somebody listens");
}

struct Till {
    boxes: Vec<(String, String)>,
    client: reqwest::Client,
    /// The box that answered last.
    at: usize,
    journal: VecDeque<Value>,
    /// Until then no box is asked: none answered just now.
    alone_until: Option<Instant>,
    told: Told,
}

impl Till {
    fn new(orders: Orders) -> Self {
        let client = reqwest::Client::builder().timeout(ANSWER_MAX).build().expect("a client");
        let told = Told { sold: Vec::new(), longest_ms: 0, kept: 0, unknown: 0 };
        Self {
            boxes: orders.boxes,
            client,
            at: 0,
            journal: VecDeque::new(),
            alone_until: None,
            told,
        }
    }

    async fn work(mut self, closing: &AtomicBool) -> Told {
        let mut beat = tokio::time::interval(PACE);
        while !closing.load(Ordering::Relaxed) {
            beat.tick().await;
            let begun = now();
            self.sell().await;
            self.told.longest_ms = self.told.longest_ms.max(begun.elapsed().as_millis());
        }
        while !self.journal.is_empty() {
            beat.tick().await;
            self.empty_journal().await;
        }
        self.told
    }

    /// A price is looked up and a ticket handed over; a customer waits for both.
    async fn sell(&mut self) {
        let number = self.told.sold.len() as u64 + 1;
        let ticket = ticket(number);
        self.told.sold.push(ticket["key"].as_str().expect("made above").to_owned());
        self.empty_journal().await;
        if self.journal.is_empty() && self.hand_over(&ticket).await {
            return;
        }
        self.told.kept += 1;
        self.journal.push_back(ticket);
    }

    async fn empty_journal(&mut self) {
        while let Some(ticket) = self.journal.front().cloned() {
            if !self.hand_over(&ticket).await {
                return;
            }
            self.journal.pop_front();
        }
    }

    /// At the box that answered last, else at the other.
    async fn hand_over(&mut self, ticket: &Value) -> bool {
        if self.alone_until.is_some_and(|until| now() < until) {
            return false;
        }
        for _ in 0..self.boxes.len() {
            let (url, token) = &self.boxes[self.at];
            let price = format!("{url}/v1/models/ProductPrice/records/PL1-000007");
            let look = self.client.get(price).bearer_auth(token).send();
            let known = look.await.is_ok_and(|answer| answer.status().is_success());
            let sale = self.client.post(format!("{url}/v1/transactions")).bearer_auth(token);
            if known && sale.json(ticket).send().await.is_ok_and(|a| a.status().is_success()) {
                return true;
            }
            self.told.unknown += usize::from(!known);
            self.at = (self.at + 1) % self.boxes.len();
        }
        self.alone_until = Some(now() + ALONE_FOR);
        false
    }
}

fn ticket(number: u64) -> Value {
    json!({
        "key": format!("0192d3a4-5b6c-7000-8000-{number:012x}"), "kind": "Order",
        "terminal": "till-1", "epoch": 1, "sequence": number, "lane": format!("ticket:{number}"),
        "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
        "payload": {"id": format!("order-{number}"), "gross": "12.30"}
    })
}
