//! Reading through the tiers: the best source that answers, and the next one when it takes long.
//!
//! A head is opened and an object is hashed before either is handed on, so that a source which lies, or offers what is
//! older than what is here, is known by name and the next one is asked in the same breath.
//! Objects come from wherever is nearest, since their hash says all about them; heads come by rank.
//! Nothing here decides what to fetch; that is the fetch machine's, which checks everything again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use storebox_proto::feed::{Position, SignedHead};
use storebox_proto::ids::{FeedId, Hash32, SourceId};
use storebox_proto::sync::absence::Absences;
use storebox_proto::sync::ladder::{Fault, Kind, Rung, Service};
use storebox_proto::sync::pace::{Pace, Window};

use super::board::Board;
use super::source::{HeadWish, Source, SourceError};
use crate::env;
use crate::logging::chain;
use crate::tiers::{Probe, Tiers};

const FEEDS: Service = Service::Feeds;
/// While the window is closed it is looked at this often.
const WINDOW_LOOK: Duration = Duration::from_secs(10);
/// Who follows another source than the author asks the others as well, this often.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A request is held for whole seconds.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);

/// What a source was asked, and what came of it.
struct Answer<T> {
    id: SourceId,
    /// When, unless the request was one that may be held.
    asked: Option<Instant>,
    result: Result<T, SourceError>,
}

/// How much of the line masterdata may take, and when.
#[derive(Debug, Clone, Default)]
pub struct Thrift {
    /// Bytes in a second; 0: no limit.
    pub bytes_per_s: u64,
    /// When news is followed.
    pub window: Window,
}

/// All sources of feeds, by rank; a cheap handle.
#[derive(Clone)]
pub struct Sources {
    tiers: Tiers,
    inner: Arc<Mutex<Inner>>,
    /// Authors that are believed; nobody: those of this very node, which need no check.
    keys: Arc<Vec<VerifyingKey>>,
    window: Window,
    pace: Arc<Mutex<Pace>>,
    look_every: Duration,
}

#[derive(Default)]
struct Inner {
    sources: BTreeMap<SourceId, Source>,
    /// What was last in service when a head was asked for.
    here: BTreeMap<FeedId, Position>,
    /// Where the last head came from.
    heads_from: BTreeMap<FeedId, SourceId>,
    /// Which source did not have which object.
    absent: Absences<(SourceId, Hash32)>,
}

impl Sources {
    /// No source yet, in these tiers.
    pub fn new(tiers: Tiers, keys: Vec<VerifyingKey>) -> Self {
        let (window, pace) = (Window::default(), Arc::new(Mutex::new(Pace::new(0))));
        let (inner, keys, look_every) = (Arc::default(), Arc::new(keys), LOOK_EVERY);
        Self { tiers, inner, keys, window, pace, look_every }
    }

    /// The same with another time after which further sources are asked while one of them is followed.
    #[must_use]
    pub fn looking(self, look_every: Duration) -> Self {
        Self { look_every, ..self }
    }

    /// The same, with care for the line to other places.
    pub fn with(mut self, thrift: &Thrift) -> Self {
        self.window = thrift.window;
        self.pace = Arc::new(Mutex::new(Pace::new(thrift.bytes_per_s)));
        self
    }

    /// The author on this very node, or nobody.
    pub fn local(board: Board) -> Self {
        let id: SourceId = "local".parse().expect("a literal that keeps the rule for sources");
        let sources = Self::new(Tiers::new(0), Vec::new());
        sources.put(Rung::new(id, Kind::Local), "this box", Source::Local(board));
        sources
    }

    /// Adds a source; false if there is no room for it.
    pub fn put(&self, rung: Rung, to: &str, source: Source) -> bool {
        let id = rung.id.clone();
        // The way before the rung: whoever is told of a rung finds its way.
        let before = self.lock().sources.insert(id.clone(), source);
        let taken = self.tiers.put(rung, to);
        if !taken {
            let mut inner = self.lock();
            match before {
                Some(before) => drop(inner.sources.insert(id, before)),
                None => drop(inner.sources.remove(&id)),
            }
        }
        taken
    }

    /// A found source is gone.
    pub fn remove(&self, id: &SourceId) {
        self.tiers.remove(id);
        if self.tiers.kind(id).is_none() {
            self.lock().sources.remove(id);
        }
    }

    /// The tiers that these are in.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Looks at a source for the tiers.
    pub fn probe(&self) -> Probe {
        let sources = self.clone();
        Arc::new(move |id| {
            let source = sources.source(&id);
            Box::pin(async move {
                let Some(source) = source else { return Err(Fault::Silent) };
                let looked = source.probe().await;
                looked.map_err(|error| error.fault().unwrap_or(Fault::Silent))
            })
        })
    }

