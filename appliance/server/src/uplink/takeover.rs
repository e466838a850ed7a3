//! Taking over what a box of this name had accepted, from the neighbour that has the copies.
//!
//! Copies come in the order of their keys, which is not the order in which they have to be settled; so nothing is sent
//! while they come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use storebox_proto::ids::TxKey;
use storebox_proto::problem::Problem;
use storebox_proto::ticket::{Envelope, Receipt};
use tokio::sync::watch;

use super::accept::Outbox;

/// While this is there, no sink is offered anything.
pub struct Hush {
    held: Arc<AtomicUsize>,
    wake: watch::Sender<u64>,
}

impl Hush {
    pub(super) fn begin(held: &Arc<AtomicUsize>, wake: &watch::Sender<u64>) -> Self {
        held.fetch_add(1, Ordering::SeqCst);
        Self { held: Arc::clone(held), wake: wake.clone() }
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        self.held.fetch_sub(1, Ordering::SeqCst);
        self.wake.send_modify(|count| *count += 1);
    }
}

impl Outbox {
    /// Takes over one transaction.
    pub async fn adopt(&self, envelope: Envelope) -> Result<Receipt, Problem> {
        self.accept_as(envelope, None, true).await
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
