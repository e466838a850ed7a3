//! Carries spans to the collector: a few at once, and again while it is away, as long as there is room.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;
use storebox_proto::ids::NodeId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::span::Span;
use super::{Counts, StartError, note, otlp};
use crate::client;
use crate::config::Traces;
use crate::env;
use crate::trust::line::{Believed, Line, Lines};

/// Spans in one request.
const BATCH_MAX: usize = 512;
/// A span waits so long for company.
const GATHER: Duration = Duration::from_secs(1);
/// The collector answers within this.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The first wait after a failure; doubled each time.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// What is left when the box stops is tried once.
const LAST_MAX: Duration = Duration::from_secs(1);

/// The task.
pub struct Exporter {
    client: Client,
    url: String,
    /// The client is of no use without it.
    _line: Line,
    resource: Value,
    waiting: mpsc::Receiver<Span>,
}

/// What the collector made of a batch.
enum Outcome {
    Taken,
    Later(String),
    Never(String),
}

impl Exporter {
    pub(super) fn new(
        traces: &Traces,
        lines: &Lines,
        node: &NodeId,
        role: &str,
        waiting: mpsc::Receiver<Span>,
    ) -> Result<Self, StartError> {
        let line = lines.open(&traces.url, Believed::Authorities(&traces.ca_file))?;
        let client = line.client(client::builder().timeout(ANSWER_MAX))?;
        let url = format!("{}/v1/traces", line.url().trim_end_matches('/'));
        Ok(Self {
            client,
            url,
            _line: line,
            resource: otlp::resource(node.as_str(), role),
            waiting,
        })
    }

    /// Tells until the box stops; dropped at an await, the last spans are lost.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let gathered = stop.run_until_cancelled(self.gather(&mut batch)).await;
            if gathered.is_none() || batch.is_empty() {
                break;
            }
            if stop.run_until_cancelled(self.deliver(&mut batch)).await.is_none() {
                break;
            }
        }
        self.waiting.close();
        while let Ok(span) = self.waiting.try_recv() {
            batch.push(span);
        }
        batch.truncate(BATCH_MAX);
        if !batch.is_empty() {
            let sent = tokio::time::timeout(LAST_MAX, self.send(&batch)).await;
            tracing::debug!(spans = batch.len(), in_time = sent.is_ok(), "the last spans");
        }
    }

    /// The next spans, a little after the first of them; none if there will be no more.
    async fn gather(&mut self, batch: &mut Vec<Span>) {
        if batch.is_empty() {
            self.waiting.recv_many(batch, BATCH_MAX).await;
        }
        let until = env::instant() + GATHER;
        while batch.len() < BATCH_MAX && !batch.is_empty() {
            let room = BATCH_MAX - batch.len();
            let more = self.waiting.recv_many(batch, room);
            match tokio::time::timeout_at(until.into(), more).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Sends until the collector has them or will never take them; meanwhile others wait, and then are dropped.
    async fn deliver(&mut self, batch: &mut Vec<Span>) {
        let mut pause = RETRY_MIN;
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        loop {
            match self.send(batch).await {
                Outcome::Taken => {
                    note(Counts { sent: count, dropped: 0 });
                    break;
                }
                Outcome::Never(error) => {
                    tracing::warn!(error, spans = count, "the collector refuses spans");
                    note(Counts { sent: 0, dropped: count });
                    break;
                }
                Outcome::Later(error) => {
                    tracing::debug!(error, spans = count, "the collector does not take spans");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
        batch.clear();
    }

    async fn send(&self, batch: &[Span]) -> Outcome {
        let body = otlp::body(&self.resource, batch);
        match self.client.post(&self.url).json(&body).send().await {
            Ok(answer) if answer.status().is_success() => Outcome::Taken,
            Ok(answer) => judge(answer.status()),
            Err(error) => Outcome::Later(crate::logging::chain(&error.without_url())),
        }
    }
}

/// What may help later, by the OTLP specification; everything else never will.
fn judge(status: StatusCode) -> Outcome {
    let said = format!("it answers {status}");
    match status.as_u16() {
        429 | 502..=504 => Outcome::Later(said),
        _ => Outcome::Never(said),
    }
}
