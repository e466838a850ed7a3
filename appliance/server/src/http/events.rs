//! What changed, told to tills as it happens: server-sent events with a cursor.
//!
//! A till that comes back with its cursor hears every change since; if the history does not reach back that far
//! it hears `reset` for the feed and loads what it holds anew.
//! Events carry the ids of changed records, not the records: a till reads what it cares about, and a changed
//! price that nobody looks at costs a few bytes.
//! The history is the runs that a head names, so nothing is kept for tills that are away.

mod follower;

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::Deserialize;
use storebox_proto::ids::FeedId;
use storebox_proto::problem::Code;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use crate::replica::till_changes::TillChanges;

use follower::{Cursors, Follower};

/// A silent connection is found dead by both sides within this.
pub(super) const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// What the handler needs; cheap to clone.
#[derive(Clone)]
pub struct Feeds {
    /// All feeds of this box.
    pub names: Vec<FeedId>,
    /// What changed in them.
    pub changes: TillChanges,
    /// Ends all streams when the box stops.
    pub stop: CancellationToken,
}

/// Where a till goes on.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct After {
    /// The `id` of the last event heard; the header `Last-Event-ID` wins. Without either, only what is new is told.
    after: Option<String>,
}

/// The route of this file.
pub fn routes(feeds: Feeds) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(changes)).with_state(feeds)
}

/// Changes of masterdata as server-sent events.
///
/// `changes`: `feed`, `position`, and in `models` for each model the ids `changed` and `removed`.
/// `reset`: `feed`, `position`; load what you hold of this feed anew.
#[utoipa::path(get, path = "/v1/changes", tag = "masterdata", params(After),
    responses((status = 200, description = "Events until the connection ends.", body = String,
               content_type = "text/event-stream")))]
async fn changes(
    State(feeds): State<Feeds>,
    after: Result<Query<After>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let refuse = |detail: String| Refusal::new(Code::ParameterInvalid, detail);
    let Query(after) = after.map_err(|error| refuse(error.body_text()))?;
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let cursors: Cursors = match header.or(after.after.as_deref()) {
        Some(text) => text.parse().map_err(|error| refuse(format!("after: {error}")))?,
        None => Cursors::default(),
    };
    let follower = Follower::new(feeds, cursors);
    let stream = futures_util::stream::unfold(follower, |mut follower| async move {
        let told = follower.next().await?;
        let event = Event::default().event(told.name).data(told.data).id(told.id);
        Some((Ok(event), follower))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}
