//! Customer displays: two rows of text.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::printers::taken_away;
use super::problem::Refusal;
use crate::devices::bay::display::Command;
use crate::devices::yard::Devices;

/// The route of this file.
pub fn routes(devices: Devices) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(show)).with_state(devices)
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
    Path(id): Path<String>,
    Json(Rows { upper, lower }): Json<Rows>,
) -> Result<StatusCode, Refusal> {
    let (answer, answered) = oneshot::channel();
    devices.display(&id)?.give(Command { upper, lower, answer })?;
    answered.await.map_err(|_| taken_away())??;
    Ok(StatusCode::NO_CONTENT)
}
