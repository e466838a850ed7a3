//! The words of the hop between boxes, over HTTP.
//!
//! Nothing that comes back is believed before it is checked: size, count, order, keys, digests, signatures.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, redirect};
use storebox_proto::ids::NodeId;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{Failure, Item, Verdict};
use storebox_proto::ticket::{Answer, Grade, Receipt, SettleAnswer};
use tokio::time::sleep;

use super::shipper::ShipperOptions;

/// Bytes of an answer to a full batch, with room.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The longest a batch may take; the receiver flushes once.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// An idle connection is not trusted for longer: a line that was cut does not always say so.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// The longest a look for the line may take.
const PROBE_MAX: Duration = Duration::from_secs(1);

/// So many looks without an answer mean that the line is gone.
const SILENT_MAX: u32 = 3;

/// The way to one sink.
pub(super) struct Line {
    client: Client,
    options: ShipperOptions,
}

/// Answers by position, with receipts for what was taken.
pub(super) struct Heard {
    pub(super) answers: Vec<(u64, Verdict)>,
    pub(super) receipts: Vec<(u64, Receipt)>,
}

impl Line {
    pub(super) fn new(options: ShipperOptions) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_MAX)
            .no_proxy();
        let client = match &options.socket {
            Some(socket) => client.unix_socket(socket.as_path()),
            None => client,
        };
        Ok(Self { client: client.build()?, options })
    }

    /// Whether the other side answers at all.
    pub(super) async fn probe(&self) -> bool {
        let request = self.client.get(self.address("healthz")).timeout(PROBE_MAX);
        request.send().await.is_ok()
    }

    /// Ends when the other side no longer answers, as seen beside a request that takes long.
    pub(super) async fn lost(&self) {
        let mut silent = 0;
        while silent < SILENT_MAX {
            sleep(PROBE_MAX).await;
            silent = if self.probe().await { 0 } else { silent + 1 };
        }
    }

    /// Sends a batch.
    pub(super) async fn send(&self, items: &[Item], body: Vec<u8>) -> Result<Heard, Failure> {
        let request = self.client.post(self.address("sync/v1/transactions"));
        let request = request.bearer_auth(self.options.token.reveal());
        let request = request.header("content-type", "application/json").body(body);
        let response = request.send().await.map_err(|error| failure_of(&error))?;
        let status = response.status();
        let bytes = read(response).await.ok_or(Failure::Lost)?;
        if !status.is_success() {
            return Err(refusal(status, &bytes));
        }
        let answer: SettleAnswer = serde_json::from_slice(&bytes).map_err(|_| self.nonsense())?;
        self.judge(items, answer)
    }

    /// Asks for one transaction; nothing if it is not known there.
    pub(super) async fn ask(&self, item: &Item) -> Result<Option<Receipt>, Failure> {
        let path = format!("sync/v1/transactions/{}", item.key);
        let request = self.client.get(self.address(&path));
        let request = request.bearer_auth(self.options.token.reveal());
        let response = request.send().await.map_err(|error| failure_of(&error))?;
        let status = response.status();
        let bytes = read(response).await.ok_or(Failure::Lost)?;
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

    fn address(&self, path: &str) -> String {
        format!("{}/{path}", self.options.url.trim_end_matches('/'))
    }
}

/// The body of a batch, from envelopes as they are stored.
pub(super) fn batch_body(node: &NodeId, envelopes: &[bytes::Bytes]) -> Vec<u8> {
    let size: usize = envelopes.iter().map(|envelope| envelope.len() + 1).sum();
    let mut body = Vec::with_capacity(size + 128);
    body.extend_from_slice(format!("{{\"node\":\"{node}\",\"envelopes\":[").as_bytes());
    for (index, envelope) in envelopes.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(envelope);
    }
    body.extend_from_slice(b"]}");
    body
}

/// Only what never left this box is certain not to have arrived.
fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() { Failure::Unreachable } else { Failure::Lost }
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let problem = serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| {
        Problem::new(Code::TransactionRefused, format!("the server answered {status}"))
    });
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
async fn read(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}
