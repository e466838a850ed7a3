//! The task of one sink: read on in the ledger, deliver, keep the cursor, and wait.
//!
//! Dropped at an await, what was under way is delivered again at the next start.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storebox_proto::ids::SinkId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cursor::Shelf;
use super::target::{Target, TargetError};
use crate::pause::Pause;
use crate::spans::{self, Begun, Kind, Span, Step};
use crate::uplink::{Ledger, LedgerCursor, LedgerEntry, LedgerPage};

/// Transactions in one batch.
const BATCH_ENTRIES_MAX: usize = 256;
/// Their bytes, so that a batch passes every usual limit of a receiver.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The first wait after a failure; doubled each time.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A delivery that takes longer has failed.
const DELIVERY_MAX: Duration = Duration::from_secs(30);
/// A transaction that waits alone waits this long for company: fewer, larger batches.
const GATHER: Duration = Duration::from_millis(20);

/// A sink in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// The last position that its target has.
    pub position: u64,
    /// Transactions delivered since the box started.
    pub delivered: u64,
    /// Transactions for a person since the sink began: its target would not take them, or the ledger not give them.
    pub aside: u64,
    /// Why the last attempt failed; nothing if it did not.
    pub failing: Option<String>,
}

/// What a runner is made of.
pub struct RunnerOptions {
    /// Its name.
    pub id: SinkId,
    /// The kinds that it delivers; none are all.
    pub kinds: Vec<String>,
    /// Where it keeps its cursor.
    pub dir: PathBuf,
}

/// The task of one sink.
pub struct Runner {
    options: RunnerOptions,
    ledger: Ledger,
    target: Target,
    shelf: Shelf,
    cursor: LedgerCursor,
    figures: Arc<Mutex<Figures>>,
    news: watch::Receiver<u64>,
    pause: Pause,
}

impl Runner {
    /// A runner that is not running yet.
    pub fn new(options: RunnerOptions, ledger: Ledger, target: Target) -> std::io::Result<Self> {
        let (shelf, kept) = Shelf::open(&options.dir, options.id.as_str())?;
        if let Some(error) = kept.lost {
            let sink = &options.id;
            tracing::error!(%sink, error, "cursor is damaged, everything is delivered again");
        }
        let position = kept.cursor.position;
        let figures = Figures { position, aside: kept.aside, ..Figures::default() };
        let (figures, news) = (Arc::new(Mutex::new(figures)), ledger.news());
        let (cursor, pause) = (kept.cursor, Pause::new(RETRY_MIN, RETRY_MAX));
        Ok(Self { options, ledger, target, shelf, cursor, figures, news, pause })
    }

