//! What is logged, and the last lines: for the operator.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use crate::logging::{self, LevelChange, Levels, LevelsView};

/// The routes of this file.
pub fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(levels, change)).routes(routes!(lines))
}

/// The levels of the log.
#[utoipa::path(get, path = "/v1/log", tag = "health",
    responses((status = 200, description = "The levels.", body = LevelsView)))]
async fn levels() -> Result<Json<LevelsView>, Refusal> {
    Ok(Json(the_levels()?.view()))
}

/// Changes the level of a module, or of everything, for a while.
#[utoipa::path(put, path = "/v1/log", tag = "health", request_body = LevelChange,
    responses((status = 200, description = "The levels from now on.", body = LevelsView)))]
async fn change(Json(change): Json<LevelChange>) -> Result<Json<LevelsView>, Refusal> {
    let changed = the_levels()?.change(change);
    changed.map(Json).map_err(|error| Refusal::new(Code::FieldInvalid, logging::chain(&error)))
}

/// The last log lines of this process, oldest first.
#[utoipa::path(get, path = "/v1/log/lines", tag = "health", responses((status = 200,
    description = "One line for each event.", body = String, content_type = "text/plain")))]
async fn lines() -> Response {
    let (lines, dropped) = logging::lines();
    let mut text = String::new();
    if dropped > 0 {
        text.push_str(&format!("… {dropped} older lines are not kept\n"));
    }
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn the_levels() -> Result<&'static Levels, Refusal> {
    logging::levels().ok_or_else(|| Refusal::new(Code::Internal, "this process does not log"))
}
