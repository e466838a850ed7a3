//! Copies of what neighbours hold, kept until head office has it: what a sale stands on when its box burns.
//!
//! They lie in a journal of their own and are never sent from here: they are for the box that sold them, or for the one
//! that takes its place.
//! One owner thread; a copy is answered for when it is on the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{NodeId, TxKey};
use storebox_proto::limits::COPIES_MAX;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::Meta;
use storebox_proto::ticket::{Envelope, Receipt};
use tokio::sync::{mpsc, oneshot};

use super::refusals::not_stored;
use crate::blocking::beside;
use crate::journal::record::CHECKPOINT;
use crate::journal::{
    self, CommitError, Group, Journal, Location, Look, OpenError, Owner, Reader, RealDisk, Replayed,
};

const HELD: u8 = 1;
const RELEASED: u8 = 2;
/// Copies on one page.
pub const PAGE_MAX: usize = 100;

/// A copy on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// What the box said that accepted it.
    pub receipt: Receipt,
    /// Its content.
    pub envelope: Envelope,
}

/// Copies that are no longer needed.
#[derive(Debug, Serialize, Deserialize)]
struct Released {
    node: NodeId,
    keys: Vec<TxKey>,
}

enum Command {
    Hold {
        node: NodeId,
        copies: Vec<(TxKey, Vec<u8>)>,
        answer: oneshot::Sender<Result<(), Problem>>,
    },
    Release {
        node: NodeId,
        keys: Vec<TxKey>,
        answer: oneshot::Sender<Result<(), Problem>>,
    },
    Look(Look<Keeper>),
    Stop,
}

type Places = BTreeMap<(NodeId, TxKey), Location>;

struct Keeper {
    places: Places,
    pending: Vec<Pending>,
    later: Vec<Command>,
    reader: Reader,
    is_stopping: bool,
}

struct Pending {
    held: Vec<((NodeId, TxKey), usize)>,
    released: Vec<(NodeId, TxKey)>,
    answer: Option<oneshot::Sender<Result<(), Problem>>>,
}

/// All copies; a cheap handle.
#[derive(Clone)]
pub struct Copies {
    sender: mpsc::Sender<Command>,
    reader: Reader,
}

/// Copies that are open.
pub struct CopiesOpened {
    /// The handle.
    pub copies: Copies,
    /// What was wrong on the disk.
    pub incidents: Vec<String>,
    /// The thread; it ends after [`Copies::stop`].
    pub thread: JoinHandle<()>,
}

