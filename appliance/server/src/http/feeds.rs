//! The replication protocol: heads, objects and the history that boxes report.
//!
//! The same routes on every node: an author serves what it wrote, a replica what it fetched.
//! Objects never change, so any cache may keep them for ever; heads are small, signed and waited for.

pub mod operator;
pub mod storage;

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use storebox_proto::feed::Position;
use storebox_proto::ids::{FeedId, Hash32};
use storebox_proto::limits::LONG_POLL_MAX;
use storebox_proto::problem::Code;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use crate::blocking::beside;
use crate::db::{SegmentStore, StoreError};
use crate::replica::board::{Board, Posted};
use crate::replica::history::{Entry, History, PAGE_MAX};

/// What the routes between boxes serve.
#[derive(Clone)]
pub struct Sync {
    /// Heads on offer.
    pub board: Board,
    /// Objects.
    pub segments: SegmentStore,
    /// Blocks of releases, which are objects too.
    pub releases: SegmentStore,
    /// Where reports go.
    pub history: History,
    /// Ends waiting requests when the box stops.
    pub shutdown: CancellationToken,
}

/// The routes between boxes.
pub fn routes(sync: Sync) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(feeds))
        .routes(routes!(head))
        .routes(routes!(object))
        .routes(routes!(report))
        .with_state(sync)
}

/// A feed on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// The feed.
    #[schema(value_type = String)]
    pub feed: FeedId,
    /// Its position, `epoch.revision`; nothing if nothing was published yet.
    #[schema(value_type = Option<String>)]
    pub position: Option<Position>,
}

/// The feeds that this node offers.
#[utoipa::path(get, path = "/sync/v1/feeds", tag = "sync",
    responses((status = 200, description = "All feeds, by name.", body = Vec<Offer>)))]
async fn feeds(
    State(sync): State<Sync>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Vec<Offer>>, Refusal> {
    boxes_only(&identity)?;
    let offer = |feed: FeedId| match sync.board.current(&feed) {
        Some(posted) => Offer { feed: posted.head.feed.clone(), position: Some(posted.position()) },
        None => Offer { feed, position: None },
    };
    Ok(Json(sync.board.feeds().into_iter().map(offer).collect()))
}

/// What a box has and how long it will wait for something else.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct After {
    /// The epoch in service; together with the revision.
    after_epoch: Option<u64>,
    /// The revision in service.
    after_revision: Option<u64>,
    /// Seconds to wait if there is nothing else, at most 55.
    #[serde(default)]
    wait_s: u64,
    /// The newest head all of whose snapshot is on this node, for a box that has nothing yet.
    #[serde(default)]
    whole: bool,
}

/// The signed head of a feed, as soon as it differs from what the caller has.
#[utoipa::path(get, path = "/sync/v1/feeds/{feed}/head", tag = "sync",
    params(("feed" = String, Path), After),
    responses(
        (status = 200, description = "A signed head; its ETag is \"epoch-revision\".", body = serde_json::Value),
        (status = 304, description = "Nothing else within the time."),
        (status = 404, description = "feed_unknown")))]
async fn head(
    State(sync): State<Sync>,
    Extension(identity): Extension<Identity>,
    Path(feed): Path<String>,
    Query(query): Query<After>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    boxes_only(&identity)?;
    let unknown = || Refusal::new(Code::FeedUnknown, "this node has no such feed");
    let feed: FeedId = feed.parse().map_err(|_| unknown())?;
    if sync.board.has_another(&feed) {
        let detail = "this node has the feed in another extent: an excerpt, another one, or all";
        return Err(Refusal::new(Code::FeedUnknown, detail));
    }
    // A box may have heard of a feed before its first head is published; who waits is told at once.
    if query.wait_s == 0 && !sync.board.knows(&feed) {
        return Err(unknown());
    }
    let after = match (query.after_epoch, query.after_revision) {
        (Some(epoch), Some(revision)) => Some(Position { epoch, revision }),
        (None, None) => position_of(&headers),
        (Some(_), None) | (None, Some(_)) => {
            let detail = "after_epoch and after_revision go together";
            return Err(Refusal::new(Code::ParameterInvalid, detail));
        }
    };
    if let Some(whole) = sync.board.whole(&feed).filter(|_| query.whole) {
        return Ok(signed(whole));
    }
    let within = Duration::from_secs(query.wait_s).min(LONG_POLL_MAX);
    let newer = sync.board.newer(&feed, after, within);
    let newer = sync.shutdown.run_until_cancelled(newer).await.flatten();
    Ok(newer.map_or_else(|| StatusCode::NOT_MODIFIED.into_response(), signed))
}

