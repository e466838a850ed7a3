//! A second node for what this box holds: a ticket is on both before the till hears of it, as far as that can be had.
//!
//! The mirror never stops a sale: when it does not answer in its time, the receipt says `held` instead of `mirrored`,
//! the status says that the mirror is lost, and what was missed is sent when it is back.
//! Both sides are compared by key again and again: what the mirror lacks is sent, what is settled is let go.
//! What the mirror has and this box knows nothing of is not let go but taken back: then it is this box that lost it, or
//! that took the place of one that burned.
//!
//! Dropped at an await, it has forgotten who waits for it; they are answered with `held`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storebox_proto::ids::{NodeId, SourceId, TxKey};
use storebox_proto::limits::COPIES_MAX;
use storebox_proto::ticket::Receipt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::accept::Outbox;
use super::copies::{Copy, copy_of};
use super::line;
use super::relay::KEYS_MAX;
use super::routes::{Route, Routes};
use super::takeover::{Hush, QUIET_MAX};
use crate::env;

/// Tickets that wait for the mirror; beyond that they are only held, and sent later.
const QUEUE_MAX: usize = 512;
/// Copies in one request.
const BATCH_MAX: usize = 64;
/// A request to the mirror takes no longer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How often both sides are compared.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// How often a lost mirror is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a box without terminals would say; it must not make the mirror forget those of the box before it.
const NO_TERMINALS: &[u8] = b"[]";

/// How the mirror is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorState {
    /// Whether it answered last time.
    pub up: bool,
    /// Transactions held here that it does not have, as far as is known.
    pub behind: u64,
}

/// A copy that somebody waits for.
struct Wanted {
    envelope: Bytes,
    receipt: Receipt,
    answer: oneshot::Sender<()>,
}

/// How the outbox speaks to the mirror; cheap to clone.
#[derive(Clone)]
pub struct Mirror {
    sender: mpsc::Sender<Wanted>,
    /// How long a till waits for it at most; nothing: not at all.
    wait: Option<Duration>,
    state: watch::Receiver<MirrorState>,
}

/// What the mirror needs to know of this box besides its transactions.
pub type Terminals = Arc<dyn Fn() -> Vec<u8> + Send + Sync>;

/// The task.
pub struct MirrorTask {
    outbox: Outbox,
    routes: Routes,
    peer: SourceId,
    client: reqwest::Client,
    wanted: mpsc::Receiver<Wanted>,
    state: watch::Sender<MirrorState>,
    terminals: Terminals,
    told: Vec<u8>,
    /// Whether it did not take the list when it was told last.
    is_untold: bool,
    taking: Taking,
    /// What the mirror has and this box cannot take: a person has been told.
    contradict: BTreeSet<TxKey>,
}

/// How far it is with what is taken back.
enum Taking {
    /// Nothing is, as far as is known.
    Idle,
    /// Not all of it came yet; nothing is sent.
    Quiet { since: Instant, _hush: Hush },
    /// It took too long: what is here is sent.
    Overdue,
}

enum Event {
    Wanted(Wanted),
    Compare,
    End,
}

impl Mirror {
    /// A mirror at this source, and the task that keeps it.
    pub fn new(
        outbox: Outbox,
        routes: Routes,
        peer: SourceId,
        wait: Option<Duration>,
        terminals: Terminals,
    ) -> Result<(Self, MirrorTask), reqwest::Error> {
        let (sender, wanted) = mpsc::channel(QUEUE_MAX);
        let (state, watched) = watch::channel(MirrorState::default());
        let (client, told) = (line::client()?, Vec::new());
        let (taking, contradict) = (Taking::Idle, BTreeSet::new());
        let task = MirrorTask {
            outbox,
            routes,
            peer,
            client,
            wanted,
            state,
            terminals,
            told,
            is_untold: false,
            taking,
            contradict,
        };
        Ok((Self { sender, wait, state: watched }, task))
    }

    /// How it is.
    pub fn state(&self) -> MirrorState {
        self.state.borrow().clone()
    }

