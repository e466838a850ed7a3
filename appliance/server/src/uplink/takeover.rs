//! Taking over what a box of this name had accepted, from the neighbour that has the copies.
//!
//! Copies come in the order of their keys, which is not the order in which they have to be settled; so nothing is sent
//! while they come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use storebox_proto::ids::TxKey;
use storebox_proto::limits::COPIES_MAX;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::{Envelope, Receipt};
use tokio::sync::watch;

use super::accept::Outbox;
use super::copies::Copy;
use super::mirror::call;
use super::routes::Route;

/// While copies are taken back, nothing is sent; but no longer than this, if the mirror does not give all of them.
pub const QUIET_MAX: Duration = Duration::from_secs(60);

/// Whether somebody has asked that no sink is offered anything.
#[derive(Clone, Default)]
pub(super) struct Quiet(Arc<AtomicUsize>);

impl Quiet {
    pub(super) fn is_kept(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// How many transactions were taken over since the outbox was opened, whoever brought them.
#[derive(Clone, Default)]
pub(super) struct Heritage(Arc<AtomicU64>);

/// While this is there, no sink is offered anything.
pub struct Hush {
    quiet: Quiet,
    wake: watch::Sender<u64>,
}

impl Hush {
    pub(super) fn begin(quiet: &Quiet, wake: &watch::Sender<u64>) -> Self {
        quiet.0.fetch_add(1, Ordering::SeqCst);
        Self { quiet: quiet.clone(), wake: wake.clone() }
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        self.quiet.0.fetch_sub(1, Ordering::SeqCst);
        self.wake.send_modify(|count| *count += 1);
    }
}

impl Outbox {
    /// Takes over what a mirror has of this box's, all of it or what is wanted; may be repeated.
    ///
    /// A copy that contradicts what is here is kept for a person, and keeps no other back; those are what it returns.
    pub async fn take_over(
        &self,
        client: &reqwest::Client,
        mirror: &Route,
        wanted: Option<&BTreeSet<TxKey>>,
    ) -> Result<BTreeSet<TxKey>, Problem> {
        let failed = || {
            let detail = "the neighbour does not answer, is none, or gives what cannot be";
            Problem::new(Code::SourceFailed, detail)
        };
        let (mut after, mut seen, mut contradict) = (None::<TxKey>, 0, BTreeSet::new());
        loop {
            let query = after.map(|key| format!("?after={key}")).unwrap_or_default();
            let path = format!("/sync/v1/mirror/{}/copies{query}", self.node());
            let page: Option<Vec<Copy>> =
                call(client, mirror, "GET", &path, Default::default()).await;
            let page = page.ok_or_else(failed)?;
            let Some(last) = page.last().map(|copy| copy.envelope.key) else {
                return Ok(contradict);
            };
            seen += page.len();
            if after.is_some_and(|after| last <= after) || seen > COPIES_MAX {
                return Err(failed());
            }
            after = Some(last);
            let is_wanted =
                |copy: &Copy| wanted.is_none_or(|keys| keys.contains(&copy.envelope.key));
            for copy in page.into_iter().filter(is_wanted) {
                let key = copy.envelope.key;
                match self.adopt(copy.envelope).await {
                    Ok(_) => {}
                    Err(problem) if problem.retryable => return Err(problem),
                    Err(problem) => {
                        tracing::error!(ticket = %key, %problem, "a copy contradicts what is here");
                        contradict.insert(key);
                    }
                }
            }
        }
    }

    /// Takes over one transaction.
    async fn adopt(&self, envelope: Envelope) -> Result<Receipt, Problem> {
        let (_, unknown) = self.sort_out(vec![envelope.key]).await?;
        let receipt = self.accept_as(envelope, None, true).await?;
        self.heritage.0.fetch_add(unknown.len() as u64, Ordering::SeqCst);
        Ok(receipt)
    }

    /// How many transactions were taken over since the box began: told to a person, who may come second.
    pub fn taken_over(&self) -> u64 {
        self.heritage.0.load(Ordering::SeqCst)
    }

    /// Which of these a box has done with, and which it knows nothing of.
    pub(super) async fn sort_out(
        &self,
        keys: Vec<TxKey>,
    ) -> Result<(Vec<TxKey>, BTreeSet<TxKey>), Problem> {
        self.look(move |keeper| {
            let is_known = |key: &TxKey| {
                keeper.outbox.position(key).is_some() || keeper.settled.get(key).is_some()
            };
            let (done, lost): (Vec<TxKey>, Vec<TxKey>) = keys.into_iter().partition(is_known);
            (done, lost.into_iter().collect())
        })
        .await
    }
}
