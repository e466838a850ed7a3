//! The tiers of this box as its parts share them: one ladder for feeds and transactions alike.
//!
//! Whoever asks a source says here what came of it; whoever needs a source is told here which to ask.
//! This module asks nobody itself but for the probes, and what those do it is given.
//! The lock is held for the few steps of a decision and never across an await.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::SourceId;
use storebox_proto::sync::ladder::{Event, Fault, Kind, Ladder, Rung, RungView, Service};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::env;
use crate::valve::Valve;

/// What looks at a source: nothing is wrong with it, or this is.
pub type Probe = Arc<dyn Fn(SourceId) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;
/// Called when a service that had no source has one again.
pub type Back = Arc<dyn Fn(Service) + Send + Sync>;

/// A source as operators see it, for one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Its name.
    pub id: String,
    /// `primary`, `additional`, `hosted`, `peer`, `storage` or `local`.
    pub kind: String,
    /// Where it is, without any secret.
    pub to: String,
    /// Lower is asked first.
    pub priority: u16,
    /// `feeds` or `transactions`.
    pub service: String,
    /// Whether it is the one in use.
    pub chosen: bool,
    /// Whether it may be used.
    pub up: bool,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Since how many seconds it is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_s: Option<u64>,
    /// In how many seconds it is looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_in_s: Option<u64>,
    /// How often it was given up since the start.
    pub opened: u64,
    /// Why it was, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
}

/// The ladder, shared; a cheap handle.
#[derive(Clone)]
pub struct Tiers {
    inner: Arc<Inner>,
}

struct Inner {
    ladder: Mutex<Ladder>,
    places: Mutex<BTreeMap<SourceId, String>>,
    /// Counts whenever another source became the best one, or a probe became due at another time.
    changed: watch::Sender<u64>,
    hedges: AtomicU64,
    back: Mutex<Vec<Back>>,
}

impl Tiers {
    /// Tiers without a source.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            ladder: Mutex::new(Ladder::new([], seed)),
            places: Mutex::default(),
            changed: watch::Sender::new(0),
            hedges: AtomicU64::new(0),
            back: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Tiers of one source, for those who know no other.
    pub fn single(id: SourceId, kind: Kind, to: &str) -> Self {
        let tiers = Self::new(0);
        tiers.put(Rung::new(id, kind), to);
        tiers
    }

    /// Adds a source, or changes its place; false if there is no room for it.
    pub fn put(&self, rung: Rung, to: &str) -> bool {
        let id = rung.id.clone();
        let taken = self.act(|ladder, _| ladder.put(rung));
        if taken {
            lock(&self.inner.places).insert(id, to.to_owned());
        }
        taken
    }

    /// A found source is gone.
    pub fn remove(&self, id: &SourceId) {
        self.act(|ladder, _| ladder.remove(id));
    }

    /// Lets somebody hear of it when a service that had no source has one again.
    pub fn when_back(&self, back: Back) {
        lock(&self.inner.back).push(back);
    }

    /// The source to use now.
    pub fn best(&self, service: Service) -> Option<SourceId> {
        lock(&self.inner.ladder).best(service).cloned()
    }

    /// What the source is, if it is known.
    pub fn kind(&self, id: &SourceId) -> Option<Kind> {
        lock(&self.inner.ladder).kind(id)
    }

    /// Whether reading it costs no line.
    pub fn is_near(&self, id: &SourceId) -> bool {
        lock(&self.inner.ladder).is_near(id)
    }

    /// All that may be used now, best first.
    pub fn order(&self, service: Service) -> Vec<SourceId> {
        lock(&self.inner.ladder).order(service, env::instant())
    }

    /// All that may be used now, nearest first.
    pub fn order_near(&self, service: Service) -> Vec<SourceId> {
        lock(&self.inner.ladder).order_near(service, env::instant())
    }

    /// Those that may be used and those that only did not answer, best first.
    pub fn silent(&self, service: Service) -> Vec<SourceId> {
        let views = lock(&self.inner.ladder).view().into_iter();
        let silent = views.filter(|view| view.service == service).filter(|view| {
            view.open
                .as_ref()
                .is_none_or(|(fault, ..)| matches!(fault, Fault::Silent | Fault::Slow))
        });
        silent.map(|view| view.id).collect()
    }

    /// How long this source may be waited for alone.
    pub fn hedge_after(&self, id: &SourceId, service: Service) -> Duration {
        lock(&self.inner.ladder).hedge_after(id, service)
    }

    /// It answered well, within this time if that says something about it.
    pub fn success(&self, id: &SourceId, service: Service, took: Option<Duration>) {
        self.act(|ladder, now| ladder.handle_success(id, service, took, now));
    }

    /// It did not.
    pub fn fault(&self, id: &SourceId, service: Service, fault: Fault) {
        self.act(|ladder, now| ladder.handle_fault(id, service, fault, now));
    }

    /// Another one was asked beside it and was faster.
    pub fn beaten(&self, id: &SourceId, service: Service) {
        self.act(|ladder, now| ladder.handle_slow(id, service, now));
    }

