//! A head office and a shop in one process, with real files and real HTTP on loopback between them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use storebox_proto::feed::{Position, Record};
use storebox_proto::ids::{FeedId, ModelName, RecordId};
use storebox_proto::sync::fetch::Wish;
use storebox_proto::sync::ladder::{Kind, Rung, Service};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::super::{Handle, Options, Refresher, Schedule};
use crate::db::{Generation, SegmentStore};
use crate::env;
use crate::http::feeds::{self, Sync};
use crate::http::identity::Identity;
use crate::replica::author::{self, Author};
use crate::replica::board::Board;
use crate::replica::history::History;
use crate::replica::import::{Limits, Weeks};
use crate::replica::office::{Imported, Office, OfficeError, Order};
use crate::replica::readers::Readers;
use crate::replica::source::{HttpSource, Source};
use crate::replica::sources::Sources;
use crate::replica::status::FeedStatus;
use crate::tiers::{SourceStatus, Tiers};

/// No condition of a test takes longer, unless it is never met.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

pub(super) fn feed() -> FeedId {
    "catalogue".parse().unwrap()
}

pub(super) fn model(name: &str) -> ModelName {
    name.parse().unwrap()
}

/// What the line between shop and head office does to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Good,
    /// Objects fail after so many more.
    CutAfter(u64),
    /// Objects arrive with a flipped bit.
    Flips,
    /// Objects never end.
    Endless,
    /// Everything is a redirect.
    Redirects,
    /// All objects together come at so many bytes in a second.
    Slow(u32),
    /// Objects are begun and never sent.
    Hangs,
    /// Objects are answered with this status.
    Lacks(u16),
    /// Nothing is answered but errors.
    Broken,
}

pub(super) struct HeadOffice {
    pub(super) dir: tempfile::TempDir,
    pub(super) office: Office,
    pub(super) board: Board,
    pub(super) history: History,
    pub(super) line: Arc<Mutex<Line>>,
    pub(super) objects: Arc<AtomicU64>,
    pub(super) address: String,
    shutdown: CancellationToken,
}