    /// The signed head, or nothing if it is still this one within the time.
    ///
    /// A head that is waited for is waited for at the best source; as soon as another is better, it is asked there.
    /// Where the best one is not the author, it is no better informed than the others: they are asked now and then.
    pub async fn head(
        &self,
        feed: &FeedId,
        after: Option<Position>,
        wait: bool,
    ) -> Result<Option<Bytes>, SourceError> {
        if let Some(after) = after {
            self.lock().here.insert(feed.clone(), after);
        }
        let end = env::instant() + HeadWish::new(after, wait).wait;
        loop {
            let order = self.order(wait);
            if order.is_empty() && wait && !self.window.is_open(env::timestamp()) {
                tokio::time::sleep_until((env::instant() + WINDOW_LOOK).min(end).into()).await;
                if env::instant() >= end {
                    return Ok(None);
                }
                continue;
            }
            // Where none answers, the request is the probe, and must not be held.
            let held = wait && self.tiers.best(FEEDS).is_some();
            if let Some(answer) = self.round(feed, after, &order, held.then_some(end)).await {
                return answer;
            }
        }
    }

    /// Who may be asked for a head now, by rank; while the window is closed, news is followed nearby alone.
    fn order(&self, wait: bool) -> Vec<SourceId> {
        let mut order = self.tiers.order(FEEDS);
        if wait && !self.window.is_open(env::timestamp()) {
            order.retain(|id| self.tiers.is_near(id));
        }
        order
    }

