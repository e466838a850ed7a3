//! Scales: a settled weight on request, the live weight as events, tare and zero, and a lease for who shares one.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::{Extension, Json};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use storebox_peripherals::scale::{Ask, PricedAsk, Unit, Weight};
use storebox_proto::ids::DeviceId;
use storebox_proto::problem::{Code, Problem};
use tokio::sync::oneshot;
use tokio_stream::wrappers::WatchStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::devices::{DeviceView, name_of};
use super::events::ALIVE_EVERY;
use super::identity::Identity;
use super::jobs::parameter;
use super::printers::taken_away;
use super::problem::Refusal;
use crate::devices::bay::scale::{Command, Weighing};
use crate::devices::yard::{Devices, ScalePost, Station};
use crate::env;

/// How long a till waits for a settled weight if it does not say.
const WAIT: Duration = Duration::from_secs(1);
/// The longest that it may wait.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Tare and zero are answered within this: longer than an MT-SICS scale waits for a settled plate, because what was
/// told to have failed must not be carried out afterwards.
const DEED_MAX: Duration = Duration::from_secs(7);

/// The routes of this file.
pub fn routes(devices: Devices) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(weight))
        .routes(routes!(events))
        .routes(routes!(tare))
        .routes(routes!(zero))
        .routes(routes!(lease, give_back))
        .with_state(devices)
}

/// A scale.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ScaleView {
    /// Where it is and whether it can be talked to.
    #[serde(flatten)]
    device: DeviceView,
    /// What it said last.
    reading: Option<Weighing>,
}

/// How a weight is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Weigh {
    /// Milliseconds until the plate must have come to rest; 1000 if absent.
    timeout_ms: Option<u64>,
    /// Price per unit of weight in minor units, for a scale that computes prices.
    unit_price: Option<u32>,
}

/// What to take for the container.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Tare {
    /// Its weight in kilograms as a decimal, `0` to forget it; absent: what is on the plate.
    weight: Option<String>,
}

/// How long the device is wanted.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lease {
    /// Seconds.
    pub(super) seconds: u64,
}

/// A lease that was given.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Leased {
    /// Seconds until it ends by itself.
    pub(super) seconds: u64,
}

/// All scales.
#[utoipa::path(get, path = "/v1/scales", tag = "scales",
    responses((status = 200, description = "All scales.", body = Vec<ScaleView>)))]
async fn list(State(devices): State<Devices>) -> Json<Vec<ScaleView>> {
    let now = env::instant();
    let roll = devices.roll();
    let scales = roll.posts.values().filter_map(|post| match &post.station {
        Station::Scale { seen, .. } => {
            let reading = seen.borrow().as_ref().map(|seen| seen.tell(now));
            Some(ScaleView { device: DeviceView::of(post), reading })
        }
        Station::Printer { .. } | Station::Display { .. } | Station::Scanner { .. } => None,
    });
    Json(scales.collect())
}

/// A scale and what it said last.
#[utoipa::path(get, path = "/v1/scales/{id}", tag = "scales", params(("id" = String, Path)),
    responses((status = 200, description = "The scale.", body = ScaleView)))]
async fn show(
    State(devices): State<Devices>,
    Path(id): Path<String>,
) -> Result<Json<ScaleView>, Refusal> {
    let scale = devices.scale(&id)?;
    let device = DeviceView::of(&devices.post(&id)?);
    let reading = scale.seen.borrow().as_ref().map(|seen| seen.tell(env::instant()));
    Ok(Json(ScaleView { device, reading }))
}

/// A settled weight, measured after this request came in; anything else is a refusal.
#[utoipa::path(get, path = "/v1/scales/{id}/weight", tag = "scales",
    params(("id" = String, Path), Weigh),
    responses((status = 200, description = "What is on the plate, at rest.", body = Weighing),
              (status = 409, description = "Nothing to sell by is on the plate.")))]
async fn weight(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    weigh: Result<Query<Weigh>, QueryRejection>,
) -> Result<Json<Weighing>, Refusal> {
    let Query(weigh) = weigh.map_err(parameter)?;
    let scale = mine(&devices, &id, &identity)?;
    let ask = match weigh.unit_price {
        None => Ask::Weigh,
        Some(unit_price) => Ask::Price(PricedAsk { unit_price, tare: None, text: None }),
    };
    let wait = weigh.timeout_ms.map_or(WAIT, Duration::from_millis).min(WAIT_MAX);
    let (answer, answered) = oneshot::channel();
    scale.counter.give(Command::Weigh { ask, until: env::instant() + wait, answer })?;
    let seen = answered.await.map_err(|_| taken_away())??;
    Ok(Json(seen.tell(env::instant())))
}

