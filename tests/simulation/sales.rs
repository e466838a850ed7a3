//! A box's transactions: a journal that survives crashes and the machine that sends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use storebox_proto::ids::TxKey;
use storebox_proto::ticket::settle::KeyedAnswer;
use storebox_proto::ticket::{Envelope, Receipt};
use storebox_proto::time::Timestamp;

use crate::net::Message;

/// The sales side of one box.
pub(crate) struct Sales {
    journal: BTreeMap<TxKey, Envelope>,
    done: BTreeSet<TxKey>,
}

impl Sales {
    pub(crate) fn start(_number: usize, _now: Instant) -> Self {
        Self { journal: BTreeMap::new(), done: BTreeSet::new() }
    }
    pub(crate) fn append(&mut self, _envelope: Envelope, _clock: Timestamp) -> bool {
        false
    }
    pub(crate) fn flushed(&mut self, _now: Instant) -> Vec<TxKey> {
        vec![]
    }
    pub(crate) fn requests(&mut self, _now: Instant) -> Vec<Message> {
        vec![]
    }
    pub(crate) fn settled_batch(&mut self, _batch: u64, _answers: Vec<KeyedAnswer>, _now: Instant) {
    }
    pub(crate) fn told(&mut self, _key: TxKey, _receipt: Option<Receipt>, _now: Instant) {}
    pub(crate) fn timeout(&mut self, _now: Instant) {}
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        None
    }
    pub(crate) fn crash(&mut self, _rng: &mut ChaCha8Rng) {}
    pub(crate) fn restart(&mut self, _now: Instant) {}
    pub(crate) fn take_changed(&mut self) -> bool {
        false
    }
    pub(crate) fn holds(&self, key: &TxKey) -> bool {
        self.journal.contains_key(key)
    }
    pub(crate) fn settled(&self) -> impl Iterator<Item = &TxKey> {
        self.done.iter()
    }
    pub(crate) fn is_empty(&self) -> bool {
        true
    }
    pub(crate) fn summary(&self) -> String {
        String::new()
    }
}
