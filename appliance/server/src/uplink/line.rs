//! The words of the hop between boxes, over HTTP.
//!
//! Nothing that comes back is believed before it is checked: size, count, order, keys, digests, signatures.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderValue;
use reqwest::{Client, ClientBuilder, Method, Response, StatusCode};
use storebox_proto::ids::{NodeId, SourceId};
use storebox_proto::limits::ENVELOPE_BYTES_MAX;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::skew;
use storebox_proto::sync::ladder::{Fault, Service};
use storebox_proto::sync::outbox::{Failure, Item, Verdict};
use storebox_proto::ticket::{Answer, Grade, Receipt, SettleAnswer};
use tokio::time::sleep;

use crate::client;
use crate::pass::{PROOF, Shown, version};

use super::routes::Route;
use super::shipper::ShipperOptions;
use crate::wire::{Ask, Wire, WireError};

/// Bytes of an answer to a full batch, with room.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A page of copies.
const COPIES_BYTES_MAX: usize = super::copies::PAGE_MAX * (ENVELOPE_BYTES_MAX + 1024);
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The longest a batch may take; the receiver flushes once.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// An idle connection is not trusted for longer: a line that was cut does not always say so.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// The longest a look for the line may take.
const PROBE_MAX: Duration = Duration::from_secs(1);

/// A neighbour looks at its own line before it answers.
const RELAY_PROBE_MAX: Duration = Duration::from_secs(3);
/// So many looks without an answer mean that the line is gone.
const SILENT_MAX: u32 = 3;

/// The line to one sink, by whichever way works.
pub(super) struct Line {
    client: Client,
    options: ShipperOptions,
}

/// Answers by position, with receipts for what was taken.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) answers: Vec<(u64, Verdict)>,
    pub(super) receipts: Vec<(u64, Receipt)>,
}

/// How boxes talk to each other about transactions.
pub(super) fn client() -> Result<Client, reqwest::Error> {
    builder().build()
}

pub(super) fn builder() -> ClientBuilder {
    client::builder()
        .connect_timeout(CONNECT_MAX)
        .timeout(ANSWER_MAX)
        .default_headers(version())
        .pool_max_idle_per_host(1)
        .pool_idle_timeout(IDLE_MAX)
}

/// Whether the other side answers at all.
pub(super) async fn answers(client: &Client, route: &Route) -> bool {
    let client = route.through.as_ref().unwrap_or(client);
    let request = client.get(address(route, "healthz")).timeout(PROBE_MAX);
    route.valve.pass(request.send()).await.is_some_and(|answer| answer.is_ok())
}

impl Line {
    pub(super) fn new(options: ShipperOptions) -> Result<Self, reqwest::Error> {
        Ok(Self { client: client()?, options })
    }

    /// Whether any way is open again.
    pub(super) async fn probe(&self) -> bool {
        self.options.routes.any_answers(&self.client).await
    }

    /// Sends a batch by the best way; by the next one if it certainly did not arrive.
    pub(super) async fn send(
        &self,
        cargo: &Cargo<'_>,
        vouch: &(dyn Fn(&Item) -> Receipt + Sync),
    ) -> Result<Heard, Failure> {
        let mut last = Failure::Unreachable;
        for (id, route) in self.options.routes.to_try() {
            let body = cargo.body(self.options.routes.is_peer(&id).then_some(vouch));
            let heard = tokio::select! {
                heard = self.send_by(&route, cargo.items, body) => heard,
                () = self.lost(&route) => Err(Failure::Lost),
            };
            last = match self.judged(&id, heard)? {
                Ok(heard) => return Ok(heard),
                Err(failure) => failure,
            };
        }
        Err(last)
    }

    /// Asks for one transaction; nothing if it is not known there.
    pub(super) async fn ask(&self, item: &Item) -> Result<Option<Receipt>, Failure> {
        let mut last = Failure::Unreachable;
        for (id, route) in self.options.routes.to_try() {
            let answer = self.ask_by(&route, item).await;
            last = match self.judged(&id, answer)? {
                Ok(receipt) => return Ok(receipt),
                Err(failure) => failure,
            };
        }
        Err(last)
    }

    /// Tells the tiers how it went: an outer error ends the search, an inner one allows the next way.
    fn judged<T>(
        &self,
        id: &SourceId,
        result: Result<T, Failure>,
    ) -> Result<Result<T, Failure>, Failure> {
        let tiers = self.options.routes.tiers();
        match &result {
            Ok(_) => tiers.success(id, Service::Transactions, None),
            Err(failure) => {
                if let Some(fault) = fault(failure) {
                    tiers.fault(id, Service::Transactions, fault);
                }
            }
        }
        match result {
            Err(failure @ (Failure::Lost | Failure::BatchRefused(_))) => Err(failure),
            Ok(_) | Err(Failure::Unreachable | Failure::Unavailable | Failure::Forbidden(_)) => {
                Ok(result)
            }
        }
    }

    /// Ends when the other side no longer answers, as seen beside a request that takes long.
    async fn lost(&self, route: &Route) {
        let mut silent = 0;
        while silent < SILENT_MAX {
            sleep(PROBE_MAX).await;
            silent = if answers(&self.client, route).await { 0 } else { silent + 1 };
        }
    }

