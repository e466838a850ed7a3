//! Pushes: a stream of events for clients of a channel, and how every definition does for the operator.
//!
//! A client that comes back with the number of the last event that it has dealt with hears what came after it;
//! what it has not said to have taken waits on the box's disk, however long it is away.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{AppendHeaders, IntoResponse};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storebox_proto::problem::{Code, Problem};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::ALIVE_EVERY;
use super::identity::Identity;
use super::problem::Refusal;
use super::{channels, correlation};
use crate::blocking::beside;
use crate::channel::push::{Pushes, Told};
use crate::channel::{Channels, Context};
use crate::db::DiskError;
use crate::login::Person;

/// A definition whose time has come is looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What the handlers need; cheap to clone.
#[derive(Clone)]
pub struct PushDesk {
    /// Who may listen.
    pub channels: Channels,
    /// The pushes.
    pub pushes: Pushes,
    /// Ends all streams when the box stops.
    pub stop: CancellationToken,
}

/// The routes of this file.
pub fn routes(desk: PushDesk) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(listen))
        .routes(routes!(taken))
        .routes(routes!(list))
        .routes(routes!(retry))
        .routes(routes!(give_up))
        .with_state(desk)
}

/// Where a client goes on.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct After {
    /// The number of the last event that was dealt with; the header `Last-Event-ID` wins.
    after: Option<String>,
    /// The terminal, if the operator listens in the place of one.
    terminal: Option<String>,
}

/// What a client has dealt with.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Taken {
    /// The number of the last event; it and all before it are not told again.
    number: u64,
}

/// One client's place.
struct Listener {
    desk: PushDesk,
    channel: String,
    /// The last number that it was sent of each definition; what it has taken waits no more.
    sent: BTreeMap<String, u64>,
    moved: watch::Receiver<u64>,
    ready: std::collections::VecDeque<Told>,
}

/// What the channel of this terminal is told, as server-sent events named `push`.
///
/// `data` has `push` (the definition), `number`, `entity`, `id`, `event` (`changed`, `removed`, or `reset`: load all of
/// them anew), `at`, and `object` if the definition says so.
/// Tell `taken` what was dealt with; what was not is told again after a reconnection.
#[utoipa::path(get, path = "/v1/channel/push", tag = "channels", params(After),
    responses((status = 200, description = "Events until the connection ends.", body = String,
               content_type = "text/event-stream", example = json!("event: push\nid: 7\ndata: \
                {\"push\":\"prices\",\"number\":7,\"entity\":\"Product\",\"id\":\"25671\",\
                \"event\":\"changed\",\"at\":\"2026-11-22T10:02:00Z\"}\n\n"))))]
async fn listen(
    State(desk): State<PushDesk>,
    Extension(identity): Extension<Identity>,
    person: Option<Extension<Person>>,
    after: Result<Query<After>, QueryRejection>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let refuse = |detail: String| Refusal::new(Code::ParameterInvalid, detail);
    let Query(after) = after.map_err(|error| refuse(error.body_text()))?;
    let header = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let number = match header.or(after.after.as_deref()) {
        None => 0,
        Some(text) => {
            text.parse().map_err(|_| refuse("after: must be the number of an event".to_owned()))?
        }
    };
    let asking = Asking { identity, person, terminal: after.terminal, headers };
    let context = context(&desk, asking).await?;
    let correlation = context.caller.correlation.clone();
    let channel = context.channel.id.clone();
    context.span("push").in_scope(|| tracing::info!("a client listens to pushes"));
    if number > 0 {
        keep_taken(&desk, &channel, number).await?;
    }
    let moved = desk.pushes.moved();
    let ready = std::collections::VecDeque::new();
    let listener = Listener { desk, channel, sent: BTreeMap::new(), moved, ready };
    let stream = futures_util::stream::unfold(listener, |mut listener| async move {
        let told = listener.next().await?;
        let data = serde_json::to_string(&told).expect("plain data with string keys");
        let event = Event::default().event("push").id(told.number.to_string()).data(data);
        Some((Ok::<_, Infallible>(event), listener))
    });
    let value = HeaderValue::from_str(&correlation).expect("a correlation id is plain ASCII");
    let events = Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE_EVERY));
    Ok((AppendHeaders([(correlation::HEADER, value)]), events))
}

impl Listener {
    /// The next event; nothing once the box stops.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                self.sent.insert(told.push.clone(), told.number);
                return Some(told);
            }
            self.moved.mark_unchanged();
            let (pushes, channel, sent) =
                (self.desk.pushes.clone(), self.channel.clone(), self.sent.clone());
            match beside(move || pushes.tell(&channel, &sent)).await {
                Ok(told) => self.ready.extend(told),
                Err(error) => tracing::warn!(%error, "records of pushes cannot be read"),
            }
            if self.ready.is_empty() {
                let stop = self.desk.stop.clone();
                let moved = tokio::time::timeout(LOOK_EVERY, self.moved.changed());
                let _ = stop.run_until_cancelled(moved).await?;
            }
        }
    }
}

