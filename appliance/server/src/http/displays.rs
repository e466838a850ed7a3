//! Customer displays: two rows of text.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::devices::name_of;
use super::identity::Identity;
use super::printers::taken_away;
use super::problem::Refusal;
use super::scales::{Lease, Leased, lend};
use crate::devices::bay::display::Command;
use crate::devices::yard::Devices;
use crate::env;

/// The route of this file.
pub fn routes(devices: Devices) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(lease, give_back)).with_state(devices)
}

/// What the customer sees; what is longer than a row is cut off.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Rows {
    /// The upper row.
    upper: String,
    /// The lower row.
    lower: String,
}

/// Shows two rows.
#[utoipa::path(put, path = "/v1/displays/{id}", tag = "displays", params(("id" = String, Path)),
    request_body = Rows, responses((status = 204, description = "They are on their way.")))]
async fn show(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    Json(Rows { upper, lower }): Json<Rows>,
) -> Result<StatusCode, Refusal> {
    let display = devices.display(&id)?;
    let device = devices.post(&id)?.definition.id;
    devices.leases().check(&device, &name_of(&identity), env::instant())?;
    let (answer, answered) = oneshot::channel();
    display.give(Command { upper, lower, answer })?;
    answered.await.map_err(|_| taken_away())??;
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps a shared display for the caller; it ends by itself and may be asked for again before.
#[utoipa::path(post, path = "/v1/displays/{id}/lease", tag = "displays",
    params(("id" = String, Path)), request_body = Lease,
    responses((status = 200, description = "The display is the caller's.", body = Leased)))]
async fn lease(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    Json(wish): Json<Lease>,
) -> Result<Json<Leased>, Refusal> {
    devices.display(&id)?;
    let device = devices.post(&id)?.definition.id;
    Ok(Json(lend(&devices, &device, &identity, wish)?))
}

/// Gives a shared display back.
#[utoipa::path(delete, path = "/v1/displays/{id}/lease", tag = "displays",
    params(("id" = String, Path)),
    responses((status = 204, description = "The caller has no lease any more.")))]
async fn give_back(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    devices.display(&id)?;
    let device = devices.post(&id)?.definition.id;
    devices.leases().give_back(&device, &name_of(&identity));
    Ok(StatusCode::NO_CONTENT)
}
