//! What an operator does with masterdata: import, refresh, look at the history.

use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{FeedId, ModelName, NodeId, TerminalId};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::fetch::Wish;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::identity::Identity;
use crate::http::problem::Refusal;
use crate::logging::chain;
use crate::masterdata::Masterdata;
use crate::replica::author::AuthorError;
use crate::replica::history::{Entry, Filter, History, PAGE_MAX};
use crate::replica::import::{Fault, Faults, ImportError, Weeks};
use crate::replica::office::{Imported, Office, OfficeError, Order};
use crate::replica::readers::Readers;
use crate::replica::refresher::Handle;
use crate::replica::status::FeedStatus;

/// Parts of a streamed import that wait to be read.
const PARTS_MAX: usize = 4;
/// So long does the answer of an import wait for this box's own replica.
const FOLLOW_MAX: Duration = Duration::from_secs(5);

/// What the routes on every node need.
#[derive(Clone)]
pub struct Desk {
    /// The refresher.
    pub refresher: Handle,
    /// Which models there are.
    pub readers: Readers,
    /// The history.
    pub history: History,
}

/// The routes on every node.
pub fn routes(desk: Desk) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(statuses))
        .routes(routes!(refresh))
        .routes(routes!(history))
        .with_state(desk)
}

/// The routes at head office.
///
/// An import is answered when this box serves what it brought.
pub fn office_routes(office: Office, masterdata: Option<Masterdata>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(import))
        .routes(routes!(import_changes))
        .routes(routes!(import_model))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(Counter { office, masterdata })
}

/// Where imports are taken in.
#[derive(Clone)]
struct Counter {
    office: Office,
    /// What this box serves.
    masterdata: Option<Masterdata>,
}

impl Counter {
    async fn import(&self, order: Order) -> Result<Imported, OfficeError> {
        let imported = self.office.import(order).await?;
        if let Some(masterdata) = &self.masterdata {
            let published = imported.published.iter();
            let published: Vec<_> = published.map(|one| (&one.feed, one.position)).collect();
            masterdata.follow(&published, FOLLOW_MAX).await;
        }
        Ok(imported)
    }
}

/// Whether files hold whole models or changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportMode {
    /// Each file is the whole of its model: what it does not name is removed.
    #[default]
    Whole,
    /// One change a line.
    Changes,
}

/// What to import from this node's disk.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportOrder {
    /// A directory, or with changes also a file, by its absolute path.
    #[schema(value_type = String)]
    pub dir: PathBuf,
    /// What it holds.
    #[serde(default)]
    pub mode: ImportMode,
    /// With changes: the first week that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_week: Option<u32>,
    /// With changes: the last week that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_week: Option<u32>,
    /// Only check it: nothing is published.
    #[serde(default)]
    pub check: bool,
}

/// Which weeks of streamed changes are taken.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WeekQuery {
    /// The first week.
    first_week: Option<u32>,
    /// The last week.
    last_week: Option<u32>,
}

fn weeks(first: Option<u32>, last: Option<u32>) -> Weeks {
    Weeks { first: first.unwrap_or(Weeks::ALL.first), last: last.unwrap_or(Weeks::ALL.last) }
}

/// Imports files of this node's disk: all of them, or nothing.
#[utoipa::path(post, path = "/v1/import", tag = "masterdata", request_body = ImportOrder,
    responses(
        (status = 200, description = "Published; no revision where nothing changed.", body = Imported),
        (status = 422, description = "Rows are wrong; `faults` names the first twenty.", body = Refused),
        (status = 503, description = "busy: another import is under way")))]
async fn import(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
    Json(order): Json<ImportOrder>,
) -> Result<Json<Imported>, ImportRefusal> {
    operator_only(&identity)?;
    if !order.dir.is_absolute() {
        return Err(Refusal::new(Code::FieldInvalid, "field dir: must be an absolute path").into());
    }
    let check = order.check;
    let order = match order.mode {
        ImportMode::Whole => Order::Whole(order.dir),
        ImportMode::Changes => Order::Changes(order.dir, weeks(order.first_week, order.last_week)),
    };
    Ok(Json(if check { counter.office.check(order).await? } else { counter.import(order).await? }))
}