impl Drop for HeadOffice {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own tasks, ended by its token")]
fn start(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

impl HeadOffice {
    pub(super) async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let segments = SegmentStore::open(&dir.path().join("segments")).unwrap();
        let board = Board::new([feed(), "estate".parse().unwrap(), "partners".parse().unwrap()]);
        let options = author::Options { runs_max: 8, level: 1, ..author::Options::new(1) };
        let author = Author::open(
            &dir.path().join("heads"),
            segments.clone(),
            key(),
            board.clone(),
            options,
        );
        let office = Office::new(author.unwrap(), dir.path(), Limits::default());
        let history = History::open(&dir.path().join("history"), "main".parse().unwrap()).unwrap();
        let shutdown = CancellationToken::new();
        let sync = Sync {
            board: board.clone(),
            releases: segments.clone(),
            segments,
            history: history.clone(),
            shutdown: shutdown.clone(),
        };
        let (line, objects) = (Arc::new(Mutex::new(Line::Good)), Arc::new(AtomicU64::new(0)));
        let address = serve(sync, line.clone(), objects.clone()).await;
        Self { dir, office, board, history, line, objects, address, shutdown }
    }

    pub(super) fn line(&self, line: Line) {
        *self.line.lock().unwrap() = line;
    }

    pub(super) fn fetched(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    pub(super) fn position(&self) -> Position {
        self.board.current(&feed()).unwrap().position()
    }

    /// Prices of so many products, all at this price.
    pub(super) async fn prices(&self, products: std::ops::Range<u32>, price: u32) -> Imported {
        let lines: String = products
            .map(|id| {
                format!(
                    "{{\"id\":\"PL1-{id:06}\",\"productId\":\"{id}\",\"listPrice\":\"{price}\"}}\n"
                )
            })
            .collect();
        self.whole("ProductPrice", lines).await.unwrap()
    }

    pub(super) async fn whole(&self, name: &str, lines: String) -> Result<Imported, OfficeError> {
        let source = Box::new(std::io::Cursor::new(lines));
        self.office.import(Order::ModelStream(model(name), source)).await
    }

    pub(super) async fn changes(&self, lines: &str) -> Imported {
        let source = Box::new(std::io::Cursor::new(lines.to_owned()));
        self.office.import(Order::ChangeStream(source, Weeks::ALL)).await.unwrap()
    }
}

/// Serves these feeds at an address of their own, over a line that can be disturbed.
pub(super) async fn serve(sync: Sync, line: Arc<Mutex<Line>>, objects: Arc<AtomicU64>) -> String {
    let stop = sync.shutdown.clone();
    let (router, _) = feeds::routes(sync).split_for_parts();
    let router = router
        .layer(Extension(Identity::Node("box-1".parse().unwrap())))
        .layer(from_fn_with_state((line, objects), disturb));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serve = axum::serve(listener, router);
    start(async move {
        drop(stop.run_until_cancelled(serve.into_future()).await);
    });
    address
}

type Disturbance = (Arc<Mutex<Line>>, Arc<AtomicU64>);

async fn disturb(
    State((line, objects)): State<Disturbance>,
    request: Request,
    next: Next,
) -> Response {
    let is_object = request.uri().path().starts_with("/sync/v1/objects");
    let now = *line.lock().unwrap();
    if now == Line::Redirects {
        return axum::response::Redirect::temporary("/healthz").into_response();
    }
    if now == Line::Broken {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    if !is_object {
        return next.run(request).await;
    }
    match now {
        Line::CutAfter(0) => return StatusCode::BAD_GATEWAY.into_response(),
        Line::CutAfter(left) => *line.lock().unwrap() = Line::CutAfter(left - 1),
        Line::Endless => {
            let part = || Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1 << 16]));
            let parts = futures_util::stream::repeat_with(part);
            return Response::new(Body::from_stream(parts));
        }
        Line::Hangs => return std::future::pending().await,
        Line::Lacks(status) => {
            objects.fetch_add(1, Ordering::Relaxed);
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        Line::Good | Line::Flips | Line::Slow(_) | Line::Redirects | Line::Broken => {}
    }
    objects.fetch_add(1, Ordering::Relaxed);
    let response = next.run(request).await;
    if !matches!(now, Line::Flips | Line::Slow(_)) {
        return response;
    }
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
    if let Line::Slow(bytes_per_s) = now {
        return Response::new(Body::from_stream(trickle(bytes, bytes_per_s)));
    }
    let mut bytes = bytes.to_vec();
    bytes[0] ^= 1;
    Response::new(Body::from(bytes))
}

/// When the slow line is free again; whoever sends takes the next turn on it.
static FREE_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// The bytes in small parts, each in its turn among all that are under way.
fn trickle(
    bytes: Bytes,
    bytes_per_s: u32,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::unfold(bytes, move |mut left| async move {
        if left.is_empty() {
            return None;
        }
        let part = left.split_to(left.len().min(512));
        let takes = Duration::from_secs_f64(part.len() as f64 / f64::from(bytes_per_s));
        let turn = {
            let mut free_at = FREE_AT.lock().unwrap();
            let turn = free_at.unwrap_or(env::instant()).max(env::instant()) + takes;
            *free_at = Some(turn);
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
        Some((Ok(part), left))
    })
}

pub(super) struct Shop {
    pub(super) handle: Handle,
    pub(super) readers: Readers,
    pub(super) segments: SegmentStore,
    pub(super) board: Board,
    pub(super) history: History,
    pub(super) sources: Sources,
    pub(super) shutdown: CancellationToken,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(super) fn options() -> Options {
    Options { page_timeout: Duration::from_secs(5), ..Options::new(vec![key().verifying_key()]) }
}

/// Names a source.
pub(super) fn put(sources: &Sources, id: &str, kind: Kind, address: &str) {
    put_patient(sources, id, kind, address, Duration::from_secs(5));
}

/// The same with another patience.
pub(super) fn put_patient(
    sources: &Sources,
    id: &str,
    kind: Kind,
    address: &str,
    silence: Duration,
) {
    let source = HttpSource::new(address, "token", silence).unwrap();
    let rung = Rung::new(id.parse().unwrap(), kind);
    assert!(sources.put(rung, address, Source::Http(source)));
}

impl Shop {
    pub(super) fn open(dir: &Path, office: &HeadOffice) -> Self {
        Self::with(dir, office, options())
    }

    pub(super) fn with(dir: &Path, office: &HeadOffice, options: Options) -> Self {
        let sources = Sources::new(Tiers::new(0), options.keys.clone());
        put(&sources, "main", Kind::Primary, &office.address);
        Self::through(dir, sources, options)
    }

    /// A shop that reads from these sources.
    pub(super) fn through(dir: &Path, sources: Sources, options: Options) -> Self {
        let segments = SegmentStore::open(&dir.join("segments")).unwrap();
        let history = History::open(&dir.join("history"), "box-1".parse().unwrap()).unwrap();
        let board = Board::default();
        let (refresher, handle, readers) = Refresher::open(
            &dir.join("feeds"),
            segments.clone(),
            sources.clone(),
            board.clone(),
            history.clone(),
            options,
        )
        .unwrap();
        let shutdown = CancellationToken::new();
        start(refresher.run(shutdown.clone()));
        let probes = BTreeMap::from([(Service::Feeds, sources.probe())]);
        start(sources.tiers().clone().run(probes, shutdown.clone()));
        let back = handle.clone();
        sources.tiers().when_back(Arc::new(move |_| {
            let _ = back.refresh(None, Wish::Incremental);
        }));
        Self { handle, readers, segments, board, history, sources, shutdown }
    }

    /// Waits until the feed's state is as wanted.
    pub(super) async fn until(&self, wanted: impl Fn(&FeedStatus) -> bool) -> FeedStatus {
        let mut watch = self.handle.watch();
        let fits = watch.wait_for(|statuses| statuses.get(&feed()).is_some_and(&wanted));
        let found = tokio::time::timeout(PATIENCE, fits).await;
        let statuses = found.unwrap_or_else(|_| panic!("{:?}", self.handle.statuses())).unwrap();
        statuses[&feed()].clone()
    }

    pub(super) async fn reaches(&self, position: Position) {
        self.until(|status| status.position == Some(position)).await;
    }

    /// What is wrong with a source, if anything is.
    pub(super) fn fault(&self, id: &str) -> Option<String> {
        let statuses = self.sources.tiers().statuses();
        let of = |status: &&SourceStatus| status.id == id && status.service == "feeds";
        statuses.iter().find(of).unwrap().fault.clone()
    }

    /// What is wrong with a source, as soon as something is.
    pub(super) async fn faulted(&self, id: &str) -> String {
        let found = async {
            loop {
                match self.fault(id) {
                    Some(fault) => break fault,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("something is wrong with the source")
    }

    /// Serves what this shop has to its neighbours.
    pub(super) async fn serve(&self) -> String {
        let sync = Sync {
            board: self.board.clone(),
            segments: self.segments.clone(),
            releases: self.segments.clone(),
            history: self.history.clone(),
            shutdown: self.shutdown.clone(),
        };
        serve(sync, Arc::new(Mutex::new(Line::Good)), Arc::default()).await
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        // The task lets go of its stores when its channel closes.
        self.handle.commands.closed().await;
    }

    pub(super) fn generation(&self) -> Arc<Generation> {
        self.readers.generation(&feed()).unwrap()
    }

    pub(super) fn price(&self, id: u32) -> Option<String> {
        let id: RecordId = format!("PL1-{id:06}").parse().unwrap();
        let record = self.generation().get(&model("ProductPrice"), &id).unwrap()?;
        Some(price_of(&record))
    }
}

pub(super) fn price_of(record: &Record) -> String {
    let value: serde_json::Value = serde_json::from_slice(&record.body).unwrap();
    value["listPrice"].as_str().unwrap().to_owned()
}

/// Every record of a model.
pub(super) fn all(generation: &Generation, name: &str) -> BTreeMap<RecordId, Bytes> {
    let mut records = BTreeMap::new();
    let each = generation.each(&model(name), |record| {
        records.insert(record.id, record.body);
        true
    });
    each.unwrap();
    records
}

pub(super) fn timed(minutes: u32) -> Schedule {
    Schedule::Timed(storebox_proto::sync::decide::Policy {
        incremental_minutes: std::num::NonZeroU32::new(minutes),
        ..Default::default()
    })
}
