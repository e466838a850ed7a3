//! Hooks after the commit: written down before it, run when it is there, repeated until they succeed.
//!
//! ```text
//! written down ─▶ committed? ─ no ─▶ forgotten
//!                     │ yes: written beside it
//!                     ▼
//!                    due ──ran──▶ forgotten
//!                   ▲    │
//!             later └────┤ cannot be asked: for ever, ever more seldom
//!                        │ refuses or fails: a few times
//!                        ▼
//!                       dead ─▶ a person: retry, drop
//! ```
//!
//! Invariants:
//! - a file each, on disk before the transaction is; a crash at any point loses none and invents none;
//! - a hook that hangs or is away delays only itself;
//! - that a transaction is there is proven once and kept: the outbox forgets what is settled long ago;
//! - what cannot be looked up says nothing: only a hook that is known not to be defined is forgotten;
//! - nothing here can refuse or delay a sale beyond the writing of one small file.

mod folder;
mod slots;

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storebox_proto::estate::channel::Hook;
use storebox_proto::ids::TxKey;
use storebox_proto::time::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::engine::{Chain, ChainFault, Facts, Runner};
use crate::blocking::beside;
use crate::env;
use crate::uplink::Outbox;

use folder::Folder;
use slots::{PAUSE_MAX, Slot, Slots, State, WAITING_MAX};

/// How long what waits rests while no definitions can be read.
const UNDEFINED_PAUSE: Duration = Duration::from_secs(10);
/// How often a hook is tried that refuses or fails.
const TRIES_MAX: u32 = 5;
/// The first pause; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// One hook that is to run, as it is on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Errand {
    /// The transaction.
    pub key: TxKey,
    /// The hook.
    pub hook: String,
    /// When it was written down.
    pub at: Timestamp,
    /// What the hook is told of the call.
    pub facts: Facts,
    /// What it is about.
    pub object: Value,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The transaction is known to be there.
    #[serde(default)]
    pub is_proven: bool,
    /// It waits for a person.
    #[serde(default)]
    pub is_dead: bool,
}

/// What waits, for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// By which it is retried or dropped.
    pub id: String,
    /// What waits.
    #[serde(flatten)]
    pub errand: Errand,
}

/// No errand has this id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no hook waits under {0:?}")]
pub struct NoErrand(pub String);

/// Hooks after the commit; cheap to clone.
#[derive(Clone)]
pub struct Afterwards {
    inner: Arc<Inner>,
}

struct Inner {
    folder: Folder,
    slots: Mutex<Slots>,
    /// Something is to be proven.
    committed: Notify,
    /// Something is due.
    moved: Notify,
    missed: AtomicU64,
}

impl Afterwards {
    /// What waits in this directory; after a start, every commit is looked up again.
    pub fn open(dir: &Path) -> std::io::Result<Self> {
        Self::bounded(dir, WAITING_MAX)
    }

