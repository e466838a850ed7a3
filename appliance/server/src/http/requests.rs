//! The request log of the channels, for the operator.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use crate::blocking::beside;
use crate::channel::request_log::{CallLog, Wanted};

/// Entries of one answer if nothing is said.
const LIMIT: usize = 50;
/// Entries of one answer at most.
const LIMIT_MAX: usize = 500;

/// The route of this file.
pub fn routes(log: CallLog) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(find)).with_state(log)
}

/// Which calls are wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Of this correlation id: the header `storebox-correlation` of the call.
    correlation: Option<String>,
    /// Of this service.
    service: Option<String>,
    /// Of this terminal.
    terminal: Option<String>,
    /// Only those that were refused.
    refused: bool,
    /// 1 to 500; 50 without it.
    limit: Option<usize>,
}

/// Calls of channels, the newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Calls {
    /// With request, answer or problem, duration and the hooks on the way; secret fields are masked.
    #[schema(value_type = Vec<Object>)]
    calls: Vec<Value>,
    /// Calls since the start that came too fast to be written down.
    missed: u64,
}

/// The request log, the newest call first.
#[utoipa::path(get, path = "/v1/requests", tag = "channels", params(Which),
    responses((status = 200, description = "The calls that fit.", body = Calls)))]
async fn find(
    State(log): State<CallLog>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Calls>, Refusal> {
    let parameter = |detail: String| Refusal::new(Code::ParameterInvalid, detail);
    let Query(which) = which.map_err(|error| parameter(error.body_text()))?;
    let count_max = which.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&count_max) {
        return Err(parameter(format!("limit must be 1 to {LIMIT_MAX}")));
    }
    let Which { correlation, service, terminal, refused, .. } = which;
    let wanted = Wanted { correlation, service, terminal, refused, count_max };
    let missed = log.missed();
    let found = beside(move || log.find(&wanted)).await;
    let calls = found.map_err(|error| Refusal::new(Code::StorageFailed, error.to_string()))?;
    Ok(Json(Calls { calls, missed }))
}