    /// Counts a second source that was asked because the first one took long.
    pub fn hedged(&self) {
        self.inner.hedges.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was.
    pub fn hedges(&self) -> u64 {
        self.inner.hedges.load(Ordering::Relaxed)
    }

    /// A person or a returning line: what is open is looked at now.
    pub fn hurry(&self) {
        self.act(Ladder::handle_hurry);
    }

    /// Tells whenever another source may be the best one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Waits until another source than this one is the best.
    pub async fn until_not_best(&self, id: &SourceId, service: Service) {
        let mut changed = self.inner.changed.subscribe();
        while self.best(service).as_ref() == Some(id) {
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// All sources as operators see them.
    pub fn statuses(&self) -> Vec<SourceStatus> {
        let (views, now) = (lock(&self.inner.ladder).view(), env::instant());
        let places = lock(&self.inner.places);
        let place = |id: &SourceId| places.get(id).cloned().unwrap_or_default();
        views.into_iter().map(|view| status(&view, place(&view.id), now)).collect()
    }

    /// Looks at what is open whenever its time has come, until the box stops.
    ///
    /// Dropped at an await, it leaves probes unanswered, which count as failed after a while.
    pub async fn run(self, probes: BTreeMap<Service, Probe>, stop: CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let mut changed = self.inner.changed.subscribe();
        loop {
            changed.mark_unchanged();
            while let Some((id, service)) = self.act(Ladder::poll_probe) {
                under_way.extend(probes.get(&service).map(|probe| look(probe, id, service)));
            }
            let due = lock(&self.inner.ladder).poll_timeout();
            let sleep = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some((id, service, took, result)) = under_way.next() => match result {
                    Ok(()) => self.success(&id, service, Some(took)),
                    Err(fault) => self.fault(&id, service, fault),
                },
                () = sleep => self.act(Ladder::handle_timeout),
                _ = changed.changed() => {}
            }
        }
    }

    /// Looks at what is open as soon as a drill is over, until the box stops.
    pub async fn follow(self, valve: Valve, stop: CancellationToken) {
        while stop.run_until_cancelled(valve.reopened()).await.is_some() {
            self.hurry();
        }
    }

    /// One decision; what it says is told to the log and to those who wait.
    fn act<T>(&self, decide: impl FnOnce(&mut Ladder, Instant) -> T) -> T {
        let (result, events, moved) = {
            let mut ladder = lock(&self.inner.ladder);
            let due = ladder.poll_timeout();
            let result = decide(&mut ladder, env::instant());
            let events: Vec<Event> = std::iter::from_fn(|| ladder.poll_event()).collect();
            (result, events, due != ladder.poll_timeout())
        };
        if moved || !events.is_empty() {
            self.inner.changed.send_modify(|count| *count += 1);
        }
        events.into_iter().for_each(|event| self.tell(&event));
        result
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Opened { id, service, fault } => {
                let (service, fault) = (service.as_str(), fault.as_str());
                tracing::warn!(tier = %id, service, error = fault, "source is not used for now");
            }
            Event::Closed { id, service, after } => {
                let (service, after_s) = (service.as_str(), after.as_secs());
                tracing::info!(tier = %id, service, after_s, "source is used again");
            }
            Event::Chosen { service, id: Some(id), back } => {
                tracing::info!(tier = %id, service = service.as_str(), "source chosen");
                if *back {
                    lock(&self.inner.back).iter().for_each(|back| back(*service));
                }
            }
            Event::Chosen { service, id: None, .. } => {
                tracing::warn!(service = service.as_str(), "no source answers");
            }
        }
    }
}

async fn look(
    probe: &Probe,
    id: SourceId,
    service: Service,
) -> (SourceId, Service, Duration, Result<(), Fault>) {
    let started = env::instant();
    let result = probe(id.clone()).await;
    (id, service, env::instant().saturating_duration_since(started), result)
}

fn status(view: &RungView, to: String, now: Instant) -> SourceStatus {
    let open = view.open.as_ref();
    SourceStatus {
        id: view.id.to_string(),
        kind: view.kind.as_str().to_owned(),
        to,
        priority: view.priority,
        service: view.service.as_str().to_owned(),
        chosen: view.chosen,
        up: open.is_none(),
        fault: open.map(|(fault, ..)| fault.as_str().to_owned()),
        down_s: open.map(|(_, since, _)| now.saturating_duration_since(*since).as_secs()),
        probe_in_s: open.map(|(.., until)| until.saturating_duration_since(now).as_secs()),
        opened: view.opened,
        last_fault: view.last_fault.as_ref().map(|fault| fault.as_str().to_owned()),
    }
}

/// What is behind these locks is whole even if a thread died while holding one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_source_is_looked_at_until_it_works_and_who_waits_for_it_hears_of_it() {
        let id: SourceId = "main".parse().unwrap();
        let tiers = Tiers::single(id.clone(), Kind::Primary, "http://main");
        let (looks, backs) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = looks.clone();
        let probe: Probe = Arc::new(move |_| {
            let look = counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { if look < 3 { Err(Fault::Silent) } else { Ok(()) } })
        });
        let back = backs.clone();
        tiers.when_back(Arc::new(move |_| {
            back.fetch_add(1, Ordering::Relaxed);
        }));
        let stop = CancellationToken::new();
        let run = tiers.clone().run(BTreeMap::from([(Service::Feeds, probe)]), stop.clone());
        let waits = async {
            let mut changed = tiers.inner.changed.subscribe();
            tiers.fault(&id, Service::Feeds, Fault::Silent);
            assert!(!tiers.statuses()[0].up);
            while tiers.best(Service::Feeds).is_none() {
                tiers.hurry();
                changed.changed().await.unwrap();
            }
            stop.cancel();
        };
        tokio::join!(run, waits);
        assert_eq!((looks.load(Ordering::Relaxed), backs.load(Ordering::Relaxed)), (4, 1));
        assert!(tiers.statuses()[0].up);
    }
}
