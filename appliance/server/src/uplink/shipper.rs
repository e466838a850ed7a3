//! Carries transactions from the outbox to one sink.
//!
//! The machine decides what to do; this task does it and reports what came of it.
//! If it is dropped at an await, what was under way counts as lost and is asked for at the next start.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use storebox_proto::ids::{NodeId, SinkId};
use storebox_proto::problem::Problem;
use storebox_proto::sync::outbox::{Failure, Item, Work};
use storebox_proto::ticket::Receipt;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::accept::Outbox;
use super::command::{Given, News};
use super::keeper::read_if_whole;
use super::line::{Cargo, Heard, Line};
use super::routes::Routes;
use super::steps;
use crate::blocking::beside;
use crate::journal::Location;
use crate::spans;

/// While the line is down, its return is looked for this often.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Called when a line that was down is up again, for others who use the same line.
pub type LineBack = Arc<dyn Fn() + Send + Sync>;

/// Where a shipper goes.
#[derive(Clone)]
pub struct ShipperOptions {
    /// The sink, as the outbox knows it.
    pub sink: SinkId,
    /// Whether its word settles; must be what the outbox was told.
    pub authoritative: bool,
    /// How to get there.
    pub routes: Routes,
    /// This box.
    pub node: NodeId,
    /// Whose receipts are believed; nobody's name means anybody's.
    pub trusted: Vec<VerifyingKey>,
    /// Who else waits for the line.
    pub line_back: LineBack,
}

/// The task of one sink.
pub struct Shipper {
    outbox: Outbox,
    sink: SinkId,
    node: NodeId,
    authoritative: bool,
    line: Line,
    line_back: LineBack,
    wake: watch::Receiver<u64>,
}

enum Event {
    Shutdown,
    Woken,
    Due,
    LineIsBack,
}

impl Shipper {
    /// A shipper that is not running yet.
    pub fn new(outbox: Outbox, options: ShipperOptions) -> Result<Self, reqwest::Error> {
        let (sink, node) = (options.sink.clone(), options.node.clone());
        let (authoritative, wake) = (options.authoritative, outbox.wake());
        let line_back = options.line_back.clone();
        let line = Line::new(options)?;
        Ok(Self { outbox, sink, node, authoritative, line, line_back, wake })
    }

