//! Drills, for the operator: cut the line to head office for a while, and read what worked.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use storebox_proto::drill::{Refused, Report};
use storebox_proto::order::Order;
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::devices::named;
use super::identity::Identity;
use super::problem::Refusal;
use crate::drill::{DrillError, Drills};
use crate::logging;

/// The routes of this file.
pub fn routes(drills: Drills) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list, begin)).routes(routes!(end)).with_state(drills)
}

/// A drill that is wanted.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// How long the line is to be cut, 1 to 14400.
    seconds: u32,
    /// Who wants it.
    #[serde(default)]
    by: Option<String>,
}

/// Who ends it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Ender {
    /// Who.
    #[serde(default)]
    by: Option<String>,
}

/// All drills that are remembered, the newest first; the first one may be under way.
#[utoipa::path(get, path = "/v1/drill", tag = "health",
    responses((status = 200, description = "The reports.", body = Vec<Object>)))]
async fn list(State(drills): State<Drills>) -> Json<Vec<Report>> {
    Json(drills.reports())
}

/// Cuts the line to head office, as if the cable were out; it comes back by itself, and at a restart.
#[utoipa::path(post, path = "/v1/drill", tag = "health", request_body = Wanted,
    responses((status = 201, description = "The line is cut.", body = Object),
              (status = 409, description = "A drill is under way.")))]
async fn begin(
    State(drills): State<Drills>,
    Extension(identity): Extension<Identity>,
    Json(Wanted { seconds, by }): Json<Wanted>,
) -> Result<(StatusCode, Json<Report>), Refusal> {
    let by = named(by, &identity);
    let report = drills.begin(Order { seconds, by }).await.map_err(refuse)?;
    Ok((StatusCode::CREATED, Json(report)))
}

/// Ends the drill that is under way.
#[utoipa::path(post, path = "/v1/drill/end", tag = "health", request_body = Ender,
    responses((status = 200, description = "The line is whole.", body = Object),
              (status = 409, description = "No drill is under way.")))]
async fn end(
    State(drills): State<Drills>,
    Extension(identity): Extension<Identity>,
    Json(Ender { by }): Json<Ender>,
) -> Result<Json<Report>, Refusal> {
    let by = named(by, &identity);
    let whole = || Refusal::new(Code::StateConflict, "no drill is under way");
    drills.end(Some(by)).await.map(Json).ok_or_else(whole)
}

fn refuse(error: DrillError) -> Refusal {
    let code = match &error {
        DrillError::Refused(Refused::Unfit(_)) => Code::FieldInvalid,
        DrillError::Refused(Refused::Running) => Code::StateConflict,
        DrillError::Diary(_) => Code::StorageFailed,
        DrillError::NotReady => Code::Busy,
    };
    Refusal::new(code, logging::chain(&error))
}