    /// Whether the copy is there in time; it is sent in any case.
    pub(super) async fn copy(&self, envelope: Bytes, receipt: &Receipt) -> bool {
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted { envelope, receipt: receipt.clone(), answer };
        let waits = self.wait.filter(|_| self.state.borrow().up);
        if self.sender.try_send(wanted).is_err() {
            return false;
        }
        match waits {
            Some(wait) => matches!(tokio::time::timeout(wait, answered).await, Ok(Ok(()))),
            None => false,
        }
    }
}

impl MirrorTask {
    /// Keeps the mirror until the box stops.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.clone().run_until_cancelled(self.keep()).await;
    }

    async fn keep(&mut self) {
        let mut compare = tokio::time::interval(COMPARE_EVERY);
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let up = self.state.borrow().up;
            let event = tokio::select! {
                wanted = self.wanted.recv() => wanted.map_or(Event::End, Event::Wanted),
                _ = compare.tick(), if up => Event::Compare,
                _ = look.tick(), if !up => Event::Compare,
            };
            match event {
                Event::End => return,
                Event::Wanted(wanted) => self.send_wanted(wanted).await,
                Event::Compare => self.compare().await,
            }
        }
    }

    async fn send_wanted(&mut self, first: Wanted) {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX {
            let Ok(wanted) = self.wanted.try_recv() else { break };
            batch.push(wanted);
        }
        if !self.state.borrow().up {
            return;
        }
        let copies = batch.iter();
        let copies = copies.filter_map(|w| copy_of(&w.envelope, w.receipt.clone())).collect();
        if self.hold(copies).await {
            batch.into_iter().for_each(|wanted| {
                let _ = wanted.answer.send(());
            });
        } else {
            self.lost();
        }
    }

    fn lost(&mut self) {
        let was_up = self.state.borrow().up;
        // Another box may be there when it is back.
        self.told.clear();
        self.state.send_modify(|state| state.up = false);
        if was_up {
            tracing::warn!(tier = %self.peer, "mirror is lost: tickets are on this box alone");
        }
    }

    /// Sends what the mirror lacks and lets go what it need not keep.
    async fn compare(&mut self) {
        match self.try_compare().await {
            Some(behind) => {
                let was_up = self.state.borrow().up;
                self.state.send_replace(MirrorState { up: true, behind });
                if !was_up {
                    tracing::info!(tier = %self.peer, "mirror is there");
                }
            }
            None => self.lost(),
        }
    }

    async fn try_compare(&mut self) -> Option<u64> {
        let there = self.keys_there().await?;
        self.tell_terminals().await;
        let here = self.outbox.open_entries().await.ok()?;
        let keys: BTreeSet<TxKey> = here.iter().map(|(receipt, _)| receipt.key).collect();
        let surplus = there.difference(&keys).copied().collect();
        let (done, mut lost) = self.outbox.sort_out(surplus).await.ok()?;
        lost.retain(|key| !self.contradict.contains(key));
        for keys in done.chunks(KEYS_MAX) {
            self.release(keys).await?;
        }
        if !lost.is_empty() {
            self.take_back(&lost).await?;
        }
        self.taking = Taking::Idle;
        let missing: Vec<_> =
            here.into_iter().filter(|(receipt, _)| !there.contains(&receipt.key)).collect();
        for part in missing.chunks(BATCH_MAX) {
            let copies = self.outbox.read_copies(part).await;
            if !self.hold(copies).await {
                return None;
            }
        }
        Some(0)
    }

    /// Tells the mirror of the terminals, if it was not told of these; one that does not take the list keeps copies all
    /// the same, and is told again.
    async fn tell_terminals(&mut self) {
        let terminals = (self.terminals)();
        if terminals == self.told || terminals == NO_TERMINALS {
            return;
        }
        let is_told = self.put_terminals(&terminals).await.is_some();
        if !is_told && !self.is_untold {
            tracing::warn!(tier = %self.peer, "the mirror does not take the list of terminals");
        }
        self.is_untold = !is_told;
        if is_told {
            self.told = terminals;
        }
    }

    /// Takes back copies of what this box does not know; nothing of it is sent before all of it is here.
    async fn take_back(&mut self, lost: &BTreeSet<TxKey>) -> Option<()> {
        if matches!(self.taking, Taking::Idle) {
            let (since, _hush) = (env::instant(), self.outbox.hush());
            self.taking = Taking::Quiet { since, _hush };
        }
        let route = self.routes.get(&self.peer)?;
        let before = self.outbox.taken_over();
        let taken = self.outbox.take_over(&self.client, &route, Some(lost));
        let contradict = match &self.taking {
            Taking::Quiet { since, .. } => {
                let left = QUIET_MAX.saturating_sub(env::instant().duration_since(*since));
                tokio::time::timeout(left, taken).await
            }
            Taking::Idle | Taking::Overdue => Ok(taken.await),
        };
        let Ok(contradict) = contradict else {
            let tier = &self.peer;
            tracing::warn!(%tier, "the mirror does not give back all it has: what is here is sent");
            self.taking = Taking::Overdue;
            return None;
        };
        self.contradict.extend(contradict.ok()?);
        let count = self.outbox.taken_over() - before;
        tracing::warn!(count, tier = %self.peer, "transactions were missing here and taken back");
        Some(())
    }

    async fn keys_there(&self) -> Option<BTreeSet<TxKey>> {
        let (mut there, mut after) = (BTreeSet::new(), String::new());
        loop {
            let path = format!("/sync/v1/mirror/{}/keys{after}", self.node());
            let page: Vec<TxKey> = self.call("GET", &path, Bytes::new()).await?;
            let last = page.last().copied();
            let full = page.len() == KEYS_MAX;
            let wanted = there.len() + page.len();
            there.extend(page);
            // It gives the same again and again, or more than any box holds.
            if there.len() < wanted || wanted > COPIES_MAX {
                return None;
            }
            match last.filter(|_| full) {
                Some(last) => after = format!("?after={last}"),
                None => return Some(there),
            }
        }
    }

    async fn hold(&self, copies: Vec<Copy>) -> bool {
        let path = format!("/sync/v1/mirror/{}/copies", self.node());
        copies.is_empty() || self.post(&path, &copies).await.is_some()
    }

    async fn release(&self, keys: &[TxKey]) -> Option<()> {
        self.post(&format!("/sync/v1/mirror/{}/release", self.node()), &keys).await
    }

    async fn put_terminals(&self, terminals: &[u8]) -> Option<()> {
        let path = format!("/sync/v1/mirror/{}/terminals", self.node());
        let asks: String = self.call("GET", &format!("{path}/asks"), Bytes::new()).await?;
        let path = format!("{path}?asked={asks}");
        self.call::<u64>("PUT", &path, Bytes::copy_from_slice(terminals)).await.map(|_| ())
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Option<()> {
        let body = serde_json::to_vec(body).ok()?;
        self.call::<u64>("POST", path, body.into()).await.map(|_| ())
    }

    async fn call<A: DeserializeOwned>(&self, method: &str, path: &str, body: Bytes) -> Option<A> {
        let route = self.routes.get(&self.peer)?;
        call(&self.client, &route, method, path, body).await
    }

    fn node(&self) -> &NodeId {
        self.outbox.node()
    }
}

/// How boxes talk to each other.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    line::client()
}

/// One request to a neighbour that proves that it is one; nothing if it does not answer with success.
pub async fn call<A: DeserializeOwned>(
    client: &reqwest::Client,
    route: &Route,
    method: &str,
    path: &str,
    body: Bytes,
) -> Option<A> {
    let asked = line::ask_neighbour(client, route, method, path, body);
    let bytes = tokio::time::timeout(ANSWER_MAX, asked).await.ok()??;
    serde_json::from_slice(&bytes).ok()
}
