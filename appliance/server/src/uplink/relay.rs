//! Passing transactions on for neighbours whose own line is cut.
//!
//! They lie in this box's outbox beside its own, with what their box said of them, and go where its own go.
//! The neighbour keeps its copy until it has the main server's receipt, which is what it is given when it asks again;
//! so nothing depends on this box staying alive, and whatever arrives twice has the same key.
//! One hop only: a box that itself goes through a neighbour passes nothing on.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use storebox_proto::ids::{NodeId, TxKey};
use storebox_proto::limits::{BATCH_BYTES_MAX, BATCH_ENVELOPES_MAX, ENVELOPE_BYTES_MAX};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::ladder::{Kind, Service};
use storebox_proto::ticket::settle::KeyedAnswer;
use storebox_proto::ticket::{Answer, Envelope, Receipt, SettleAnswer, SettleRequest};

use super::accept::Outbox;
use super::line;
use super::routes::Routes;

/// Keys of copies on one page.
pub(super) const KEYS_MAX: usize = 2000;
/// How long a neighbour waits for the main server's receipts before it is told to ask again.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);

/// Passes on; cheap to clone.
#[derive(Clone)]
pub struct Relay {
    outbox: Outbox,
    routes: Routes,
}

impl Relay {
    /// A relay through this outbox, which goes by these ways.
    pub fn new(outbox: Outbox, routes: Routes) -> Self {
        Self { outbox, routes }
    }

    /// Whether something given to this box would go on at once.
    pub async fn is_open(&self) -> bool {
        let tiers = self.routes.tiers();
        let best = tiers.best(Service::Transactions);
        let direct = best.filter(|id| tiers.kind(id) != Some(Kind::Peer));
        let (Some(id), Ok(client)) = (direct, line::client()) else { return false };
        self.routes.answers(&client, &id).await
    }

    /// Takes what a neighbour has accepted and answers with what has come of it so far.
    pub async fn receive(
        &self,
        caller: &NodeId,
        request: SettleRequest,
    ) -> Result<SettleAnswer, Problem> {
        let SettleRequest { node, envelopes, origins } = request;
        if node != *caller {
            let detail = format!("box {caller} may not speak for {node}");
            return Err(Problem::new(Code::Forbidden, detail));
        }
        check_size(&envelopes)?;
        if !self.is_open().await {
            return Err(Problem::new(Code::Busy, "this box does not reach head office either"));
        }
        let origins: BTreeMap<TxKey, Receipt> =
            origins.into_iter().map(|origin| (origin.key, origin)).collect();
        let stopped = self.stopped(&envelopes).await?;
        let origins = &origins;
        let taken = envelopes.into_iter().zip(stopped).map(|(envelope, before)| async move {
            match before {
                Some(before) => {
                    let detail = format!("transaction {before} has to be settled first");
                    (envelope.key, Err(Problem::new(Code::DependencyMissing, detail)))
                }
                None => self.take(envelope, origins).await,
            }
        });
        let taken: Vec<(TxKey, Result<(), Problem>)> = join_all(taken).await;
        let answers = taken.into_iter().map(|(key, taken)| self.answer(key, taken));
        Ok(SettleAnswer { answers: join_all(answers).await })
    }

    /// The main server's receipt, if it came this way.
    pub async fn receipt(&self, key: TxKey) -> Result<Option<Receipt>, Problem> {
        Ok(self.outbox.known(key).await?.settled.map(|settled| settled.receipt))
    }

    /// For each of a batch, what stands before it, has to be settled before it, and was refused.
    async fn stopped(&self, envelopes: &[Envelope]) -> Result<Vec<Option<TxKey>>, Problem> {
        let named: Vec<_> = envelopes.iter().map(|one| (one.key, one.digest())).collect();
        let refused = self.outbox.look(move |keeper| {
            named.iter().map(|(key, digest)| keeper.has_returned(key, digest)).collect::<Vec<_>>()
        });
        let refused = refused.await?;
        let mut untaken: Vec<&Envelope> = Vec::new();
        let stopped = envelopes.iter().zip(refused).map(|(envelope, is_refused)| {
            let before = untaken.iter().find(|before| envelope.waits_for(before));
            let before = before.map(|before| before.key);
            if is_refused || before.is_some() {
                untaken.push(envelope);
            }
            before
        });
        Ok(stopped.collect())
    }

    async fn take(
        &self,
        envelope: Envelope,
        origins: &BTreeMap<TxKey, Receipt>,
    ) -> (TxKey, Result<(), Problem>) {
        let (key, digest) = (envelope.key, envelope.digest());
        let origin = origins.get(&key).filter(|origin| origin.digest == digest).cloned();
        let Some(origin) = origin else {
            let detail = format!("field origins: no receipt for transaction {key}");
            return (key, Err(Problem::new(Code::FieldInvalid, detail)));
        };
        let taken = if origin.node == *self.outbox.node() {
            self.outbox.accept(envelope).await
        } else {
            self.outbox.accept_guest(envelope, origin).await
        };
        (key, taken.map(|_| ()))
    }

    async fn answer(&self, key: TxKey, taken: Result<(), Problem>) -> KeyedAnswer {
        let answer = match taken {
            Ok(()) => match tokio::time::timeout(SETTLED_WITHIN, self.outbox.settled(key)).await {
                Ok(Ok(receipt)) => Answer::Taken { receipt },
                Ok(Err(_)) | Err(_) => {
                    let detail = format!("transaction {key} is held by {}", self.outbox.node());
                    Answer::Later { problem: Problem::new(Code::PassedOn, detail) }
                }
            },
            Err(problem) if problem.retryable => Answer::Later { problem },
            Err(problem) => Answer::Refused { problem },
        };
        KeyedAnswer { key, answer }
    }
}

fn check_size(envelopes: &[Envelope]) -> Result<(), Problem> {
    if envelopes.len() > BATCH_ENVELOPES_MAX {
        let count = envelopes.len();
        let detail = format!("batch has {count} transactions, the limit is {BATCH_ENVELOPES_MAX}");
        return Err(Problem::new(Code::TooLarge, detail));
    }
    let bytes: usize = envelopes.iter().map(|envelope| envelope.canonical().len()).sum();
    if bytes > BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX {
        let detail = format!("batch is {bytes} bytes, the limit is {BATCH_BYTES_MAX}");
        return Err(Problem::new(Code::TooLarge, detail));
    }
    Ok(())
}
