//! Settled transactions as signed requests, by the rules of Standard Webhooks.
//!
//! `POST` with `{"ledger", "entries": [{"position", "at", "node", "envelope"}]}`, in the order of settling.
//! Three headers protect it against change and replay: `webhook-id` names the batch, `webhook-timestamp` is the time of
//! this attempt, and `webhook-signature` holds, over `id.timestamp.body`, `v1a,` with the Ed25519 signature of this
//! box (`storebox key` prints the public key) and, if there is a shared secret, `v1,` with an HMAC-SHA256.
//! A receiver refuses what is older than five minutes and knows a transaction by its key: it may come twice.
//! Any answer of 2xx says that the receiver has the whole batch on its disk.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, Response, redirect};
use serde::Serialize;
use sha2::Sha256;
use storebox_proto::ids::NodeId;
use storebox_proto::ticket::Envelope;
use storebox_proto::time::Timestamp;

use super::target::{TargetError, TargetSetUpError};
use crate::config::Deliver;
use crate::env;
use crate::logging;
use crate::uplink::LedgerEntry;

/// The prefix of a shared secret whose rest is base64, as Standard Webhooks writes it.
const SECRET_PREFIX: &str = "whsec_";
/// Time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Of a refusal, so much is shown.
const ANSWER_SHOWN_MAX: usize = 300;

/// A receiver.
pub struct Http {
    client: Client,
    url: String,
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
    ) -> Result<Self, TargetSetUpError> {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .pool_max_idle_per_host(1)
            .no_proxy()
            .build()
            .map_err(|error| TargetSetUpError::Address(logging::chain(&error)))?;
        let secret = secret.map(|text| shared(&text)).transpose()?;
        Ok(Self { client, url: deliver.url.clone(), ledger: ledger.clone(), signer, secret })
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
        let signature = sign(&self.signer, self.secret.as_deref(), &id, now, &body);
        let request = self
            .client
            .post(&self.url)
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

fn shared(text: &str) -> Result<Vec<u8>, TargetSetUpError> {
    match text.strip_prefix(SECRET_PREFIX) {
        None => Ok(text.as_bytes().to_vec()),
        Some(rest) => STANDARD.decode(rest).map_err(|_| {
            TargetSetUpError::Address(
                "a secret that begins with whsec_ goes on in base64".to_owned(),
            )
        }),
    }
}

fn sign(signer: &SigningKey, secret: Option<&[u8]>, id: &str, now: i64, body: &[u8]) -> String {
    let mut signed = format!("{id}.{now}.").into_bytes();
    signed.extend_from_slice(body);
    let own = STANDARD.encode(signer.sign(&signed).to_bytes());
    let mut signature = format!("v1a,{own}");
    if let Some(secret) = secret {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of HMAC has any length");
        let mac = mac.chain_update(&signed).finalize().into_bytes();
        signature = format!("v1,{} {signature}", STANDARD.encode(mac));
    }
    signature
}

/// What is refused by its content stays refused; all else may pass: a wrong address, a missing right, a busy server.
async fn judge(response: Response) -> Result<(), TargetError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer(response).await;
    let what = format!("{status} {text}");
    match status.as_u16() {
        400 | 409 | 413 | 415 | 422 => Err(TargetError::Refused(what)),
        _ => Err(TargetError::Unavailable(what)),
    }
}

async fn answer(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_SHOWN_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|c| !c.is_control()).take(ANSWER_SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Verifier;

    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn the_hmac_is_that_of_the_specification() {
        let secret = shared("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signer = SigningKey::from_bytes(&[7; 32]);
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let text = sign(&signer, Some(&secret), id, 1_614_265_330, body);
        let (first, second) = text.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let bytes = STANDARD.decode(second.strip_prefix("v1a,").unwrap()).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
        let mut signed = format!("{id}.1614265330.").into_bytes();
        signed.extend_from_slice(body);
        assert!(signer.verifying_key().verify(&signed, &signature).is_ok());
    }
}
