//! A simulated till: looks up what it sells, hands every transaction over, and never gives up on one.
//!
//! It keeps what it sold and what the box answered, to be compared with head office's ledger at the end.

mod weighing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use serde_json::{Map, Value, json};
use storebox_proto::ids::{Hash32, LaneId, TerminalId, TxKey};
use storebox_proto::ticket::envelope::CASH_UP;
use storebox_proto::ticket::{Envelope, Receipt};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::dataset::Ticket;
use crate::client;
use crate::env;

/// Tickets of one cash session.
const SESSION_TICKETS: usize = 40;
/// Every so many tickets, the customer is new and travels before the ticket.
const NEW_CUSTOMER_EVERY: usize = 16;
/// Every so many tickets, the payment is a transaction of its own behind the ticket.
const OWN_PAYMENT_EVERY: usize = 5;
/// Before a transaction that was not answered is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How often a request is sent before the till reports failure.
const ATTEMPTS_MAX: usize = 100;
/// How long the box may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What all tills share.
pub struct Shop {
    pub client: reqwest::Client,
    pub base: String,
    pub box_key: VerifyingKey,
    pub barcodes: BTreeMap<String, String>,
    pub sold: AtomicU64,
    pub held: AtomicU64,
    /// The shop closes: no till begins another ticket.
    pub closing: AtomicBool,
}

impl Shop {
    /// A shop that has not sold yet; its tills reach their box at `base`.
    pub fn open(base: String, box_key: VerifyingKey, barcodes: BTreeMap<String, String>) -> Self {
        let client = client::builder().timeout(ANSWER_MAX).build();
        Self {
            client: client.expect("a client without files or proxies can be built"),
            base,
            box_key,
            barcodes,
            sold: AtomicU64::new(0),
            held: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }
    }
}

/// Why a till stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The box gave no answer, or not the one it owes.
    #[error("{what}: {answer}")]
    Answer {
        /// What the till wanted.
        what: String,
        /// What it got.
        answer: String,
    },
    /// A request failed again and again.
    #[error("{what} got no answer after {ATTEMPTS_MAX} attempts")]
    Silent {
        /// What the till wanted.
        what: String,
        /// The last failure.
        #[source]
        source: reqwest::Error,
    },
}

/// One transaction that the box has confirmed.
#[derive(Debug, Clone)]
pub struct Sold {
    pub envelope: Envelope,
    pub digest: Hash32,
}

/// What a till did in its day.
#[derive(Debug, Default)]
pub struct Day {
    pub sold: Vec<Sold>,
    /// What was sold by weight; each has a receipt on paper.
    pub weighed: Vec<TxKey>,
    pub lookups: u64,
    /// Answers other than the catalogue's.
    pub wrong: u64,
    pub lookup_us: Vec<u64>,
    pub accept_us: Vec<u64>,
}

/// A till and where it is in its day.
pub struct Till {
    name: TerminalId,
    token: String,
    shop: Arc<Shop>,
    sequence: u64,
    session: String,
    day: Day,
}

impl Till {
    /// A till that has not sold yet.
    pub fn new(name: TerminalId, token: String, shop: Arc<Shop>) -> Self {
        let session = format!("{name}-1");
        Self { name, token, shop, sequence: 0, session, day: Day::default() }
    }

    /// Sells these tickets, one every `pace`, and closes the session at the end.
    pub async fn work(mut self, tickets: Vec<Ticket>, pace: Duration) -> Result<Day, Error> {
        let mut beat = interval(pace);
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for (number, ticket) in tickets.iter().enumerate() {
            beat.tick().await;
            if self.shop.closing.load(Ordering::Relaxed) {
                break;
            }
            self.look_up(ticket).await?;
            self.sell(number + 1, ticket).await?;
            self.shop.sold.fetch_add(1, Ordering::Relaxed);
            if (number + 1) % SESSION_TICKETS == 0 {
                self.cash_up().await?;
                self.session = format!("{}-{}", self.name, (number + 1) / SESSION_TICKETS + 1);
            }
        }
        self.cash_up().await?;
        Ok(self.day)
    }

    async fn look_up(&mut self, ticket: &Ticket) -> Result<(), Error> {
        for line in &ticket.lines {
            let product = line.get("productId").and_then(Value::as_str).unwrap_or_default();
            let barcode = self.shop.barcodes.get(product).map_or("", String::as_str);
            let path = format!("/v1/models/Product/records?field=barcode&value={barcode}&limit=1");
            let found = self.get(&path).await?;
            let id = found.pointer("/records/0/id").and_then(Value::as_str);
            self.day.wrong += u64::from(id != Some(product));
            let price = self.get(&format!("/v1/models/ProductPrice/records/PL1-{product}")).await?;
            let of = price.get("productId").and_then(Value::as_str);
            self.day.wrong += u64::from(of != Some(product));
        }
        Ok(())
    }

    async fn get(&mut self, path: &str) -> Result<Value, Error> {
        let asked = env::instant();
        let url = format!("{}{path}", self.shop.base);
        let request = self.shop.client.get(url).bearer_auth(&self.token);
        let body = persist(request, path).await?;
        self.day.lookup_us.push(micros(asked.elapsed()));
        self.day.lookups += 1;
        let odd = |_| Error::Answer { what: path.to_owned(), answer: text_of(&body) };
        serde_json::from_slice(&body).map_err(odd)
    }