/// The live weight: an event `reading` whenever the scale says something else.
#[utoipa::path(get, path = "/v1/scales/{id}/events", tag = "scales", params(("id" = String, Path)),
    responses((status = 200, description = "Events until the connection ends.", body = String,
               content_type = "text/event-stream")))]
async fn events(
    State(devices): State<Devices>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let scale = devices.scale(&id)?;
    let watcher = scale.audience.join();
    let seen = WatchStream::new(scale.seen);
    let mut last = None;
    let news = seen.filter_map(move |seen| {
        // Whoever listens is counted as long as the stream lives.
        let _watches = &watcher;
        let seen =
            seen.filter(|seen| last.replace(seen.outcome.clone()) != Some(seen.outcome.clone()));
        std::future::ready(seen.map(|seen| {
            let json = serde_json::to_string(&seen.tell(env::instant()));
            Ok(Event::default().event("reading").data(json.unwrap_or_default()))
        }))
    });
    Ok(Sse::new(news).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}

/// Takes what is on the plate, or a given weight, for the container.
#[utoipa::path(post, path = "/v1/scales/{id}/tare", tag = "scales", params(("id" = String, Path)),
    request_body = Tare, responses((status = 204, description = "Done.")))]
async fn tare(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    Json(Tare { weight }): Json<Tare>,
) -> Result<StatusCode, Refusal> {
    let ask = match weight {
        None => Ask::Tare,
        Some(text) => match Weight::parse(text.as_bytes(), Unit::Kilogram) {
            Some(weight) if weight.is_zero() => Ask::ClearTare,
            Some(weight) => Ask::TareBy(weight),
            None => {
                let detail = "weight must be a decimal such as 0.125";
                return Err(Refusal::new(Code::FieldInvalid, detail));
            }
        },
    };
    carry_out(&mine(&devices, &id, &identity)?, ask).await
}

/// Calls the empty plate zero.
#[utoipa::path(post, path = "/v1/scales/{id}/zero", tag = "scales", params(("id" = String, Path)),
    responses((status = 204, description = "Done.")))]
async fn zero(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    carry_out(&mine(&devices, &id, &identity)?, Ask::Zero).await
}

/// Keeps a shared scale for the caller; it ends by itself and may be asked for again before.
#[utoipa::path(post, path = "/v1/scales/{id}/lease", tag = "scales", params(("id" = String, Path)),
    request_body = Lease,
    responses((status = 200, description = "The scale is the caller's.", body = Leased)))]
async fn lease(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    Json(wish): Json<Lease>,
) -> Result<Json<Leased>, Refusal> {
    Ok(Json(lend(&devices, &devices.scale(&id)?.id, &identity, wish)?))
}

/// Gives a device to the caller for so long, or for as long as anybody may have one.
pub(super) fn lend(
    devices: &Devices,
    device: &DeviceId,
    identity: &Identity,
    wish: Lease,
) -> Result<Leased, Problem> {
    let length = Duration::from_secs(wish.seconds);
    let given = devices.leases().take(device, &name_of(identity), length, env::instant())?;
    Ok(Leased { seconds: given.as_secs() })
}

/// Gives a shared scale back.
#[utoipa::path(delete, path = "/v1/scales/{id}/lease", tag = "scales", params(("id" = String, Path)),
    responses((status = 204, description = "The caller has no lease any more.")))]
async fn give_back(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    devices.leases().give_back(&devices.scale(&id)?.id, &name_of(&identity));
    Ok(StatusCode::NO_CONTENT)
}

/// A scale that nobody else has a lease of.
fn mine(devices: &Devices, id: &str, identity: &Identity) -> Result<ScalePost, Problem> {
    let scale = devices.scale(id)?;
    devices.leases().check(&scale.id, &name_of(identity), env::instant())?;
    Ok(scale)
}

async fn carry_out(scale: &ScalePost, ask: Ask) -> Result<StatusCode, Refusal> {
    let (answer, answered) = oneshot::channel();
    scale.counter.give(Command::Do { ask, until: env::instant() + DEED_MAX, answer })?;
    answered.await.map_err(|_| taken_away())??;
    Ok(StatusCode::NO_CONTENT)
}