    async fn send_by(&self, route: &Route, items: &[Item], body: Bytes) -> Result<Heard, Failure> {
        let path = "sync/v1/transactions".to_owned();
        let (status, bytes) = self.exchange(route, Method::POST, path, body).await?;
        if !status.is_success() {
            return Err(refusal(status, &bytes));
        }
        let answer: SettleAnswer = serde_json::from_slice(&bytes).map_err(|_| self.nonsense())?;
        self.judge(items, answer)
    }

    async fn ask_by(&self, route: &Route, item: &Item) -> Result<Option<Receipt>, Failure> {
        let path = format!("sync/v1/transactions/{}", item.key);
        let (status, bytes) = self.exchange(route, Method::GET, path, Bytes::new()).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(refusal(status, &bytes));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Answer::Taken { receipt }) if self.is_proof(item, &receipt) => Ok(Some(receipt)),
            // Another content is settled under this key: sending it again brings the refusal.
            Ok(Answer::Taken { receipt }) if receipt.digest != item.digest => Ok(None),
            Ok(Answer::Taken { .. } | Answer::Later { .. } | Answer::Refused { .. }) | Err(_) => {
                Err(self.nonsense())
            }
        }
    }

    /// Asks and reads the answer, sealed if this sink is to be asked so.
    async fn exchange(
        &self,
        route: &Route,
        method: Method,
        path: String,
        body: Bytes,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        if route.valve.is_shut() {
            return Err(Failure::Unreachable);
        }
        // What a drill interrupts may have arrived, like what a broken cable interrupts.
        let exchanged = route.valve.pass(self.exchange_now(route, method, path, body)).await;
        exchanged.unwrap_or(Err(Failure::Lost))
    }

    async fn exchange_now(
        &self,
        route: &Route,
        method: Method,
        path: String,
        body: Bytes,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        if let Some(wire) = &route.sealed {
            return self.exchange_sealed(wire, &method, &path, body).await;
        }
        let shown = route.pass.show(method.as_str(), &format!("/{path}"), &body);
        let client = route.through.as_ref().unwrap_or(&self.client);
        let request = client.request(method, address(route, &path));
        let mut request = request.header("authorization", secret(&shown.header));
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| failure_of(&error))?;
        if !proves(&response, &shown) {
            return Err(Failure::Unavailable);
        }
        fits(&response)?;
        let status = response.status();
        Ok((status, read(response).await.ok_or(Failure::Lost)?))
    }

    async fn exchange_sealed(
        &self,
        wire: &Wire,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Vec<u8>), Failure> {
        let (target, within, bytes_max) = (format!("/{path}"), ANSWER_MAX, ANSWER_BYTES_MAX);
        let body = body.to_vec();
        let ask = Ask { method: method.as_str(), target, body, within, bytes_max };
        match wire.ask(ask).await {
            Ok(answer) => {
                let status = StatusCode::from_u16(answer.status).map_err(|_| self.nonsense())?;
                Ok((status, answer.body))
            }
            Err(WireError::Refused { problem: Some(problem), status: 401 | 403 }) => {
                Err(Failure::Forbidden(problem))
            }
            Err(error) => {
                let sink = &self.options.sink;
                tracing::debug!(%sink, %error, "a sealed exchange failed");
                let before = error.is_before_sending();
                Err(if before { Failure::Unreachable } else { Failure::Lost })
            }
        }
    }

    fn judge(&self, items: &[Item], answer: SettleAnswer) -> Result<Heard, Failure> {
        if answer.answers.len() != items.len() {
            return Err(self.nonsense());
        }
        let mut heard = Heard { answers: Vec::new(), receipts: Vec::new() };
        for (item, keyed) in items.iter().zip(answer.answers) {
            if keyed.key != item.key {
                return Err(self.nonsense());
            }
            let verdict = match keyed.answer {
                Answer::Taken { receipt } if self.is_proof(item, &receipt) => {
                    heard.receipts.push((item.position, receipt));
                    Verdict::Taken
                }
                Answer::Taken { .. } => return Err(self.nonsense()),
                Answer::Later { problem } => Verdict::Later(problem),
                Answer::Refused { problem } => Verdict::Refused(problem),
            };
            heard.answers.push((item.position, verdict));
        }
        Ok(heard)
    }

    /// Whether the receipt settles exactly this, signed by whom we trust to.
    fn is_proof(&self, item: &Item, receipt: &Receipt) -> bool {
        let trusted = &self.options.trusted;
        receipt.key == item.key
            && receipt.digest == item.digest
            && (receipt.grade >= Grade::Settled || !self.options.authoritative)
            && (trusted.is_empty() || trusted.iter().any(|key| receipt.is_signed_by(key)))
    }

    fn nonsense(&self) -> Failure {
        let sink = &self.options.sink;
        tracing::error!(%sink, "answer to transactions is not what was asked for");
        Failure::Lost
    }
}

fn address(route: &Route, path: &str) -> String {
    format!("{}/{path}", route.url().trim_end_matches('/'))
}

