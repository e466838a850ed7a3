//! Is it alive, can it work, and how is it: for systemd, load balancers, people and the console.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use crate::status::{Panel, Status};

/// The header in which a box says who it is, until a certificate proves it.
const NODE_HEADER: &str = "storebox-node";

/// Whether the box can do its job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Readiness {
    /// Whether it can.
    ready: bool,
    /// Why it cannot.
    reasons: Vec<String>,
}

/// The routes of this file.
pub fn routes(panel: Panel) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(status))
        .with_state(panel)
}

/// Answers as long as the process serves requests.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "The process is alive.", body = String, content_type = "text/plain")))]
async fn healthz(State(panel): State<Panel>) -> Response {
    ([(NODE_HEADER, panel.node().as_str().to_owned())], "ok\n").into_response()
}

/// Whether the box can do its job, and why not.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "It can.", body = Readiness),
    (status = 503, description = "It cannot; the reasons say why.", body = Readiness)))]
async fn readyz(State(panel): State<Panel>) -> Response {
    let Status { ready, reasons, .. } = panel.status().await;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons })).into_response()
}

/// The state of the box; clients and tasks are named to the operator only.
#[utoipa::path(get, path = "/v1/status", tag = "health",
    responses((status = 200, description = "The state of the box.", body = Status)))]
async fn status(State(panel): State<Panel>, caller: Option<Extension<Identity>>) -> Json<Status> {
    let status = panel.status().await;
    match caller {
        Some(Extension(Identity::Operator)) => Json(status),
        Some(Extension(Identity::Terminal(_) | Identity::Node(_))) | None => Json(status.summary()),
    }
}
