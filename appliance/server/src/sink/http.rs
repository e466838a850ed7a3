//! Settled transactions as signed requests, by the rules of Standard Webhooks.
//!
//! `POST` with `{"ledger", "entries": [{"position", "at", "node", "envelope"}]}`, in the order of settling.
//! How it is signed is in `webhook`.
//! A receiver refuses what is older than five minutes and knows a transaction by its key: it may come twice.
//! Any answer of 2xx says that the receiver has the whole batch on its disk.

use ed25519_dalek::SigningKey;
use reqwest::{Client, Response};
use serde::Serialize;
use storebox_proto::ids::NodeId;
use storebox_proto::ticket::Envelope;
use storebox_proto::time::Timestamp;

use super::target::{TargetError, TargetSetUpError};
use crate::config::Deliver;
use crate::env;
use crate::logging;
use crate::trust::line::{Believed, Line, Lines};
use crate::uplink::LedgerEntry;
use crate::webhook;

/// A receiver.
pub struct Http {
    client: Client,
    line: Line,
    ledger: NodeId,
    signer: SigningKey,
    secret: Option<Vec<u8>>,
}

#[derive(Serialize)]
struct Body<'a> {
    ledger: &'a NodeId,
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    position: u64,
    at: Timestamp,
    node: &'a NodeId,
    envelope: &'a Envelope,
}

impl Http {
    pub(super) fn new(
        deliver: &Deliver,
        ledger: &NodeId,
        signer: SigningKey,
        secret: Option<String>,
        lines: &Lines,
    ) -> Result<Self, TargetSetUpError> {
        let line = lines.open(&deliver.url, Believed::Authorities(&deliver.ca_file))?;
        let client = line.client(webhook::builder(1));
        let client = client.map_err(|error| TargetSetUpError::Address(logging::chain(&error)))?;
        let secret = secret.map(|text| webhook::shared(&text)).transpose();
        let secret = secret.map_err(|error| TargetSetUpError::Address(error.to_string()))?;
        Ok(Self { client, line, ledger: ledger.clone(), signer, secret })
    }

    pub(super) async fn deliver(&mut self, batch: &[LedgerEntry]) -> Result<(), TargetError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
        let id = format!("{}-{}-{}", self.ledger, first.position, last.position);
        let entries = batch.iter().map(|entry| {
            let LedgerEntry { position, at, node, envelope, .. } = entry;
            Entry { position: *position, at: *at, node, envelope }
        });
        let body = Body { ledger: &self.ledger, entries: entries.collect() };
        let body = serde_json::to_vec(&body).expect("plain data with string keys");
        let now = env::timestamp().unix_ms() / 1000;
        let signature = webhook::sign(&self.signer, self.secret.as_deref(), &id, now, &body);
        let request = self
            .client
            .post(self.line.url())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(body);
        match request.send().await {
            Ok(response) => judge(response).await,
            Err(error) => Err(TargetError::Unavailable(logging::chain(&error))),
        }
    }
}

/// What is refused by its content stays refused; all else may pass: a wrong address, a missing right, a busy server.
async fn judge(response: Response) -> Result<(), TargetError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let what = format!("{status} {}", webhook::shown(response).await);
    match webhook::is_final(status) {
        true => Err(TargetError::Refused(what)),
        false => Err(TargetError::Unavailable(what)),
    }
}
