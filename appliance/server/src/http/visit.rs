//! Visits of head office: opened and closed at the box, called for by it, and asked for at head office.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use storebox_proto::ids::NodeId;
use storebox_proto::order::Order;
use storebox_proto::problem::Code;
use storebox_proto::visit::{Asked, Call, Entry, Sight};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::devices::{named, person_of};
use super::identity::Identity;
use super::problem::Refusal;
use crate::logging;
use crate::visit::{Desk, Hall, LookError, OpenError};

/// A visit of which nobody says how long it is to be.
const SECONDS: u32 = 30 * 60;

/// The routes of a box in a shop.
pub fn box_routes(desk: Desk) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(audit, open)).routes(routes!(close)).with_state(desk)
}

/// The routes of head office.
pub fn office_routes(hall: Hall) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(hear))
        .routes(routes!(look))
        .routes(routes!(knock))
        .with_state(hall)
}

/// A visit that is wanted.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// How long, 1 to 14400.
    #[serde(default)]
    seconds: Option<u32>,
    /// Who wants it.
    #[serde(default)]
    by: Option<String>,
}

/// What is to be looked at.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Look {
    /// One of a few paths of the box, such as `/v1/status`, or `/doctor`.
    path: String,
    /// Who looks.
    #[serde(default)]
    by: Option<String>,
}

/// What the box showed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Shown {
    /// The HTTP status of its answer.
    status: u16,
    /// What the body is.
    content_type: String,
    /// The body.
    body: String,
}

/// Who let head office look, and what it looked at, the newest first.
#[utoipa::path(get, path = "/v1/visit", tag = "boxes",
    responses((status = 200, description = "The audit.", body = Vec<Object>)))]
async fn audit(State(desk): State<Desk>) -> Json<Vec<Entry>> {
    Json(desk.beside(Desk::audit).await)
}

/// Lets head office look at this box for a while; it ends by itself, and at a restart.
#[utoipa::path(post, path = "/v1/visit", tag = "boxes", request_body = Wanted,
    responses((status = 204, description = "It may look.")))]
async fn open(
    State(desk): State<Desk>,
    Extension(identity): Extension<Identity>,
    Json(Wanted { seconds, by }): Json<Wanted>,
) -> Result<StatusCode, Refusal> {
    let order = Order { seconds: seconds.unwrap_or(SECONDS), by: named(by, &identity) };
    let opened = desk.beside(move |desk| desk.let_in(&order)).await;
    opened.map(|()| StatusCode::NO_CONTENT).map_err(|error| {
        let code = match &error {
            OpenError::Unfit(_) => Code::FieldInvalid,
            OpenError::Audit(_) => Code::StorageFailed,
        };
        Refusal::new(code, logging::chain(&error))
    })
}

/// Lets head office look no longer.
#[utoipa::path(post, path = "/v1/visit/close", tag = "boxes", request_body = Wanted,
    responses((status = 204, description = "It may not."),
              (status = 409, description = "It could not.")))]
async fn close(
    State(desk): State<Desk>,
    Extension(identity): Extension<Identity>,
    Json(Wanted { by, .. }): Json<Wanted>,
) -> Result<StatusCode, Refusal> {
    let by = person_of(by, &identity);
    match desk.beside(move |desk| desk.close(&by)).await {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::new(Code::StateConflict, "head office cannot look at this box")),
    }
}

/// A box calls for questions, and brings what it was asked for.
#[utoipa::path(post, path = "/sync/v1/visit", tag = "boxes", request_body = Object,
    responses((status = 200, description = "What it is asked.", body = Object)))]
async fn hear(
    State(hall): State<Hall>,
    Extension(identity): Extension<Identity>,
    Json(call): Json<Call>,
) -> Result<Json<Asked>, Refusal> {
    let Identity::Node(node) = identity else {
        return Err(Refusal::new(Code::Forbidden, "only a box shows itself"));
    };
    Ok(Json(hall.hear(&node, call).await))
}

/// Looks at a box whose visit is open.
#[utoipa::path(post, path = "/v1/boxes/{name}/look", tag = "boxes", params(("name" = String, Path)),
    request_body = Look, responses((status = 200, description = "What it showed.", body = Shown),
              (status = 409, description = "Nobody at the store lets head office look.")))]
async fn look(
    State(hall): State<Hall>,
    Extension(identity): Extension<Identity>,
    Path(node): Path<String>,
    Json(Look { path, by }): Json<Look>,
) -> Result<Json<Shown>, Refusal> {
    let seen = hall.look(&node_of(&node)?, &path, &person_of(by, &identity)).await;
    let Sight { status, content_type, body, .. } = seen.map_err(refuse)?;
    Ok(Json(Shown { status, content_type, body }))
}

/// Wishes to be let in by a box whose configuration allows that.
#[utoipa::path(post, path = "/v1/boxes/{name}/knock", tag = "boxes", params(("name" = String, Path)),
    request_body = Wanted, responses((status = 202, description = "The box hears it at its next call.")))]
async fn knock(
    State(hall): State<Hall>,
    Extension(identity): Extension<Identity>,
    Path(node): Path<String>,
    Json(Wanted { seconds, by }): Json<Wanted>,
) -> Result<StatusCode, Refusal> {
    let order = Order { seconds: seconds.unwrap_or(SECONDS), by: named(by, &identity) };
    hall.knock(&node_of(&node)?, order);
    Ok(StatusCode::ACCEPTED)
}

fn node_of(name: &str) -> Result<NodeId, Refusal> {
    name.parse().map_err(|error| Refusal::new(Code::FieldInvalid, logging::chain(&error)))
}

fn refuse(error: LookError) -> Refusal {
    let code = match &error {
        LookError::Path => Code::FieldInvalid,
        LookError::Closed(_) => Code::StateConflict,
        LookError::Busy(_) | LookError::Silent(_) => Code::Busy,
    };
    Refusal::new(code, error.to_string())
}