    /// Carries until the box stops.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let stopped = tokio::select! {
            stopped = self.carry_on(&shutdown) => stopped,
            () = shutdown.cancelled() => Ok(()),
        };
        if let Err(problem) = stopped {
            tracing::info!(sink = %self.sink, %problem, "shipper ended with its outbox");
        }
    }

    async fn carry_on(&mut self, shutdown: &CancellationToken) -> Result<(), Problem> {
        self.outbox.report(&self.sink, News::Restarted).await?;
        loop {
            self.wake.mark_unchanged();
            let Given { work, locations, guests } = self.outbox.poll(&self.sink).await?;
            match work {
                Work::Send(batch) => {
                    let news = self.send(&batch.items, &locations, guests).await;
                    self.outbox.report(&self.sink, news).await?;
                }
                Work::Ask(items) => {
                    let news = self.ask(&items, &locations).await;
                    self.outbox.report(&self.sink, news).await?;
                }
                Work::Nothing | Work::Wait { .. } | Work::Stuck(_) => {
                    match self.next_event(&work, shutdown).await {
                        Event::Shutdown => return Ok(()),
                        Event::Woken | Event::Due => {}
                        Event::LineIsBack => {
                            tracing::info!(sink = %self.sink, "line is back");
                            (self.line_back)();
                            self.outbox.report(&self.sink, News::LinkUp).await?;
                        }
                    }
                }
            }
        }
    }

    async fn next_event(&mut self, work: &Work, shutdown: &CancellationToken) -> Event {
        let (until, network) = match work {
            Work::Wait { until, network } => (Some(*until), *network),
            Work::Nothing | Work::Ask(_) | Work::Send(_) | Work::Stuck(_) => (None, false),
        };
        let due = async {
            match until {
                Some(until) => sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        let line = &self.line;
        let line_is_back = async {
            if !network {
                std::future::pending::<()>().await;
            }
            loop {
                sleep(PROBE_EVERY).await;
                if line.probe().await {
                    return;
                }
            }
        };
        // New transactions do not open a closed line, and must not disturb the look for its return.
        let woken = async {
            if network || self.wake.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => Event::Shutdown,
            () = woken => Event::Woken,
            () = line_is_back => Event::LineIsBack,
            () = due => Event::Due,
        }
    }

    async fn send(
        &self,
        items: &[Item],
        locations: &[Option<Location>],
        guests: Vec<Option<Receipt>>,
    ) -> News {
        let Some(read) = self.read(items, locations).await else {
            return News::Failed(Failure::Unavailable);
        };
        let is_unreadable = |at: &usize| read[*at].is_none();
        let unreadable: Vec<usize> = (0..items.len()).filter(is_unreadable).collect();
        // Best-effort sinks go through everything in its order: what is readable goes up to the first that is not.
        let items = match unreadable.first() {
            Some(first) if *first > 0 && !self.authoritative => &items[..*first],
            Some(_) => return self.unreadable(items, &unreadable),
            None => items,
        };
        let envelopes: Vec<Bytes> = read.into_iter().map_while(|envelope| envelope).collect();
        let cargo = Cargo {
            node: &self.node,
            items,
            envelopes: &envelopes,
            guests: &guests[..items.len()],
        };
        let vouch = |item: &Item| self.outbox.vouch(item);
        let begun = spans::begin_other();
        let outcome = self.line.send(&cargo, &vouch).await;
        if let Some(begun) = begun {
            steps::sent(begun, &self.node, &self.sink, items, &outcome);
        }
        match outcome {
            Ok(Heard { answers, receipts }) => {
                self.keep(&receipts, items, envelopes).await;
                tracing::debug!(sink = %self.sink, sent = items.len(), taken = receipts.len(), "batch");
                News::Answers { answers, receipts }
            }
            Err(failure) => self.failed(failure),
        }
    }

    async fn ask(&self, items: &[Item], locations: &[Option<Location>]) -> News {
        let mut receipts = Vec::new();
        for item in items {
            match self.line.ask(item).await {
                Ok(Some(receipt)) => receipts.push((item.position, receipt)),
                Ok(None) => break,
                Err(failure) => return self.failed(failure),
            }
        }
        let known = &items[..receipts.len()];
        let read = self.read(known, &locations[..receipts.len()]).await.unwrap_or_default();
        let read = known.iter().zip(read).filter_map(|(item, read)| Some((*item, read?)));
        let (known, envelopes): (Vec<Item>, Vec<Bytes>) = read.unzip();
        self.keep(&receipts, &known, envelopes).await;
        News::Known { receipts }
    }

    /// What the journal gives of these; what it does not give is looked for once more, as it may have been moved.
    ///
    /// Nothing at all if it may give them later.
    async fn read(
        &self,
        items: &[Item],
        locations: &[Option<Location>],
    ) -> Option<Vec<Option<Bytes>>> {
        let read = self.read_at(locations.to_vec()).await?;
        if read.iter().all(Option::is_some) {
            return Some(read);
        }
        let positions: Vec<u64> = items.iter().map(|item| item.position).collect();
        let moved = self.outbox.look(move |keeper| {
            let places = positions.iter().map(|position| keeper.locations.get(position).copied());
            places.collect::<Vec<_>>()
        });
        self.read_at(moved.await.ok()?).await
    }

    async fn read_at(&self, locations: Vec<Option<Location>>) -> Option<Vec<Option<Bytes>>> {
        let reader = self.outbox.reader();
        let read = beside(move || {
            let envelopes = locations.iter().map(|at| read_if_whole(&reader, at.as_ref()));
            envelopes.collect::<Result<Vec<_>, _>>()
        });
        match read.await {
            Ok(read) => Some(read),
            Err(error) => {
                tracing::warn!(%error, "journal cannot be read now");
                None
            }
        }
    }

    fn unreadable(&self, items: &[Item], unreadable: &[usize]) -> News {
        for item in unreadable.iter().map(|at| &items[*at]) {
            tracing::error!(ticket = %item.key, "transaction cannot be read from the journal");
        }
        let positions = unreadable.iter().map(|at| items[*at].position).collect();
        News::Unreadable { positions }
    }

    /// Documents outlive their place in the journal, which goes as soon as the receipts are reported.
    async fn keep(&self, receipts: &[(u64, Receipt)], items: &[Item], envelopes: Vec<Bytes>) {
        if !self.authoritative {
            return;
        }
        let taken = |item: &Item| receipts.iter().any(|(position, _)| *position == item.position);
        let settled = items.iter().zip(envelopes).filter(|(item, _)| taken(item));
        let settled: Vec<_> = settled.map(|(item, envelope)| (item.position, envelope)).collect();
        if settled.is_empty() {
            return;
        }
        let documents = self.outbox.documents();
        let kept = beside(move || {
            settled.iter().for_each(|(position, envelope)| documents.keep(*position, envelope));
            documents.commit();
        });
        kept.await;
    }

    fn failed(&self, failure: Failure) -> News {
        match &failure {
            Failure::Forbidden(problem) => {
                tracing::error!(sink = %self.sink, %problem, "sink does not let this box in");
            }
            Failure::BatchRefused(problem) => {
                tracing::warn!(sink = %self.sink, %problem, "sink refused a batch");
            }
            Failure::Unreachable | Failure::Lost | Failure::Unavailable => {
                tracing::info!(sink = %self.sink, ?failure, "transactions wait for their sink");
            }
        }
        News::Failed(failure)
    }
}