/// A client of a channel has dealt with everything up to an event.
#[utoipa::path(post, path = "/v1/channel/push/taken", tag = "channels", params(After),
    request_body(content = Taken, example = json!({"number": 7})),
    responses((status = 204, description = "It is not told again.")))]
async fn taken(
    State(desk): State<PushDesk>,
    Extension(identity): Extension<Identity>,
    person: Option<Extension<Person>>,
    after: Result<Query<After>, QueryRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let Query(after) =
        after.map_err(|error| Refusal::new(Code::ParameterInvalid, error.body_text()))?;
    let Taken { number } = serde_json::from_slice(&body).map_err(|error| {
        Refusal::new(Code::BodyMalformed, format!("request is not understood: {error}"))
    })?;
    let asking = Asking { identity, person, terminal: after.terminal, headers };
    let context = context(&desk, asking).await?;
    context.span("push").in_scope(|| tracing::debug!(number, "a client has taken pushes"));
    keep_taken(&desk, &context.channel.id, number).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How every push definition does: what waits, the last delivery, what the target refused.
#[utoipa::path(get, path = "/v1/pushes", tag = "channels",
    responses((status = 200, description = "All definitions.", body = Object)))]
async fn list(State(desk): State<PushDesk>) -> Result<Json<Value>, Refusal> {
    let status = aside(move || desk.pushes.status()).await?;
    Ok(Json(json!({ "pushes": status })))
}

/// What a retry brings back.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Revived {
    /// Records that are told again.
    revived: usize,
}

/// What is told no more.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct GivenUp {
    /// Records that were given up.
    dropped: usize,
}

/// Tell a target again what it refused.
#[utoipa::path(post, path = "/v1/pushes/{id}/retry", tag = "channels",
    params(("id" = String, Path, description = "The definition.")),
    responses((status = 200, description = "They wait again.", body = Revived),
              (status = 404, description = "No such definition.")))]
async fn retry(
    State(desk): State<PushDesk>,
    Path(id): Path<String>,
) -> Result<Json<Revived>, Refusal> {
    known(&desk, &id)?;
    let revived = aside(move || desk.pushes.retry(&id)).await?;
    Ok(Json(Revived { revived }))
}

/// Give up what a target refused.
#[utoipa::path(post, path = "/v1/pushes/{id}/drop", tag = "channels",
    params(("id" = String, Path, description = "The definition.")),
    responses((status = 200, description = "They are told no more.", body = GivenUp),
              (status = 404, description = "No such definition.")))]
async fn give_up(
    State(desk): State<PushDesk>,
    Path(id): Path<String>,
) -> Result<Json<GivenUp>, Refusal> {
    known(&desk, &id)?;
    let name = id.clone();
    let dropped = aside(move || desk.pushes.give_up(&id)).await?;
    tracing::warn!(push = %name, dropped, "what a target refused was given up");
    Ok(Json(GivenUp { dropped }))
}

fn known(desk: &PushDesk, id: &str) -> Result<(), Refusal> {
    match desk.channels.definitions().pushes().any(|push| push.id == id) {
        true => Ok(()),
        false => Err(Refusal::new(Code::PathUnknown, "no push definition has this id")),
    }
}

/// Who asks, and for which terminal.
struct Asking {
    identity: Identity,
    person: Option<Extension<Person>>,
    terminal: Option<String>,
    headers: HeaderMap,
}

/// The context of whoever asks; refused without the right to hear.
async fn context(desk: &PushDesk, asking: Asking) -> Result<Context, Refusal> {
    let Asking { identity, person, terminal, headers } = asking;
    let person = person.as_ref().map(|Extension(person)| person);
    let correlation = correlation::of(&headers);
    let caller = channels::caller(&identity, person, terminal.as_deref(), correlation)?;
    let channels = desk.channels.clone();
    let allowed = beside(move || {
        let context = channels.context(caller)?;
        channels.may_listen(&context)?;
        Ok::<_, Problem>(context)
    });
    Ok(allowed.await?)
}

async fn keep_taken(desk: &PushDesk, channel: &str, number: u64) -> Result<(), Refusal> {
    let (pushes, channel) = (desk.pushes.clone(), channel.to_owned());
    aside(move || pushes.taken(&channel, number)).await
}

async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiskError> + Send + 'static,
) -> Result<T, Refusal> {
    beside(work).await.map_err(|error| Refusal::new(Code::StorageFailed, error.to_string()))
}
