//! What head office sets on this box, for the operator: read it, and take it back.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::devices::person_of;
use super::identity::Identity;
use super::problem::Refusal;
use crate::logging;
use crate::settings::{Desk, Settings};

/// The routes of this file.
pub fn routes(desk: Desk) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(back)).with_state(desk)
}

/// Who takes them back.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Taker {
    /// Who.
    #[serde(default)]
    by: Option<String>,
}

/// What is proven, on trial and refused of head office's settings.
#[utoipa::path(get, path = "/v1/settings", tag = "health",
    responses((status = 200, description = "The settings.", body = Settings)))]
async fn show(State(desk): State<Desk>) -> Json<Settings> {
    Json(desk.view())
}

/// Takes back what is in force: the settings before are in force again, and the box begins again with them.
#[utoipa::path(post, path = "/v1/settings/back", tag = "health", request_body = Taker,
    responses((status = 200, description = "Taken back.", body = Settings),
              (status = 409, description = "There is nothing before them.")))]
async fn back(
    State(desk): State<Desk>,
    Extension(identity): Extension<Identity>,
    Json(Taker { by }): Json<Taker>,
) -> Result<Json<Settings>, Refusal> {
    match desk.take_back(person_of(by, &identity)).await {
        Ok(true) => Ok(Json(desk.view())),
        Ok(false) => Err(Refusal::new(Code::StateConflict, "there are no settings before these")),
        Err(error) => Err(Refusal::new(Code::StorageFailed, logging::chain(&error))),
    }
}