/// Why copies cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CopiesOpenError {
    /// The journal cannot be opened.
    #[error("open the journal of neighbours' copies")]
    Journal(#[from] OpenError),
    /// The system gives no thread.
    #[error("start the thread of neighbours' copies")]
    Thread(#[source] std::io::Error),
}

impl Copies {
    /// Opens the copies in a directory.
    pub fn open(dir: &Path) -> Result<CopiesOpened, CopiesOpenError> {
        let (mut places, mut incidents) = (Places::new(), Vec::new());
        let options = journal::Options::default();
        let mut take = |record: Replayed<'_>| {
            if let Err(problem) = replay(&mut places, &record) {
                incidents.push(format!("copy {}: {problem}", record.location.sequence));
            }
        };
        let opened = Journal::open(Arc::new(RealDisk), dir, options, 0, &mut take)?;
        incidents.append(&mut opened.told());
        let mut journal = opened.journal;
        places.values().for_each(|location| journal.claim(location));
        let reader = journal.reader();
        let keeper = Keeper {
            places,
            pending: Vec::new(),
            later: Vec::new(),
            reader: reader.clone(),
            is_stopping: false,
        };
        let (sender, thread) =
            journal::start("copies", keeper, journal).map_err(CopiesOpenError::Thread)?;
        Ok(CopiesOpened { copies: Self { sender, reader }, incidents, thread })
    }

    /// Keeps copies for a neighbour; they are on the disk when this returns.
    pub async fn hold(&self, node: NodeId, copies: Vec<Copy>) -> Result<(), Problem> {
        let mut encoded = Vec::with_capacity(copies.len());
        for copy in copies {
            let refuse = |detail: &str| Err(Problem::new(Code::FieldInvalid, detail));
            if copy.receipt.digest != copy.envelope.digest() || copy.receipt.node != node {
                return refuse("field copies: a receipt is not that of its envelope and box");
            }
            let bytes = serde_json::to_vec(&copy).expect("plain data with string keys");
            encoded.push((copy.envelope.key, bytes));
        }
        self.ask(|answer| Command::Hold { node, copies: encoded, answer }).await?
    }

    /// Lets copies go that head office has.
    pub async fn release(&self, node: NodeId, keys: Vec<TxKey>) -> Result<(), Problem> {
        self.ask(|answer| Command::Release { node, keys, answer }).await?
    }

    /// Keys of a neighbour's copies behind this one, in order.
    pub async fn keys(&self, node: NodeId, after: Option<TxKey>) -> Result<Vec<TxKey>, Problem> {
        self.look(move |keeper| {
            let of = keeper.of(&node, after).map(|((_, key), _)| *key);
            of.take(super::relay::KEYS_MAX).collect()
        })
        .await
    }

    /// A page of a neighbour's copies behind this key; reads the disk.
    pub async fn page(&self, node: NodeId, after: Option<TxKey>) -> Result<Vec<Copy>, Problem> {
        let found: Vec<Location> = self
            .look(move |keeper| {
                keeper.of(&node, after).take(PAGE_MAX).map(|(_, location)| *location).collect()
            })
            .await?;
        let reader = self.reader.clone();
        let read = beside(move || {
            let read = found.iter().filter_map(|location| reader.read(location).ok());
            read.filter_map(|body| serde_json::from_slice(&body).ok()).collect()
        });
        Ok(read.await)
    }

    /// How many copies there are in all.
    pub async fn count(&self) -> Option<u64> {
        self.look(|keeper| keeper.places.len() as u64).await.ok()
    }

    /// Finishes what is being written and ends the thread.
    pub async fn stop(&self) {
        let _ = self.sender.send(Command::Stop).await;
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Keeper) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        journal::look(&self.sender, Command::Look, look).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Problem> {
        journal::ask(&self.sender, command).await
    }
}

fn replay(places: &mut Places, record: &Replayed<'_>) -> Result<(), String> {
    match record.kind {
        HELD => {
            let copy: Copy = serde_json::from_slice(record.body).map_err(|e| e.to_string())?;
            places.insert((copy.receipt.node, copy.envelope.key), record.location);
        }
        RELEASED => {
            let released: Released =
                serde_json::from_slice(record.body).map_err(|e| e.to_string())?;
            for key in released.keys {
                places.remove(&(released.node.clone(), key));
            }
        }
        CHECKPOINT => {}
        kind => return Err(format!("kind {kind} is not known")),
    }
    Ok(())
}

impl Keeper {
    fn of(
        &self,
        node: &NodeId,
        after: Option<TxKey>,
    ) -> impl Iterator<Item = (&(NodeId, TxKey), &Location)> {
        let first = after.unwrap_or(TxKey(uuid::Uuid::nil()));
        let from = self.places.range((node.clone(), first)..);
        let node = node.clone();
        let of = from.take_while(move |((owner, _), _)| *owner == node);
        of.filter(move |((_, key), _)| Some(*key) != after)
    }

    fn finish(&mut self, pending: Pending, locations: &[Location], journal: &mut Journal) {
        for (name, index) in pending.held {
            journal.claim(&locations[index]);
            if let Some(old) = self.places.insert(name, locations[index]) {
                journal.forget(&old);
            }
        }
        for name in pending.released {
            if let Some(old) = self.places.remove(&name) {
                journal.forget(&old);
            }
        }
        if let Some(answer) = pending.answer {
            let _ = answer.send(Ok(()));
        }
    }
}

impl Owner for Keeper {
    type Command = Command;