fn signed(posted: Posted) -> Response {
    let Position { epoch, revision } = posted.position();
    let etag = HeaderValue::try_from(format!("\"{epoch}-{revision}\"")).expect("digits and quotes");
    let json = HeaderValue::from_static("application/json");
    let no_cache = HeaderValue::from_static("no-cache");
    let headers =
        [(header::ETAG, etag), (header::CONTENT_TYPE, json), (header::CACHE_CONTROL, no_cache)];
    (headers, posted.bytes).into_response()
}

/// The position in `If-None-Match`, as this node writes it into an ETag.
fn position_of(headers: &HeaderMap) -> Option<Position> {
    let etag = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    let (epoch, revision) = etag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
    Some(Position { epoch: epoch.parse().ok()?, revision: revision.parse().ok()? })
}

/// A segment, a page of a run, a manifest or a block of a release, by the hash of its bytes.
#[utoipa::path(get, path = "/sync/v1/objects/{name}", tag = "sync", params(("name" = String, Path)),
    responses(
        (status = 200, description = "The bytes; they never change.", body = Vec<u8>,
            content_type = "application/octet-stream"),
        (status = 304, description = "The caller has it."),
        (status = 404, description = "segment_unknown")))]
async fn object(
    State(sync): State<Sync>,
    Extension(identity): Extension<Identity>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    boxes_only(&identity)?;
    let unknown =
        || Refusal::new(Code::SegmentUnknown, "no object of this name is here (any more)");
    let hash: Hash32 = name.parse().map_err(|_| unknown())?;
    let etag = HeaderValue::try_from(format!("\"{hash}\"")).expect("digits and quotes");
    if headers.get(header::IF_NONE_MATCH) == Some(&etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let read = beside(move || match sync.segments.read(hash) {
        Err(StoreError::Missing { .. }) => sync.releases.read(hash),
        read => read,
    });
    let bytes = match read.await {
        Ok(bytes) if Hash32::of(&bytes) == hash => bytes,
        Err(StoreError::Missing { .. }) => return Err(unknown()),
        Ok(_) | Err(_) => {
            tracing::error!(segment = %hash, "an object that was asked for is damaged");
            return Err(Refusal::new(Code::ReplicaDamaged, "the object is damaged here"));
        }
    };
    let bin = HeaderValue::from_static("application/octet-stream");
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    let headers =
        [(header::ETAG, etag), (header::CONTENT_TYPE, bin), (header::CACHE_CONTROL, forever)];
    Ok((headers, bytes).into_response())
}

/// How many entries of a report were new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reported {
    /// New entries.
    pub new: usize,
}

/// A box reports its refreshes and those of its terminals; what was reported before changes nothing.
#[utoipa::path(post, path = "/sync/v1/history", tag = "sync", request_body = Vec<Entry>,
    responses(
        (status = 200, description = "Noted.", body = Reported),
        (status = 413, description = "too_large")))]
async fn report(
    State(sync): State<Sync>,
    Extension(identity): Extension<Identity>,
    Json(entries): Json<Vec<Entry>>,
) -> Result<Json<Reported>, Refusal> {
    let Identity::Node(node) = identity else {
        return Err(Refusal::new(Code::Forbidden, "only a box reports refreshes"));
    };
    if entries.len() > PAGE_MAX {
        let detail = format!("{} entries, at most {PAGE_MAX}", entries.len());
        return Err(Refusal::new(Code::TooLarge, detail));
    }
    Ok(Json(Reported { new: sync.history.report(&node, entries) }))
}

/// Feeds hold prices before they are valid and customers' names: they are for boxes, not for tills.
fn boxes_only(identity: &Identity) -> Result<(), Refusal> {
    match identity {
        Identity::Node(_) | Identity::Operator => Ok(()),
        Identity::Terminal(_) => Err(Refusal::new(Code::Forbidden, "feeds are for boxes")),
    }
}

#[cfg(test)]
mod tests;