/// Imports changes as they arrive, one JSON object a line: all of them, or nothing.
#[utoipa::path(post, path = "/v1/import/changes", tag = "masterdata", params(WeekQuery),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "Published.", body = Imported),
        (status = 422, description = "Lines are wrong; `faults` names the first twenty.", body = Refused)))]
async fn import_changes(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
    Query(query): Query<WeekQuery>,
    body: Body,
) -> Result<Json<Imported>, ImportRefusal> {
    operator_only(&identity)?;
    let weeks = weeks(query.first_week, query.last_week);
    stream(&counter, body, |source| Order::ChangeStream(source, weeks)).await
}

/// Imports one whole model as it arrives, one record a line: all of it, or nothing.
#[utoipa::path(post, path = "/v1/import/models/{model}", tag = "masterdata", params(("model" = String, Path)),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "Published.", body = Imported),
        (status = 422, description = "Lines are wrong; `faults` names the first twenty.", body = Refused)))]
async fn import_model(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
    Path(model): Path<String>,
    body: Body,
) -> Result<Json<Imported>, ImportRefusal> {
    operator_only(&identity)?;
    let model: ModelName =
        model.parse().map_err(|_| Refusal::new(Code::ModelUnknown, "no such model"))?;
    stream(&counter, body, |source| Order::ModelStream(model, source)).await
}

async fn stream(
    counter: &Counter,
    body: Body,
    order: impl FnOnce(Box<dyn io::BufRead + Send>) -> Order,
) -> Result<Json<Imported>, ImportRefusal> {
    let (parts, source) = mpsc::channel(PARTS_MAX);
    let source = BufReader::with_capacity(1 << 16, BodyReader { source, part: Bytes::new() });
    let mut body = body.into_data_stream();
    let send = async {
        while let Some(part) = body.next().await {
            let part = part.map_err(|error| io::Error::other(chain(&error)));
            let failed = part.is_err();
            if parts.send(part).await.is_err() || failed {
                break;
            }
        }
        drop(parts);
    };
    let (imported, ()) = tokio::join!(counter.import(order(Box::new(source))), send);
    Ok(Json(imported?))
}

/// A request's body for a reader that blocks; a connection that breaks is an error, never an end.
struct BodyReader {
    source: mpsc::Receiver<io::Result<Bytes>>,
    part: Bytes,
}

impl Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.source.blocking_recv() {
                Some(part) => self.part = part?,
                None => return Ok(0),
            }
        }
        let take = buf.len().min(self.part.len());
        buf[..take].copy_from_slice(&self.part.split_to(take));
        Ok(take)
    }
}

/// A refused import: a problem, and where its rows are wrong.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Refused {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    problem: Problem,
    /// The first faults.
    faults: Vec<Fault>,
    /// How many there are in all.
    total: u64,
}

/// Why an import is answered with a problem.
enum ImportRefusal {
    Plain(Refusal),
    Faults(Faults),
}

impl From<Refusal> for ImportRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Plain(refusal)
    }
}

impl From<OfficeError> for ImportRefusal {
    fn from(error: OfficeError) -> Self {
        let detail = chain(&error);
        let code = match error {
            OfficeError::Busy => Code::Busy,
            OfficeError::Import(ImportError::Refused(faults)) => return Self::Faults(faults),
            OfficeError::Import(ImportError::Nothing { .. } | ImportError::Read { .. }) => {
                Code::FieldInvalid
            }
            OfficeError::Import(ImportError::Spool(_)) => Code::StorageFull,
            OfficeError::Author(AuthorError::Large { .. }) => Code::TooLarge,
            OfficeError::Author(AuthorError::Store(crate::db::StoreError::DiskFull { .. })) => {
                Code::StorageFull
            }
            OfficeError::Author(_) => {
                tracing::error!(error = detail, "an import cannot be published");
                Code::Internal
            }
        };
        Self::Plain(Refusal::new(code, detail))
    }
}