    async fn sell(&mut self, number: usize, ticket: &Ticket) -> Result<(), Error> {
        let mut waits_for = Vec::new();
        if number.is_multiple_of(NEW_CUSTOMER_EVERY) {
            let name = format!("Customer of ticket {}", ticket.document_no);
            let customer = fields([("name", json!(name))]);
            let lane = format!("customer:{}-{number}", self.name);
            waits_for
                .push(self.hand_over("ChangedBusinessPartners", &lane, vec![], customer).await?);
        }
        let lane = format!("ticket:{}-{}-{number}", ticket.document_no, self.name);
        let pays_apart = number.is_multiple_of(OWN_PAYMENT_EVERY);
        let mut content = ticket.content();
        if !pays_apart {
            let payment = json!([{"method": "cash", "amount": ticket.gross}]);
            content.insert("payments".to_owned(), payment);
        }
        let order = self.hand_over("Order", &lane, waits_for, content).await?;
        if pays_apart {
            let amount = json!(ticket.gross);
            let payment =
                fields([("order", json!(order)), ("method", json!("card")), ("amount", amount)]);
            self.hand_over("Payment", &lane, vec![order], payment).await?;
        }
        Ok(())
    }

    async fn cash_up(&mut self) -> Result<(), Error> {
        let lane = format!("session:{}", self.session);
        let until = json!(self.sequence);
        let content = fields([("session", json!(self.session)), ("until", until)]);
        self.hand_over(CASH_UP, &lane, vec![], content).await.map(|_| ())
    }

    /// Gives one transaction to the box and returns when the box has it on its disk.
    async fn hand_over(
        &mut self,
        kind: &str,
        lane: &str,
        depends_on: Vec<TxKey>,
        payload: Map<String, Value>,
    ) -> Result<TxKey, Error> {
        self.sequence += 1;
        let envelope = self.envelope(kind, lane, depends_on, payload);
        let digest = envelope.digest();
        let asked = env::instant();
        let receipt = self.post(&envelope).await?;
        self.day.accept_us.push(micros(asked.elapsed()));
        let right = receipt.key == envelope.key
            && receipt.digest == digest
            && receipt.is_signed_by(&self.shop.box_key);
        if !right {
            let what = format!("{kind} {}", envelope.key);
            return Err(Error::Answer { what, answer: format!("not its receipt: {receipt:?}") });
        }
        self.shop.held.fetch_add(1, Ordering::Relaxed);
        let key = envelope.key;
        self.day.sold.push(Sold { envelope, digest });
        Ok(key)
    }

    async fn post(&self, envelope: &Envelope) -> Result<Receipt, Error> {
        let url = format!("{}/v1/transactions", self.shop.base);
        let request = self.shop.client.post(url).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json");
        let what = format!("{} {}", envelope.kind, envelope.key);
        let body = persist(request.body(envelope.canonical()), &what).await?;
        let odd = |_| Error::Answer { what, answer: text_of(&body) };
        serde_json::from_slice(&body).map_err(odd)
    }

    fn envelope(
        &self,
        kind: &str,
        lane: &str,
        depends_on: Vec<TxKey>,
        payload: Map<String, Value>,
    ) -> Envelope {
        let rule = "made from letters, digits, ':' and '-'";
        Envelope {
            key: mint_key(),
            kind: kind.parse().expect(rule),
            terminal: self.name.clone(),
            epoch: 1,
            sequence: self.sequence,
            lane: lane.parse::<LaneId>().expect(rule),
            depends_on,
            session: Some(self.session.clone()),
            occurred_at: env::timestamp(),
            clock: env::clock_confidence(),
            payload,
        }
    }
}

/// Sends until the box answers with success; only a refusal of the request itself is final.
async fn persist(request: reqwest::RequestBuilder, what: &str) -> Result<Vec<u8>, Error> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let again = request.try_clone().expect("a body in memory can be sent again");
        match answer(again).await {
            Ok((status, body)) if status.is_success() => return Ok(body),
            Ok((status, body)) if status.is_client_error() || attempt >= ATTEMPTS_MAX => {
                let answer = format!("{status} {}", text_of(&body));
                return Err(Error::Answer { what: what.to_owned(), answer });
            }
            Err(source) if attempt >= ATTEMPTS_MAX => {
                return Err(Error::Silent { what: what.to_owned(), source });
            }
            Ok(_) | Err(_) => sleep(AGAIN_AFTER).await,
        }
    }
}

async fn answer(
    request: reqwest::RequestBuilder,
) -> Result<(reqwest::StatusCode, Vec<u8>), reqwest::Error> {
    let response = request.send().await?;
    Ok((response.status(), response.bytes().await?.to_vec()))
}

fn text_of(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// A new key, as a till mints it.
pub fn mint_key() -> TxKey {
    let ms = u64::try_from(env::timestamp().unix_ms()).unwrap_or(0);
    let random = env::random::<10>();
    TxKey(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
}

fn fields<const N: usize>(of: [(&str, Value); N]) -> Map<String, Value> {
    of.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