    /// What the status reads.
    pub fn figures(&self) -> impl Fn() -> Figures + Send + Sync + 'static {
        let figures = Arc::clone(&self.figures);
        move || figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Delivers until the box stops.
    pub async fn run(mut self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.carry_on()).await;
    }

    async fn carry_on(&mut self) {
        loop {
            self.news.mark_unchanged();
            let page = self.ledger.follow(self.cursor, BATCH_ENTRIES_MAX, BATCH_BYTES_MAX).await;
            let last = page.as_ref().map_or(u64::MAX, |page| page.last);
            let done = match page {
                Ok(page) if page.entries.is_empty() => self.pass(&page.missing, page.cursor),
                Ok(page) => self.deliver(page).await,
                Err(problem) => Err(TargetError::Unavailable(problem.to_string())),
            };
            match done {
                Ok(()) if self.cursor.position >= last => self.rest().await,
                Ok(()) => {}
                Err(error) => self.wait_after(&error).await,
            }
        }
    }

    /// Until there is something new, and a little longer.
    async fn rest(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(GATHER).await;
    }

    async fn deliver(&mut self, page: LedgerPage) -> Result<(), TargetError> {
        let LedgerPage { mut entries, missing, cursor, .. } = page;
        let kinds = &self.options.kinds;
        entries.retain(|entry| {
            kinds.is_empty() || kinds.iter().any(|kind| kind == entry.envelope.kind.as_str())
        });
        let entries: Arc<[LedgerEntry]> = entries.into();
        let mut aside = 0;
        if !entries.is_empty() {
            match self.attempt(Arc::clone(&entries)).await {
                Ok(()) => {}
                Err(TargetError::Refused(_)) => aside = self.one_by_one(&entries).await?,
                Err(error) => return Err(error),
            }
        }
        self.pass(&missing, cursor)?;
        self.pause.reset();
        self.note(|figures| {
            figures.delivered += entries.len() as u64 - aside;
            figures.aside += aside;
            figures.failing = None;
        });
        Ok(())
    }

    /// One of a batch is refused, and the others must not suffer for it.
    async fn one_by_one(&mut self, entries: &[LedgerEntry]) -> Result<u64, TargetError> {
        let mut aside = 0;
        for entry in entries {
            match self.attempt(Arc::from([entry.clone()])).await {
                Ok(()) => {}
                Err(TargetError::Refused(why)) => {
                    let (sink, ticket, position) = (&self.options.id, entry.key, entry.position);
                    tracing::error!(%sink, %ticket, position, error = why, "set aside: refused");
                    self.shelf.set_aside(entry, &why).map_err(|error| unkept(&error))?;
                    aside += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(aside)
    }

    async fn attempt(&mut self, entries: Arc<[LedgerEntry]>) -> Result<(), TargetError> {
        let (begun, told) = (spans::begin_other(), Arc::clone(&entries));
        let delivered = tokio::time::timeout(DELIVERY_MAX, self.target.deliver(entries)).await;
        let delivered = delivered.unwrap_or_else(|_| {
            Err(TargetError::Unavailable(format!("no answer within {DELIVERY_MAX:?}")))
        });
        if let Some(begun) = begun {
            self.tell(begun, &told, delivered.as_ref().err());
        }
        if matches!(delivered, Err(TargetError::Unavailable(_))) {
            self.target.reset();
        }
        delivered
    }

    fn tell(&self, begun: Begun, entries: &[LedgerEntry], failed: Option<&TargetError>) {
        let (Some(node), sink) = (spans::node(), self.options.id.as_str()) else { return };
        for entry in entries.iter().filter(|entry| spans::begin(&entry.key).is_some()) {
            let span = Span::of(&entry.key, Step::Deliver, sink, Kind::Client, begun);
            let span = span.with("storebox.sink", sink).failed(failed);
            let span = span.below(&entry.key, Step::Settle, node.as_str());
            spans::tell(if failed.is_some() { span.again() } else { span });
        }
    }

    /// All up to the cursor is dealt with; what the ledger could not give of it is written down for a person.
    fn pass(
        &mut self,
        missing: &[RangeInclusive<u64>],
        cursor: LedgerCursor,
    ) -> Result<(), TargetError> {
        if cursor == self.cursor {
            return Ok(());
        }
        for lost in missing {
            let (sink, files) = (&self.options.id, self.ledger.files().display());
            let (from, to) = (lost.start(), lost.end());
            tracing::error!(%sink, from, to, %files, "set aside: not readable in the ledger");
            let why = format!(
                "{files} is damaged there, so this was passed over; `storebox ledger list` names the sales"
            );
            self.shelf.set_aside_unread(lost, &why).map_err(|error| unkept(&error))?;
            self.note(|figures| figures.aside += to - from + 1);
        }
        self.shelf.keep(&cursor).map_err(|error| unkept(&error))?;
        self.cursor = cursor;
        self.note(|figures| figures.position = cursor.position);
        Ok(())
    }

    async fn wait_after(&mut self, error: &TargetError) {
        let (sink, wait) = (&self.options.id, self.pause.after_failure());
        tracing::warn!(%sink, %error, wait_s = wait.as_secs(), "transactions wait for their sink");
        self.note(|figures| figures.failing = Some(error.to_string()));
        tokio::time::sleep(wait).await;
    }

    fn note(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn unkept(error: &std::io::Error) -> TargetError {
    TargetError::Unavailable(format!("what was delivered cannot be written down: {error}"))
}
