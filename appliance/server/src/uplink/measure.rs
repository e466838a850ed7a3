//! How fast transactions are accepted durably; for the benchmark command, not for tests.

use std::time::Duration;

use serde_json::{Map, Value};
use storebox_proto::ids::TxKey;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::Envelope;
use storebox_proto::time::ClockConfidence;
use tokio::task::JoinSet;

use super::accept::Outbox;
use crate::env;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptFigures {
    /// Transactions accepted, each flushed before its receipt.
    pub accepted: u64,
    /// From the first to the last.
    pub took: Duration,
    /// Half of the answers came within this time.
    pub p50: Duration,
    /// All but one in a hundred did.
    pub p99: Duration,
}

impl AcceptFigures {
    /// Transactions in a second.
    pub fn per_second(&self) -> u64 {
        let micros = self.took.as_micros().max(1);
        u64::try_from(u128::from(self.accepted) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}

/// Lets so many producers accept transactions of this size, one after the other each.
pub async fn accepts(
    outbox: &Outbox,
    producers: u32,
    each: u64,
    bytes: usize,
) -> Result<AcceptFigures, Problem> {
    let run = u32::from_le_bytes(env::random());
    let mut tasks = JoinSet::new();
    let begun = env::instant();
    for producer in 0..producers {
        let outbox = outbox.clone();
        tasks.spawn(async move {
            let mut answers = Vec::new();
            for sequence in 1..=each {
                let sale = sale(run, producer, sequence, bytes);
                let asked = env::instant();
                outbox.accept(sale).await?;
                answers.push(env::instant() - asked);
            }
            Ok::<_, Problem>(answers)
        });
    }
    let mut answers = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let done = done.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        answers.append(&mut done?);
    }
    let took = env::instant() - begun;
    answers.sort_unstable();
    let at = |share: usize| answers.get(answers.len() * share / 100).copied().unwrap_or_default();
    let accepted = answers.len() as u64;
    Ok(AcceptFigures { accepted, took, p50: at(50), p99: at(99) })
}

fn sale(run: u32, producer: u32, sequence: u64, bytes: usize) -> Envelope {
    let now = env::timestamp();
    let key = uuid::Builder::from_unix_timestamp_millis(
        u64::try_from(now.unix_ms()).unwrap_or_default(),
        &env::random(),
    );
    let mut payload = Map::new();
    payload.insert("gross".to_owned(), Value::from("12.30"));
    payload.insert("lines".to_owned(), Value::from("x".repeat(bytes)));
    Envelope {
        key: TxKey(key.into_uuid()),
        kind: "Order".parse().expect("a literal that keeps the rule"),
        terminal: format!("bench-{producer}").parse().expect("letters, digits and a dash"),
        epoch: run,
        sequence,
        lane: format!("ticket:{producer}-{sequence}").parse().expect("printable and short"),
        depends_on: Vec::new(),
        session: None,
        occurred_at: now,
        clock: ClockConfidence::Plausible,
        payload,
    }
}