    /// Asks one after the other until somebody has news; nothing: look again who is to be asked, it is not over yet.
    ///
    /// The first may hold the request.
    /// Only the author knows that there is nothing new: what anybody else has not heard of, the next one may have.
    async fn round(
        &self,
        feed: &FeedId,
        after: Option<Position>,
        order: &[SourceId],
        end: Option<Instant>,
    ) -> Option<Result<Option<Bytes>, SourceError>> {
        let slice = env::instant() + self.look_every;
        let (mut nothing_new, mut last) = (false, SourceError::Nowhere);
        for (at, id) in order.iter().enumerate() {
            let is_author = matches!(self.tiers.kind(id), Some(Kind::Primary | Kind::Local));
            let alone = is_author || order.len() == 1;
            let held = end.filter(|_| at == 0).map(|end| if alone { end } else { end.min(slice) });
            let wait = held
                .map_or(Duration::ZERO, |until| until.saturating_duration_since(env::instant()));
            let asked = self.ask_head(id, feed, HeadWish { after, wait, whole: false });
            let answer = match held {
                Some(_) => tokio::select! {
                    answer = asked => answer,
                    () = self.until_not_first(id) => return None,
                },
                None => asked.await,
            };
            // Whoever is asked beside another need not be as far as that one.
            if nothing_new && matches!(answer.result, Err(SourceError::Stale { .. })) {
                continue;
            }
            match self.judge(answer) {
                Ok(None) if !is_author => nothing_new = true,
                Ok(head) => return Some(Ok(head)),
                Err(error) => last = error,
            }
        }
        let Some(first) = order.first().filter(|_| nothing_new) else { return Some(Err(last)) };
        let next = slice.max(env::instant());
        if end.is_none_or(|end| end < next + SHORTEST_HOLD) {
            return Some(Ok(None));
        }
        // Some answer at once what was to be held: they are not asked again before their time.
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = self.until_not_first(first) => {}
        }
        None
    }

    /// Waits until another source than this one is to be asked for news first.
    async fn until_not_first(&self, id: &SourceId) {
        let mut changes = self.tiers.changes();
        while self.order(true).first() == Some(id) {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// An object of at most so many bytes whose bytes have its name.
    ///
    /// Asks the nearest; when that takes longer than usual, the next one as well, and takes what comes first.
    /// Who did not have it is asked last, and not at all for a while that grows each time.
    pub async fn object(
        &self,
        feed: &FeedId,
        name: &Hash32,
        bytes_max: u32,
    ) -> Result<Bytes, SourceError> {
        let Some(order) = self.order_of(name) else {
            return Err(SourceError::Absent { name: *name });
        };
        let mut next = order.into_iter();
        let (mut asked, mut missing, mut last) = (Vec::new(), None, SourceError::Nowhere);
        let mut under_way: FuturesUnordered<BoxFuture<'_, Answer<Bytes>>> = FuturesUnordered::new();
        loop {
            if under_way.is_empty() {
                let Some(id) = next.next() else { break };
                asked.push(id.clone());
                under_way.push(self.ask_object(id, *name, bytes_max));
            }
            let hedge = asked.last().map(|id| self.tiers.hedge_after(id, FEEDS));
            let more = async {
                match hedge.filter(|_| next.len() > 0) {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            let answer = tokio::select! {
                Some(answer) = under_way.next() => answer,
                () = more => {
                    self.tiers.hedged();
                    let Some(id) = next.next() else { continue };
                    asked.push(id.clone());
                    under_way.push(self.ask_object(id, *name, bytes_max));
                    continue;
                }
            };
            let id = answer.id.clone();
            match self.judge(answer) {
                Ok(bytes) => {
                    let before = asked.iter().take_while(|earlier| **earlier != id);
                    before.for_each(|slow| self.tiers.beaten(slow, FEEDS));
                    self.lock().absent.found(&(id, *name));
                    return Ok(bytes);
                }
                Err(error) => {
                    asked.retain(|earlier| *earlier != id);
                    if error.is_gone() {
                        self.note_missing(&id, feed, name);
                        missing = Some(error);
                    } else {
                        last = error;
                    }
                }
            }
        }
        // Whoever does not have it says more than who did not answer: there is a newer head.
        Err(missing.unwrap_or(last))
    }

    /// Whom to ask for an object, in order; nothing: all who answer said lately that they do not have it.
    fn order_of(&self, name: &Hash32) -> Option<Vec<SourceId>> {
        let all = self.tiers.order_near(FEEDS);
        let (inner, now) = (self.lock(), env::instant());
        let key = |id: &SourceId| (id.clone(), *name);
        let may = |id: &&SourceId| !inner.absent.is_held(&key(id), now);
        let mut order: Vec<SourceId> = all.iter().filter(may).cloned().collect();
        order.sort_by_key(|id| inner.absent.is_known(&key(id)));
        (all.is_empty() || !order.is_empty()).then_some(order)
    }

    async fn ask_head(
        &self,
        id: &SourceId,
        feed: &FeedId,
        wish: HeadWish,
    ) -> Answer<Option<Bytes>> {
        let (asked, here) = (None, self.lock().here.get(feed).copied());
        let Some(source) = self.source(id) else {
            return Answer { id: id.clone(), asked, result: Err(SourceError::Nowhere) };
        };
        // An empty box needs all of a snapshot; a neighbour has that of an earlier revision.
        let whole = here.is_none() && self.tiers.kind(id) == Some(Kind::Peer);
        let result = source.head(feed, HeadWish { whole, ..wish }).await;
        let result = result.and_then(|head| match (head, &source) {
            (Some(bytes), Source::Http(_) | Source::Storage(_)) => {
                self.check_head(id, feed, bytes, here).map(Some)
            }
            (head, _) => Ok(head),
        });
        if matches!(result, Ok(Some(_))) {
            self.lock().heads_from.insert(feed.clone(), id.clone());
        }
        Answer { id: id.clone(), asked, result }
    }

    fn check_head(
        &self,
        id: &SourceId,
        feed: &FeedId,
        bytes: Bytes,
        here: Option<Position>,
    ) -> Result<Bytes, SourceError> {
        let forged = |reason: String| SourceError::Forged { id: id.to_string(), reason };
        let head = SignedHead::parse(&bytes).and_then(|signed| signed.open(&self.keys));
        let head = head.map_err(|error| forged(chain(&error)))?;
        if head.feed != *feed {
            return Err(forged(format!("the head is that of feed {}", head.feed)));
        }
        match here {
            Some(here) if head.position() < here => {
                Err(SourceError::Stale { id: id.to_string(), offered: head.position(), here })
            }
            Some(_) | None => Ok(bytes),
        }
    }

    fn ask_object(
        &self,
        id: SourceId,
        name: Hash32,
        bytes_max: u32,
    ) -> BoxFuture<'_, Answer<Bytes>> {
        Box::pin(async move {
            let asked = Some(env::instant());
            let Some(source) = self.source(&id) else {
                return Answer { id, asked, result: Err(SourceError::Nowhere) };
            };
            if !self.tiers.is_near(&id) {
                let wait = self.take(u64::from(bytes_max));
                tokio::time::sleep(wait).await;
            }
            let result = source.object(&name, bytes_max).await.and_then(|bytes| {
                if Hash32::of(&bytes) == name {
                    return Ok(bytes);
                }
                let reason = format!("object {name} came with other bytes");
                Err(SourceError::Forged { id: id.to_string(), reason })
            });
            Answer { id, asked, result }
        })
    }

    /// Tells the tiers what an answer says about its source.
    fn judge<T>(&self, answer: Answer<T>) -> Result<T, SourceError> {
        let Answer { id, asked, result } = answer;
        match &result {
            Ok(_) => {
                let took = asked.map(|asked| env::instant().saturating_duration_since(asked));
                self.tiers.success(&id, FEEDS, took);
            }
            Err(error) => {
                if let Some(fault) = error.fault() {
                    tracing::debug!(tier = %id, error = %chain(error), "source did not help");
                    self.tiers.fault(&id, FEEDS, fault);
                }
            }
        }
        result
    }

    /// Storage and neighbours are to have what their own head names; a server may have swept it since.
    fn note_missing(&self, id: &SourceId, feed: &FeedId, name: &Hash32) {
        self.lock().absent.note((id.clone(), *name), env::instant());
        let is_its_head = self.lock().heads_from.get(feed) == Some(id);
        if is_its_head && matches!(self.tiers.kind(id), Some(Kind::Storage | Kind::Peer)) {
            self.tiers.fault(id, FEEDS, Fault::Incomplete);
        }
    }

    fn take(&self, bytes: u64) -> Duration {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.take(bytes, env::instant())
    }

    fn source(&self, id: &SourceId) -> Option<Source> {
        self.lock().sources.get(id).cloned()
    }

    /// What is behind the lock is whole even if a thread died while holding it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