fn secret(header: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(header).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Whether the other side speaks a version that works with ours; what stands between us need not say.
fn fits(response: &Response) -> Result<(), Failure> {
    let Some(said) = response.headers().get(skew::HEADER) else { return Ok(()) };
    skew::check(skew::API, Some(said.as_bytes()))
        .map_err(|skew| Failure::Forbidden(Problem::new(Code::VersionSkew, skew.to_string())))
}

/// Whether the answer comes from whom it must come from.
fn proves(response: &Response, shown: &Shown) -> bool {
    let Some(expected) = &shown.proof else { return true };
    let given = response.headers().get(PROOF).and_then(|proof| proof.to_str().ok());
    given == Some(expected)
}

/// Whether a neighbour would pass transactions on; nothing is sent to one that does not prove that it is one.
pub(super) async fn passes_on(client: &Client, route: &Route) -> Result<(), Fault> {
    let shown = route.pass.show("GET", "/sync/v1/relay", &[]);
    let client = route.through.as_ref().unwrap_or(client);
    let request = client.get(address(route, "sync/v1/relay")).timeout(RELAY_PROBE_MAX);
    let request = request.header("authorization", secret(&shown.header));
    let response = request.send().await.map_err(|_| Fault::Silent)?;
    if !proves(&response, &shown) {
        return Err(Fault::Lied);
    }
    match response.status().as_u16() {
        200..300 => Ok(()),
        401 | 403 => Err(Fault::Forbidden),
        status => Err(Fault::Unable { status }),
    }
}

/// The body of a neighbour's answer, if it proves that it is one and says yes.
pub(super) async fn ask_neighbour(
    client: &Client,
    route: &Route,
    method: &str,
    path: &str,
    body: Bytes,
) -> Option<Vec<u8>> {
    let shown = route.pass.show(method, path, &body);
    let url = address(route, path.trim_start_matches('/'));
    let client = route.through.as_ref().unwrap_or(client);
    let request = client.request(method.parse().ok()?, url).body(body);
    let request = request.header("authorization", secret(&shown.header));
    let request = request.header("content-type", "application/json");
    let response = request.send().await.ok()?;
    if !proves(&response, &shown) || !response.status().is_success() {
        return None;
    }
    read_max(response, COPIES_BYTES_MAX).await
}

/// What a failure says about the way; nothing if it is about the transactions.
fn fault(failure: &Failure) -> Option<Fault> {
    match failure {
        Failure::Unreachable | Failure::Lost => Some(Fault::Silent),
        Failure::Unavailable => Some(Fault::Unable { status: 503 }),
        Failure::Forbidden(problem) if problem.code == Code::VersionSkew => Some(Fault::Skewed),
        Failure::Forbidden(_) => Some(Fault::Forbidden),
        Failure::BatchRefused(_) => None,
    }
}

/// A batch as it lies in the outbox.
pub(super) struct Cargo<'a> {
    pub(super) node: &'a NodeId,
    pub(super) items: &'a [Item],
    /// As they are stored.
    pub(super) envelopes: &'a [Bytes],
    /// What neighbours said of those that are passed on for them.
    pub(super) guests: &'a [Option<Receipt>],
}

impl Cargo<'_> {
    /// The body of the request; a neighbour is also told what this box says of its own.
    fn body(&self, vouch: Option<&(dyn Fn(&Item) -> Receipt + Sync)>) -> Bytes {
        let size: usize = self.envelopes.iter().map(|envelope| envelope.len() + 1).sum();
        let mut body = Vec::with_capacity(size + 128);
        let node = self.node;
        body.extend_from_slice(format!("{{\"node\":\"{node}\",\"envelopes\":[").as_bytes());
        for (index, envelope) in self.envelopes.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(envelope);
        }
        body.push(b']');
        let said =
            self.items.iter().zip(self.guests).filter_map(|(item, guest)| {
                guest.clone().or_else(|| vouch.map(|vouch| vouch(item)))
            });
        let said: Vec<Receipt> = said.collect();
        if !said.is_empty() {
            body.extend_from_slice(b",\"origins\":");
            serde_json::to_writer(&mut body, &said).expect("receipts are plain data");
        }
        body.push(b'}');
        body.into()
    }
}

/// Only what never left this box is certain not to have arrived.
fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() { Failure::Unreachable } else { Failure::Lost }
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let problem = serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| {
        Problem::new(Code::TransactionRefused, format!("the server answered {status}"))
    });
    if problem.code == Code::VersionSkew {
        return Failure::Forbidden(problem);
    }
    match status.as_u16() {
        401 | 403 => Failure::Forbidden(problem),
        408 | 429 => Failure::Unavailable,
        // A proxy or a server that is being set up: nothing about the transactions.
        404 | 405 => Failure::Unavailable,
        400..500 => Failure::BatchRefused(problem),
        _ => Failure::Unavailable,
    }
}

/// The body, unless it is too long or breaks off.
async fn read(response: Response) -> Option<Vec<u8>> {
    read_max(response, ANSWER_BYTES_MAX).await
}

async fn read_max(mut response: Response, bytes_max: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > bytes_max {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}
