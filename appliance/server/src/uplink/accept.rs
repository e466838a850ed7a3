//! The outbox of a box as the rest of the program sees it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};
use storebox_proto::ids::{NodeId, SinkId, TerminalId, TxKey, TxKind};
use storebox_proto::limits::ENVELOPE_BYTES_MAX;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{self, By, Have, Limits, Meta, SinkDef, SinksError, Summary};
use storebox_proto::ticket::{Envelope, EnvelopeError, Grade, Receipt, Statement};
use tokio::sync::{mpsc, oneshot, watch};

use super::command::{
    Accept, Act, Command, ConflictView, Entry, Given, Known, News, OutboxFigures, Progress, Taken,
};
use super::copies::{Copy, copy_of};
use super::documents::{Held, LocalDocuments, document_id};
use super::keeper::{Keeper, read_envelope};
use super::mirror::Mirror;
use super::replay::{self, Recovered};
use super::settled::SettledKeys;
use super::steps::Arrival;
use super::takeover::{Heritage, Hush, Quiet};
use crate::blocking::beside;
use crate::db::DiskError;
use crate::env;
use crate::journal::{self, Disk, Location, Reader, RealDisk};

/// How an outbox is set up.
#[derive(Clone)]
pub struct OutboxOptions {
    /// Its directory.
    pub dir: PathBuf,
    /// The disk underneath.
    pub disk: Arc<dyn Disk>,
    /// Sizes of the journal.
    pub journal: journal::Options,
    /// Bounds of what is held.
    pub limits: Limits,
    /// Where it all goes; exactly one is authoritative.
    pub sinks: Vec<SinkDef>,
    /// Kinds that go before others.
    pub urgent: Vec<TxKind>,
    /// Who signs receipts.
    pub node: NodeId,
    /// With which key.
    pub signer: SigningKey,
}

impl OutboxOptions {
    /// The usual sizes, on the real disk.
    pub fn new(dir: PathBuf, sinks: Vec<SinkDef>, node: NodeId, signer: SigningKey) -> Self {
        let (journal, limits) = (journal::Options::default(), Limits::default());
        let (disk, urgent) = (Arc::new(RealDisk), Vec::new());
        Self { dir, disk, journal, limits, sinks, urgent, node, signer }
    }
}