    /// Likewise, with room for so many.
    fn bounded(dir: &Path, waiting_max: usize) -> std::io::Result<Self> {
        let (folder, errands) = Folder::open(dir)?;
        let now = env::instant();
        let slots = errands.into_iter().map(|(id, errand)| {
            let state = match (errand.is_dead, errand.is_proven) {
                (true, _) => State::Dead,
                (false, true) => State::Due { at: now },
                (false, false) => State::Committed,
            };
            (id, Slot { key: errand.key, hook: errand.hook, at: errand.at, state })
        });
        let inner = Inner {
            folder,
            slots: Mutex::new(Slots::new(slots, waiting_max)),
            committed: Notify::new(),
            moved: Notify::new(),
            missed: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Writes a hook down before the commit, where so many hooks are defined; what cannot be written is named and costs
    /// the call nothing.
    pub(super) async fn write_down(
        &self,
        hook: &Hook,
        facts: Facts,
        object: &Value,
        key: TxKey,
        hooks: usize,
    ) {
        let id = folder::name(key, &hook.id);
        let at = env::timestamp();
        let slot = Slot { key, hook: hook.id.clone(), at, state: State::Open };
        let admitted = self.slots().admit(id.clone(), slot, hooks);
        if let Err(full) = admitted {
            let missed = self.inner.missed.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!(hook = %hook.id, %key, missed, error = %full, "too many hooks wait, this one is not kept");
            return;
        }
        let errand = Errand {
            key,
            hook: hook.id.clone(),
            at,
            facts,
            object: object.clone(),
            attempts: 0,
            error: None,
            is_proven: false,
            is_dead: false,
        };
        if let Err(error) = self.store(&id, errand).await {
            self.slots().remove(&id);
            self.inner.missed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(hook = %hook.id, %key, %error, "a hook cannot be written down");
        }
    }

    /// The commit of a transaction is over: look what became of it.
    pub(super) fn look(&self, key: TxKey) {
        let first = folder::name(key, "");
        let first = first.split('.').next().unwrap_or_default();
        if self.slots().committed(first) {
            self.inner.committed.notify_one();
        }
    }

    /// The first of what waits, by transaction: blocking.
    pub fn list(&self, count_max: usize) -> Vec<Waiting> {
        let ids: Vec<String> = self.slots().ids().take(count_max).cloned().collect();
        let load = |id: String| Some(Waiting { errand: self.inner.folder.load(&id)?, id });
        ids.into_iter().filter_map(load).collect()
    }

    /// Hooks that could not be kept since the start.
    pub fn missed(&self) -> u64 {
        self.inner.missed.load(Ordering::Relaxed)
    }

    /// Those that wait, and those of them that wait for a person.
    pub fn count(&self) -> (usize, usize) {
        self.slots().count()
    }

    /// When the oldest of them was written down.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.slots().oldest()
    }

    /// A person wants one to be tried again now.
    pub async fn retry(&self, id: &str) -> Result<Errand, NoErrand> {
        let missing = || NoErrand(id.to_owned());
        let mut errand = self.load(id).await.ok_or_else(missing)?;
        (errand.attempts, errand.is_dead) = (0, false);
        if let Err(error) = self.store(id, errand.clone()).await {
            tracing::warn!(id, %error, "a hook cannot be written down");
        }
        self.slots().hasten(id, env::instant());
        self.inner.moved.notify_one();
        Ok(errand)
    }

    /// A person gives one up.
    pub async fn give_up(&self, id: &str) -> Result<Errand, NoErrand> {
        let errand = self.load(id).await.ok_or_else(|| NoErrand(id.to_owned()))?;
        self.forget(id).await;
        Ok(errand)
    }

    /// Runs what is due until the box stops; what is under way then runs again after the next start.
    pub async fn run(
        self,
        runner: Runner,
        book: Arc<Book>,
        outbox: Outbox,
        stop: CancellationToken,
    ) {
        let all = futures_util::future::join(self.prove_all(&outbox), self.run_all(&runner, &book));
        let _ = stop.run_until_cancelled(all).await;
    }

    /// Looks up what became of each commit that is over, and writes it down.
    async fn prove_all(&self, outbox: &Outbox) {
        loop {
            let unproven = self.slots().unproven();
            for (id, key) in unproven {
                match outbox.known(key).await {
                    Ok(known) if known.summary.is_none() && known.settled.is_none() => {
                        tracing::info!(%key, "the transaction of a hook was not committed");
                        self.forget(&id).await;
                    }
                    Ok(_) => self.proven(&id).await,
                    Err(error) => {
                        tracing::warn!(%key, %error, "the transaction of a hook cannot be looked up");
                        tokio::time::sleep(PAUSE_FIRST).await;
                        self.inner.committed.notify_one();
                    }
                }
            }
            self.inner.committed.notified().await;
        }
    }

    async fn proven(&self, id: &str) {
        let Some(mut errand) = self.load(id).await else { return self.forget(id).await };
        errand.is_proven = true;
        if let Err(error) = self.store(id, errand).await {
            tracing::warn!(id, %error, "a hook cannot be written down");
        }
        self.slots().set(id, later(Duration::ZERO));
        self.inner.moved.notify_one();
    }

    /// Runs what is due, one of each hook at a time, each as fast as its own code.
    async fn run_all(&self, runner: &Runner, book: &Book) {
        let (mut works, mut busy) = (FuturesUnordered::new(), BTreeSet::new());
        loop {
            let due = self.slots().due(env::instant(), &busy);
            for (id, key, hook) in due {
                busy.insert(hook.clone());
                works.push(self.work(id, key, runner, book).map(|()| hook));
            }
            let pause = self.slots().pause(env::instant(), &busy);
            let moved = tokio::time::timeout(pause, self.inner.moved.notified());
            let done = async {
                match works.next().await {
                    Some(hook) => hook,
                    None => std::future::pending().await,
                }
            };
            match select(pin!(moved), pin!(done)).await {
                Either::Left(_) => {}
                Either::Right((hook, _)) => {
                    busy.remove(&hook);
                }
            }
        }
    }

    async fn work(&self, id: String, key: TxKey, runner: &Runner, book: &Book) {
        let Some(errand) = self.load(&id).await else { return self.forget(&id).await };
        let definitions = book.definitions();
        let hook = definitions.hooks(&errand.facts.channel).find(|hook| hook.id == errand.hook);
        let Some(hook) = hook else {
            // Without any channel the estate cannot be read, and nothing follows from what it does not say.
            if definitions.channels().next().is_none() {
                return self.slots().rest(&errand.hook, env::instant() + UNDEFINED_PAUSE);
            }
            tracing::info!(hook = %errand.hook, %key, "a hook is no longer defined, what waits for it goes");
            return self.forget(&id).await;
        };
        let name = format!("hook {}", hook.id);
        let object = errand.object.clone();
        match runner.run(Chain::of_hook(&name, hook), &errand.facts, &id, object).await {
            Ok(_) => self.forget(&id).await,
            Err(fault) => self.failed(&id, errand, &fault).await,
        }
    }

    async fn failed(&self, id: &str, mut errand: Errand, fault: &ChainFault) {
        errand.attempts += 1;
        (errand.error, errand.is_proven) = (Some(fault.to_string()), true);
        errand.is_dead = match fault {
            ChainFault::Away(_) => false,
            ChainFault::Refused(_) | ChainFault::Broken(_) => errand.attempts >= TRIES_MAX,
        };
        let (attempts, is_dead) = (errand.attempts, errand.is_dead);
        let pause = PAUSE_FIRST * 2_u32.saturating_pow(attempts.min(16) - 1);
        let state = if is_dead { State::Dead } else { later(pause.min(PAUSE_MAX)) };
        tracing::warn!(hook = %errand.hook, key = %errand.key, correlation = errand.facts.correlation,
            attempts, is_dead, error = %fault, "a hook after the commit failed");
        let hook = errand.hook.clone();
        if let Err(error) = self.store(id, errand).await {
            tracing::warn!(id, %error, "a hook cannot be written down");
        }
        self.slots().set(id, state);
        if let (ChainFault::Away(_), State::Due { at }) = (fault, state) {
            self.slots().rest(&hook, at);
        }
    }

    async fn load(&self, id: &str) -> Option<Errand> {
        if !self.slots().contains(id) {
            return None;
        }
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        beside(move || inner.folder.load(&id)).await
    }

    async fn store(&self, id: &str, errand: Errand) -> std::io::Result<()> {
        let (inner, id) = (Arc::clone(&self.inner), id.to_owned());
        beside(move || inner.folder.store(&id, &errand)).await
    }

    async fn forget(&self, id: &str) {
        let (inner, name) = (Arc::clone(&self.inner), id.to_owned());
        if let Err(error) = beside(move || inner.folder.remove(&name)).await {
            tracing::warn!(id, %error, "a hook that ran cannot be removed, it will run again");
        }
        self.slots().remove(id);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.inner.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(pause: Duration) -> State {
    State::Due { at: env::instant() + pause }
}

#[cfg(test)]
mod tests;
