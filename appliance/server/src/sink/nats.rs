//! Settled transactions as messages of NATS JetStream.
//!
//! Subject `<prefix>.<store's box>.<kind>`, body the envelope, `Nats-Msg-Id` its key; the batch is delivered when every
//! message has its `PubAck`.
//! The server forgets message ids after its window, so after every new connection this sink reads back from the end of
//! the stream what it had published itself, and publishes only what is not there.
//! How safe an acknowledged message is, is the server's setting (`sync_interval`, replicas).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, HeaderMap};
use storebox_proto::ids::{NodeId, TxKey};

use super::target::TargetError;
use crate::config::Deliver;
use crate::logging;
use crate::uplink::LedgerEntry;

const MESSAGE_ID: &str = "Nats-Msg-Id";
const LEDGER: &str = "Storebox-Ledger";
const POSITION: &str = "Storebox-Position";
/// How long the server knows a message id; what is older is looked for in the stream.
const WINDOW: Duration = Duration::from_secs(120);
/// Time for one answer of the server.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Messages that are read back, other main servers' between ours included.
const READ_BACK_MAX: u64 = 4096;
/// Room for the headers of a message below the server's limit.
const HEADERS_BYTES: usize = 1024;

/// A stream.
pub struct Nats {
    url: String,
    stream: String,
    prefix: String,
    ledger: NodeId,
    secret: Option<String>,
    ca_file: PathBuf,
    open: Option<Open>,
}

struct Open {
    client: Client,
    context: Context,
    /// Keys that were found in the stream; what is delivered first may be among them.
    there: BTreeSet<TxKey>,
}

impl Nats {
    pub(super) fn new(deliver: &Deliver, ledger: &NodeId, secret: Option<String>) -> Self {
        Self {
            url: deliver.url.clone(),
            stream: deliver.stream.clone(),
            prefix: deliver.prefix.clone(),
            ledger: ledger.clone(),
            secret,
            ca_file: deliver.ca_file.clone(),
            open: None,
        }
    }

    pub(super) fn reset(&mut self) {
        self.open = None;
    }

    pub(super) async fn deliver(&mut self, batch: &[LedgerEntry]) -> Result<(), TargetError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let open = match self.open.take() {
            Some(open) => open,
            None => self.connect(first.position).await?,
        };
        let open = self.open.insert(open);
        let limit = open.client.server_info().max_payload;
        let mut waiting = Vec::with_capacity(batch.len());
        let mut messages = Vec::with_capacity(batch.len());
        for entry in batch.iter().filter(|entry| !open.there.contains(&entry.key)) {
            let body = entry.envelope.canonical();
            if body.len() + HEADERS_BYTES > limit {
                let what = format!("{} bytes, the server takes {limit}", body.len());
                return Err(TargetError::Refused(what));
            }
            let subject = format!("{}.{}.{}", self.prefix, entry.node, entry.envelope.kind);
            messages.push((subject, headers(&self.ledger, entry), body));
        }
        for (subject, headers, body) in messages {
            let published = open.context.publish_with_headers(subject, headers, body.into()).await;
            waiting.push(published.map_err(|error| lost(&error))?);
        }
        for acknowledged in waiting {
            acknowledged.await.map_err(|error| lost(&error))?;
        }
        for entry in batch {
            open.there.remove(&entry.key);
        }
        Ok(())
    }

    async fn connect(&self, from: u64) -> Result<Open, TargetError> {
        let options = ConnectOptions::new().name("storebox").connection_timeout(ANSWER_MAX);
        let options = match self.secret.as_ref().map(|secret| (secret, secret.split_once(':'))) {
            None => options,
            Some((_, Some((user, password)))) => {
                options.user_and_password(user.to_owned(), password.to_owned())
            }
            Some((token, None)) => options.token(token.clone()),
        };
        let options = match self.ca_file.as_os_str().is_empty() {
            true => options,
            false => options.add_root_certificates(self.ca_file.clone()),
        };
        let options = options.require_tls(self.url.starts_with("tls://"));
        let client = options.connect(&self.url).await.map_err(|error| lost(&error))?;
        let context = ContextBuilder::new().timeout(ANSWER_MAX).build(client.clone());
        let config = Config {
            name: self.stream.clone(),
            subjects: vec![format!("{}.>", self.prefix)],
            duplicate_window: WINDOW,
            ..Config::default()
        };
        let stream = context.get_or_create_stream(config).await.map_err(|error| lost(&error))?;
        let there = self.read_back(&stream, from).await?;
        Ok(Open { client, context, there })
    }

    /// The keys of this ledger in the stream from this position on.
    async fn read_back(&self, stream: &Stream, from: u64) -> Result<BTreeSet<TxKey>, TargetError> {
        let info = stream.get_info().await.map_err(|error| lost(&error))?;
        let last = info.state.last_sequence;
        let first = info.state.first_sequence.max(last.saturating_sub(READ_BACK_MAX - 1));
        let mut there = BTreeSet::new();
        for sequence in (first.max(1)..=last).rev() {
            let message = match stream.get_raw_message(sequence).await {
                Ok(message) => message,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(lost(&error)),
            };
            let text = |name: &str| message.headers.get(name).map(|value| value.as_str());
            if text(LEDGER) != Some(self.ledger.as_str()) {
                continue;
            }
            if text(POSITION).and_then(|position| position.parse().ok()).unwrap_or(0) < from {
                break;
            }
            there.extend(text(MESSAGE_ID).and_then(|key| key.parse::<TxKey>().ok()));
        }
        Ok(there)
    }
}

fn headers(ledger: &NodeId, entry: &LedgerEntry) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MESSAGE_ID, entry.key.to_string().as_str());
    headers.insert(LEDGER, ledger.as_str());
    headers.insert(POSITION, entry.position.to_string().as_str());
    headers.insert("Storebox-Settled-At", entry.at.to_string().as_str());
    headers.insert("Storebox-Digest", entry.envelope.digest().to_string().as_str());
    headers
}

/// A message that was deleted or has expired.
fn is_gone(error: &jetstream::stream::RawMessageError) -> bool {
    error.kind() == jetstream::stream::RawMessageErrorKind::NoMessageFound
}

fn lost(error: &(dyn std::error::Error + 'static)) -> TargetError {
    TargetError::Unavailable(logging::chain(error))
}
