//! Who the box takes a caller for, so that a page shows only what its user may do.

use axum::{Extension, Json};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::devices::name_of;
use super::identity::Identity;

/// A caller as the box sees it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Caller {
    /// `operator`, `terminal`, `node` or `nobody`.
    kind: &'static str,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// The route of this file.
pub fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(whoami))
}

/// Who the caller is; a token that nobody has is refused.
#[utoipa::path(get, path = "/v1/whoami", tag = "clients",
    responses((status = 200, description = "The caller.", body = Caller)))]
async fn whoami(caller: Option<Extension<Identity>>) -> Json<Caller> {
    let identity = caller.map(|Extension(identity)| identity);
    let kind = match &identity {
        Some(Identity::Operator) => "operator",
        Some(Identity::Terminal(_)) => "terminal",
        Some(Identity::Node(_)) => "node",
        None => "nobody",
    };
    Json(Caller { kind, name: identity.as_ref().map(name_of) })
}