    fn take(&mut self, command: Command, group: &mut Group) {
        match command {
            Command::Hold { node, copies, answer } => {
                if self.places.len() + copies.len() > COPIES_MAX {
                    let detail = "this box keeps as many copies as it can";
                    let _ = answer.send(Err(Problem::new(Code::StorageFull, detail)));
                    return;
                }
                let new = copies
                    .into_iter()
                    .filter(|(key, _)| !self.places.contains_key(&(node.clone(), *key)));
                let push = |(key, bytes): (TxKey, Vec<u8>)| {
                    ((node.clone(), key), group.push(HELD, &[&bytes]))
                };
                let held = new.map(push).collect();
                self.pending.push(Pending { held, released: Vec::new(), answer: Some(answer) });
            }
            Command::Release { node, keys, answer } => {
                let released = keys.iter().map(|key| (node.clone(), *key)).collect();
                let bytes = serde_json::to_vec(&Released { node, keys }).expect("plain data");
                group.push_release(RELEASED, &[&bytes]);
                self.pending.push(Pending { held: Vec::new(), released, answer: Some(answer) });
            }
            Command::Look(_) | Command::Stop => self.later.push(command),
        }
    }

    fn done(&mut self, written: Result<Vec<Location>, CommitError>, journal: &mut Journal) {
        for pending in std::mem::take(&mut self.pending) {
            match &written {
                Ok(locations) => self.finish(pending, locations, journal),
                Err(error) => {
                    if let Some(answer) = pending.answer {
                        let _ = answer.send(Err(not_stored(error)));
                    }
                }
            }
        }
        for command in std::mem::take(&mut self.later) {
            match command {
                Command::Look(look) => look(self),
                Command::Stop => self.is_stopping = true,
                Command::Hold { .. } | Command::Release { .. } => {
                    unreachable!("commands that write are taken into the group")
                }
            }
        }
    }

    fn checkpoint(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn rewrite(&mut self, segment: u64, group: &mut Group) {
        let within = self.places.iter().filter(|(_, location)| location.segment == segment);
        let mut held = Vec::new();
        for (name, location) in within {
            let Ok(body) = self.reader.read(location) else { continue };
            held.push((name.clone(), group.push(HELD, &[&body])));
        }
        self.pending.push(Pending { held, released: Vec::new(), answer: None });
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping
    }
}

/// What a stored envelope is, for those who send it.
pub(super) fn copy_of(envelope: &Bytes, receipt: Receipt) -> Option<Copy> {
    Meta::read(envelope).ok().filter(|meta| meta.digest == receipt.digest)?;
    Some(Copy { receipt, envelope: Envelope::parse(envelope).ok()? })
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples::{key, sale, signer};
    use super::*;
    use storebox_proto::ticket::Grade;
    use storebox_proto::time::Timestamp;

    fn copy(node: &NodeId, number: u64) -> Copy {
        let envelope = sale(number, 1, number, 50);
        let (at, signer) = (Timestamp::from_unix_ms(1), signer(1));
        let (key, digest) = (envelope.key, envelope.digest());
        let receipt = Receipt::state(key, digest, Grade::Held, node, number, at).sign(&signer);
        Copy { receipt, envelope }
    }

    #[tokio::test]
    async fn copies_are_there_after_a_restart_until_they_are_released() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two): (NodeId, NodeId) = ("box1".parse().unwrap(), "box2".parse().unwrap());
        let opened = Copies::open(dir.path()).unwrap();
        let copies: Vec<Copy> = (1..=3).map(|number| copy(&one, number)).collect();
        opened.copies.hold(one.clone(), copies.clone()).await.unwrap();
        opened.copies.hold(one.clone(), copies.clone()).await.unwrap();
        opened.copies.hold(two.clone(), vec![copy(&two, 9)]).await.unwrap();
        opened.copies.release(one.clone(), vec![key(2)]).await.unwrap();
        opened.copies.stop().await;
        opened.thread.join().unwrap();
        let again = Copies::open(dir.path()).unwrap();
        assert!(again.incidents.is_empty(), "{:?}", again.incidents);
        let kept = again.copies.page(one.clone(), None).await.unwrap();
        assert_eq!(kept, [copies[0].clone(), copies[2].clone()]);
        assert_eq!(again.copies.keys(one.clone(), Some(key(1))).await.unwrap(), [key(3)]);
        assert_eq!(again.copies.keys(two, None).await.unwrap(), [key(9)]);
        let forged = Copy { envelope: sale(7, 1, 7, 1), ..copies[0].clone() };
        assert!(again.copies.hold(one, vec![forged]).await.is_err());
        assert_eq!(again.copies.count().await, Some(3));
    }
}