impl IntoResponse for ImportRefusal {
    fn into_response(self) -> Response {
        let faults = match self {
            Self::Plain(refusal) => return refusal.into_response(),
            Self::Faults(faults) => faults,
        };
        let problem = Problem::new(Code::FieldInvalid, format!("nothing was imported: {faults}"));
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let refused = Refused { problem, faults: faults.listed, total: faults.total };
        let body = serde_json::to_vec(&refused).expect("a problem is plain text and numbers");
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}

/// The state of every feed on this node.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FeedLine {
    /// The feed.
    #[schema(value_type = String)]
    pub feed: FeedId,
    /// Its state.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub status: FeedStatus,
}

/// What every feed is doing.
#[utoipa::path(get, path = "/v1/feeds", tag = "masterdata",
    responses((status = 200, description = "All feeds, by name.", body = Vec<FeedLine>)))]
async fn statuses(
    State(desk): State<Desk>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Vec<FeedLine>>, Refusal> {
    operator_only(&identity)?;
    let line = |(feed, status)| FeedLine { feed, status };
    Ok(Json(desk.refresher.statuses().into_iter().map(line).collect()))
}

/// What to refresh.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshOrder {
    /// Compare everything, not only what changed.
    #[serde(default)]
    pub full: bool,
    /// Only the feed of this model: a feed's models switch together.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub model: Option<ModelName>,
}

/// Which feeds are being refreshed.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Refreshing {
    /// The feeds, by name; `GET /v1/feeds` tells how far they are.
    #[schema(value_type = Vec<String>)]
    pub feeds: Vec<FeedId>,
}

/// Starts a refresh now.
#[utoipa::path(post, path = "/v1/refresh", tag = "masterdata", request_body = RefreshOrder,
    responses(
        (status = 202, description = "Begun.", body = Refreshing),
        (status = 404, description = "model_unknown"),
        (status = 503, description = "busy")))]
async fn refresh(
    State(desk): State<Desk>,
    Extension(identity): Extension<Identity>,
    Json(order): Json<RefreshOrder>,
) -> Result<(StatusCode, Json<Refreshing>), Refusal> {
    operator_only(&identity)?;
    let feed = match &order.model {
        None => None,
        Some(model) => {
            let (def, _) = desk
                .readers
                .of_model(model)
                .ok_or_else(|| Refusal::new(Code::ModelUnknown, format!("no model {model}")))?;
            Some(def.feed).filter(|feed| desk.readers.feeds().contains(feed))
        }
    };
    if order.model.is_some() && feed.is_none() {
        let detail = "the model is born in the shop; nothing refreshes it";
        return Err(Refusal::new(Code::FieldInvalid, detail));
    }
    let wish = if order.full { Wish::Full } else { Wish::Incremental };
    let busy = |busy: crate::replica::refresher::Busy| Refusal::new(Code::Busy, busy.to_string());
    desk.refresher.refresh(feed.clone(), wish).map_err(busy)?;
    let feeds = feed.map_or_else(|| desk.readers.feeds(), |feed| vec![feed]);
    Ok((StatusCode::ACCEPTED, Json(Refreshing { feeds })))
}

/// Which entries of the history are wanted.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// Of this box.
    #[param(value_type = Option<String>)]
    node: Option<NodeId>,
    /// Of this terminal.
    #[param(value_type = Option<String>)]
    terminal: Option<TerminalId>,
    /// In which this model was loaded.
    #[param(value_type = Option<String>)]
    model: Option<ModelName>,
    /// At most so many, never more than 500.
    limit: Option<usize>,
}

/// Who refreshed which models when, newest first.
#[utoipa::path(get, path = "/v1/history", tag = "masterdata", params(HistoryQuery),
    responses((status = 200, description = "Entries, newest first.", body = Vec<Entry>)))]
async fn history(
    State(desk): State<Desk>,
    Extension(identity): Extension<Identity>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Vec<Entry>>, Refusal> {
    operator_only(&identity)?;
    let HistoryQuery { node, terminal, model, limit } = query;
    let filter = Filter { node, terminal, model, limit: limit.unwrap_or(PAGE_MAX) };
    Ok(Json(desk.history.list(&filter)))
}

fn operator_only(identity: &Identity) -> Result<(), Refusal> {
    match identity {
        Identity::Operator => Ok(()),
        Identity::Terminal(_) | Identity::Node(_) => {
            Err(Refusal::new(Code::Forbidden, "this is for the operator of the box"))
        }
    }
}
