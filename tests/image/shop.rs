//! A till on the machine's wire.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use storebox::demo::till::mint_key;
use storebox::env;
use storebox_proto::ticket::Envelope;
use storebox_tests::wait;

use crate::lan;

/// A till with its token.
pub(crate) struct Till {
    client: reqwest::Client,
    token: String,
    sequence: u64,
}

pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().timeout(Duration::from_secs(60)).no_proxy().build()?)
}

/// Waits until the machine serves.
pub(crate) async fn served(patience: Duration) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().build()?;
    let url = format!("http://{}/healthz", lan::BOX);
    wait::until("HTTP 200", patience, || async {
        Ok(client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()))
    })
    .await
}

impl Till {
    pub(crate) fn new(token: String) -> anyhow::Result<Self> {
        Ok(Self { client: client()?, token, sequence: 0 })
    }

    /// Sells one ticket; returns its key once the box holds it.
    pub(crate) async fn sell(&mut self) -> anyhow::Result<String> {
        self.sequence += 1;
        let rule = "made from letters, digits, ':' and '-'";
        let mut payload = Map::new();
        payload.insert("total".to_owned(), json!("4.99"));
        payload.insert("lines".to_owned(), json!([{"product": "tea", "quantity": "1"}]));
        let envelope = Envelope {
            key: mint_key(),
            kind: "Order".parse().expect(rule),
            terminal: "till-1".parse().expect(rule),
            epoch: 1,
            sequence: self.sequence,
            lane: format!("ticket:till-1-{}", self.sequence).parse().expect(rule),
            depends_on: Vec::new(),
            session: None,
            occurred_at: env::timestamp(),
            clock: env::clock_confidence(),
            payload,
        };
        let request = self.client.post(format!("http://{}/v1/transactions", lan::BOX));
        let request = request.bearer_auth(&self.token).header("content-type", "application/json");
        let answer = request.body(envelope.canonical()).send().await.context("sell")?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "sell: {status} {text}");
        let receipt: Value = serde_json::from_str(&text)?;
        ensure!(receipt["digest"] == json!(envelope.digest()), "not its receipt: {text}");
        Ok(envelope.key.to_string())
    }

    /// Whether the box still holds a sale.
    pub(crate) async fn find(&self, key: &str) -> anyhow::Result<()> {
        let url = format!("http://{}/v1/transactions/{key}", lan::BOX);
        let answer = self.client.get(url).bearer_auth(&self.token).send().await?;
        ensure!(answer.status().is_success(), "sale {key}: {}", answer.status());
        Ok(())
    }
}