/// Why an outbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OutboxOpenError {
    /// The sinks do not fit together.
    #[error("use the configured sinks")]
    Sinks(#[from] SinksError),
    /// The journal cannot be opened.
    #[error("open the outbox journal")]
    Journal(#[from] journal::OpenError),
    /// Not even an empty map can be begun.
    #[error("open the memory of settled transactions")]
    Memory(#[from] DiskError),
    /// The system gives no thread.
    #[error("start the outbox thread")]
    Thread(#[source] std::io::Error),
}

/// An open outbox.
pub struct OutboxOpened {
    /// The handle.
    pub outbox: Outbox,
    /// What was created in this shop.
    pub documents: LocalDocuments,
    /// What was wrong, for the log and the console; what is readable is there.
    pub incidents: Vec<String>,
    /// The thread; it ends after [`Outbox::stop`].
    pub thread: JoinHandle<()>,
}

/// The outbox; cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    sender: mpsc::Sender<Command>,
    wake: watch::Sender<u64>,
    quiet: Quiet,
    pub(super) heritage: Heritage,
    reader: Reader,
    documents: LocalDocuments,
    node: NodeId,
    signer: Arc<SigningKey>,
    mirror: Option<Mirror>,
}

impl Outbox {
    /// Opens the outbox and starts its thread.
    pub fn open(options: OutboxOptions) -> Result<OutboxOpened, OutboxOpenError> {
        let OutboxOptions { dir, disk, journal, limits, sinks, urgent, node, signer } = options;
        let machine = outbox::Outbox::new(limits, sinks)?.with_urgent(urgent);
        let (settled, forgotten) = SettledKeys::open(&dir.join("settled"))?;
        let Recovered { machine, locations, documents: ids, conflicts, mut journal, mut incidents } =
            replay::recover(disk, &dir.join("journal"), journal, machine)?;
        let reader = journal.reader();
        let held = Held::default();
        let (documents, lost) =
            LocalDocuments::open(&dir.join("documents"), held.clone(), reader.clone())?;
        let rng = ChaCha8Rng::from_seed(env::random());
        let quiet = Quiet::default();
        let mut keeper = Keeper::new(machine, settled, held, reader.clone(), rng, quiet.clone());
        let lost = [forgotten, lost].into_iter().flatten();
        incidents.extend(lost.map(|error| format!("a memory was begun anew: {error}")));
        keeper.find(locations, ids, conflicts, &mut journal);
        let (wake, heritage) = (keeper.wake.clone(), Heritage::default());
        let (sender, thread) =
            journal::start("outbox", keeper, journal).map_err(OutboxOpenError::Thread)?;
        documents.prune();
        let signer = Arc::new(signer);
        let outbox = Self {
            sender,
            wake,
            quiet,
            heritage,
            reader,
            documents: documents.clone(),
            node,
            signer,
            mirror: None,
        };
        Ok(OutboxOpened { outbox, documents, incidents, thread })
    }

    /// Takes a transaction; the receipt comes after it is on the disk.
    pub async fn accept(&self, envelope: Envelope) -> Result<Receipt, Problem> {
        self.accept_as(envelope, None, false).await
    }

    /// Takes a transaction that a neighbour has accepted, to pass it on.
    pub(super) async fn accept_guest(
        &self,
        envelope: Envelope,
        receipt: Receipt,
    ) -> Result<Receipt, Problem> {
        self.accept_as(envelope, Some(receipt), false).await
    }

    pub(super) async fn accept_as(
        &self,
        envelope: Envelope,
        guest: Option<Receipt>,
        adopted: bool,
    ) -> Result<Receipt, Problem> {
        let arrival = Arrival::of(&envelope, guest.as_ref());
        let outcome = self.take(envelope, guest, adopted).await;
        if let Some(arrival) = arrival {
            arrival.end(&self.node, &outcome);
        }
        outcome
    }

    async fn take(
        &self,
        envelope: Envelope,
        guest: Option<Receipt>,
        adopted: bool,
    ) -> Result<Receipt, Problem> {
        envelope.check().map_err(|error| malformed(&error))?;
        let bytes = envelope.canonical();
        if bytes.len() > ENVELOPE_BYTES_MAX {
            let (bytes, max) = (bytes.len(), ENVELOPE_BYTES_MAX);
            return Err(malformed(&EnvelopeError::TooLarge { bytes, max }));
        }
        let meta = Meta::of(&envelope, &bytes);
        let document = guest.is_none().then(|| document_id(&envelope));
        let at = env::timestamp();
        let guest = guest.map(Box::new);
        let copied = self.mirror.as_ref().filter(|_| guest.is_none());
        let copied = copied.map(|mirror| (mirror, Bytes::from(bytes.clone())));
        let accept = |answer| Accept { meta, bytes, at, document, guest, adopted, answer };
        let told = self.ask(|answer| Command::Accept(accept(answer))).await??;
        let receipt = told.receipt(|taken| self.state(taken, Grade::Held), &self.signer);
        if let Some((mirror, envelope)) = copied
            && mirror.copy(envelope, &receipt).await
        {
            return Ok(self.state(told.taken(), Grade::Mirrored).sign(&self.signer));
        }
        Ok(receipt)
    }

    /// The same outbox, whose transactions are copied to a second node.
    pub fn mirrored_by(mut self, mirror: Mirror) -> Self {
        self.mirror = Some(mirror);
        self
    }

    /// What is held of this box's own, and where it is.
    pub(super) async fn open_entries(&self) -> Result<Vec<(Taken, Location)>, Problem> {
        self.look(|keeper| {
            let held = keeper.outbox.positions().filter(|at| keeper.outbox.is_own(*at));
            let held = held.filter_map(|position| {
                let (meta, _, at) = keeper.outbox.entry(position)?;
                let (key, digest) = (meta.key, meta.digest);
                Some((Taken { key, digest, position, at }, *keeper.locations.get(&position)?))
            });
            held.collect()
        })
        .await
    }

    /// Copies of these with this box's word for each, as far as the disk gives them.
    pub(super) async fn read_copies(&self, entries: &[(Taken, Location)]) -> Vec<Copy> {
        let (outbox, entries) = (self.clone(), entries.to_vec());
        let read = beside(move || {
            let copies = entries.into_iter();
            let copies = copies.filter_map(|(taken, location)| {
                let envelope = read_envelope(&outbox.reader, &location)?;
                copy_of(&envelope, outbox.sign(&taken))
            });
            copies.collect()
        });
        read.await
    }

    /// This box's word that it holds something, for whoever passes it on.
    pub(super) fn vouch(&self, item: &outbox::Item) -> Receipt {
        let outbox::Item { position, key, digest } = *item;
        self.sign(&Taken { key, digest, position, at: env::timestamp() })
    }

    pub(super) fn node(&self) -> &NodeId {
        &self.node
    }

    /// Waits until the main server has it.
    pub async fn settled(&self, key: TxKey) -> Result<Receipt, Problem> {
        self.ask(|answer| Command::Watch { key, answer }).await.map_err(|problem| {
            let busy = "too many callers wait for transactions to be settled";
            if self.sender.is_closed() { problem } else { Problem::new(Code::Busy, busy) }
        })
    }

    /// How far a transaction is.
    pub async fn progress(&self, key: TxKey) -> Result<Progress, Problem> {
        let known = self.known(key).await?;
        if let Some(settled) = known.settled {
            let super::settled::Settled { digest, position, at, receipt } = settled;
            let own = self.sign(&Taken { key, digest, position, at });
            let (grade, settled) = (receipt.grade, Some(receipt));
            return Ok(Progress { key, grade, receipt: own, settled });
        }
        let taken = self.look(move |keeper| {
            let position = keeper.outbox.position(&key)?;
            let (_, digest, at) = keeper.outbox.entry(position)?;
            Some(Taken { key, digest, position, at })
        });
        let taken = taken.await?.ok_or_else(|| unknown(&key))?;
        Ok(Progress { key, grade: Grade::Held, receipt: self.sign(&taken), settled: None })
    }

    /// What is known of a key.
    pub async fn known(&self, key: TxKey) -> Result<Known, Problem> {
        self.look(move |keeper| Known {
            summary: keeper.outbox.position(&key).and_then(|at| keeper.outbox.summary(at)),
            settled: keeper.settled.get(&key),
        })
        .await
    }

    /// Which numbers of a terminal have arrived, and which are missing.
    pub async fn have(&self, terminal: TerminalId) -> Result<Vec<Have>, Problem> {
        self.look(move |keeper| keeper.outbox.have(&terminal)).await
    }

    /// What persons did lately, the oldest first.
    pub async fn audit(&self) -> Result<Vec<outbox::Audit>, Problem> {
        self.look(|keeper| keeper.outbox.audit().cloned().collect()).await
    }

    /// What was given up and is still kept, the oldest first.
    pub async fn given_up(&self) -> Result<Vec<Summary>, Problem> {
        self.look(|keeper| {
            let given_up = keeper.outbox.given_up();
            given_up.filter_map(|position| keeper.outbox.summary(position)).collect()
        })
        .await
    }

    /// What is held, behind this position.
    pub async fn list(
        &self,
        after: u64,
        quarantined: bool,
        count_max: usize,
    ) -> Result<Vec<Summary>, Problem> {
        self.look(move |keeper| keeper.outbox.list(after, quarantined, count_max)).await
    }

    /// One transaction with its content.
    pub async fn show(&self, key: TxKey) -> Result<Entry, Problem> {
        let found = self.look(move |keeper| {
            let position = keeper.outbox.position(&key)?;
            let summary = keeper.outbox.summary(position)?;
            let audit = keeper.outbox.audit().filter(|audit| audit.key == key).cloned().collect();
            Some((summary, audit, keeper.locations.get(&position).copied()))
        });
        let (summary, audit, location) = found.await?.ok_or_else(|| unknown(&key))?;
        let envelope = location.and_then(|location| read_envelope(&self.reader, &location));
        let envelope = envelope.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Entry { summary, envelope: envelope.unwrap_or(Value::Null), audit })
    }

    /// Envelopes that contradict others.
    pub async fn conflicts(&self) -> Result<Vec<ConflictView>, Problem> {
        let found = self.look(|keeper| {
            let conflicts = keeper.outbox.conflicts();
            let place = |number| keeper.conflict_locations.get(&number).copied();
            conflicts.map(|conflict| (conflict.clone(), place(conflict.number))).collect::<Vec<_>>()
        });
        let view = |(conflict, location): (outbox::Conflict, Option<_>)| {
            let envelope = location.and_then(|location| read_envelope(&self.reader, &location));
            let envelope = envelope.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            ConflictView {
                number: conflict.number,
                code: conflict.code,
                at: conflict.at,
                key: conflict.meta.key,
                envelope: envelope.unwrap_or(Value::Null),
            }
        };
        Ok(found.await?.into_iter().map(view).collect())
    }

    /// Offers a refused transaction again, or lets a cash-up go without missing numbers.
    pub async fn retry(&self, key: TxKey, by: By) -> Result<(), Problem> {
        self.act(Act::Retry(key), by).await
    }

    /// Gives a refused transaction another payload and offers it again.
    pub async fn repair(
        &self,
        key: TxKey,
        payload: Map<String, Value>,
        by: By,
    ) -> Result<(), Problem> {
        let entry = self.show(key).await?;
        let unreadable = |error: serde_json::Error| {
            Problem::new(Code::Internal, format!("transaction {key} cannot be read: {error}"))
        };
        let mut envelope: Envelope = serde_json::from_value(entry.envelope).map_err(unreadable)?;
        envelope.payload = payload;
        let bytes = envelope.canonical();
        if bytes.len() > ENVELOPE_BYTES_MAX {
            let (bytes, max) = (bytes.len(), ENVELOPE_BYTES_MAX);
            return Err(malformed(&EnvelopeError::TooLarge { bytes, max }));
        }
        let meta = Meta::of(&envelope, &bytes);
        self.act(Act::Repair { meta: Box::new(meta), bytes: bytes.into() }, by).await
    }

    /// Gives a refused transaction up: it will never be settled, and stops nothing any more.
    pub async fn give_up(&self, key: TxKey, by: By) -> Result<(), Problem> {
        self.act(Act::GiveUp(key), by).await
    }

    /// A person has dealt with a contradicting envelope.
    pub async fn dismiss(&self, number: u64, by: By) -> Result<(), Problem> {
        self.act(Act::Dismiss(number), by).await
    }

    /// The outbox in numbers.
    pub async fn figures(&self) -> Result<OutboxFigures, Problem> {
        self.look(Keeper::figures).await
    }

    /// Finishes what is being written and ends the thread; later calls are told that the box stops.
    pub async fn stop(&self) {
        let _ = self.sender.send(Command::Stop).await;
    }

    /// Moves with everything that changes the outbox.
    pub fn wake(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    pub(super) fn documents(&self) -> LocalDocuments {
        self.documents.clone()
    }

    /// Offers no sink anything as long as this is held.
    pub fn hush(&self) -> Hush {
        Hush::begin(&self.quiet, &self.wake)
    }

    pub(super) async fn poll(&self, sink: &SinkId) -> Result<Given, Problem> {
        let (sink, now) = (sink.clone(), env::instant());
        self.ask(|answer| Command::Poll { sink, now, answer }).await
    }

    pub(super) async fn report(&self, sink: &SinkId, news: News) -> Result<(), Problem> {
        let (sink, now) = (sink.clone(), env::instant());
        self.ask(|answer| Command::Report { sink, news, now, answer }).await
    }

    async fn act(&self, act: Act, by: By) -> Result<(), Problem> {
        self.ask(|answer| Command::Act { act, by, answer }).await?
    }

    pub(super) async fn look<T: Send + 'static>(
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

    fn sign(&self, taken: &Taken) -> Receipt {
        self.state(taken, Grade::Held).sign(&self.signer)
    }

    fn state(&self, taken: &Taken, grade: Grade) -> Statement {
        let Taken { key, digest, position, at } = *taken;
        let statement = Receipt::state(key, digest, grade, &self.node, position, at);
        statement.by_clock(env::clock_confidence())
    }
}

fn malformed(error: &EnvelopeError) -> Problem {
    let code = match error {
        EnvelopeError::TooLarge { .. } => Code::TooLarge,
        EnvelopeError::Malformed(_) => Code::BodyMalformed,
        EnvelopeError::Field { .. } => Code::FieldInvalid,
    };
    Problem::new(code, error.to_string())
}

fn unknown(key: &TxKey) -> Problem {
    Problem::new(Code::TransactionUnknown, format!("transaction {key} is not known to this box"))
}
