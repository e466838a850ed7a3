//! Clients, as the operator adds, lists and revokes them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use crate::blocking::beside;
use crate::status::{ClientStatus, PanelBuilder};
use crate::terminal::access::{Access, AccessError, Kind, Listed};
use crate::{env, logging};

/// Who is to be let in.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Newcomer {
    /// Its name: 1 to 32 of a-z, 0-9 and '-'.
    pub name: String,
}

/// The only time that a token is shown.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Admitted {
    /// Its name.
    pub name: String,
    /// Its token; only a hash of it is kept.
    pub token: String,
}

/// The routes of this file.
pub fn routes(access: Access) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_terminals, add_terminal))
        .routes(routes!(revoke_terminal))
        .routes(routes!(list_nodes, add_node))
        .routes(routes!(revoke_node))
        .routes(routes!(list_operators, add_operator))
        .routes(routes!(revoke_operator))
        .with_state(access)
}

/// Lets the panel name the clients that may come in.
pub fn report(access: &Access, panel: &mut PanelBuilder) {
    let access = access.clone();
    panel.add(move |status| {
        for (kind, word) in [(Kind::Terminal, "terminal"), (Kind::Node, "node")] {
            let active = access
                .list(kind, env::timestamp())
                .into_iter()
                .filter(|entry| entry.revoked.is_none());
            // Tills of the boxes next door are clients of this one once they have come.
            let active = active.filter(|e| e.guest_of.is_none() || e.last_seen.is_some());
            status.clients.extend(active.map(|entry| ClientStatus {
                kind: word.to_owned(),
                name: entry.name,
                last_seen: entry.last_seen,
            }));
        }
    });
}

/// All terminals, revoked ones too.
#[utoipa::path(get, path = "/v1/terminals", tag = "clients",
    responses((status = 200, description = "All terminals.", body = Vec<Listed>)))]
async fn list_terminals(State(access): State<Access>) -> Json<Vec<Listed>> {
    Json(access.list(Kind::Terminal, env::timestamp()))
}

/// Lets a terminal in and shows its token, once.
#[utoipa::path(post, path = "/v1/terminals", tag = "clients", request_body = Newcomer,
    responses((status = 201, description = "Its token.", body = Admitted)))]
async fn add_terminal(
    State(access): State<Access>,
    Json(newcomer): Json<Newcomer>,
) -> Result<(StatusCode, Json<Admitted>), Refusal> {
    add(access, Kind::Terminal, newcomer.name).await
}

/// Takes a terminal's token away.
#[utoipa::path(delete, path = "/v1/terminals/{name}", tag = "clients", params(("name" = String, Path)),
    responses((status = 204, description = "Its token lets nobody in any more.")))]
async fn revoke_terminal(
    State(access): State<Access>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    revoke(access, Kind::Terminal, name).await
}

/// All boxes that may replicate from here and settle here, revoked ones too.
#[utoipa::path(get, path = "/v1/nodes", tag = "clients",
    responses((status = 200, description = "All nodes.", body = Vec<Listed>)))]
async fn list_nodes(State(access): State<Access>) -> Json<Vec<Listed>> {
    Json(access.list(Kind::Node, env::timestamp()))
}

/// Lets a box in and shows its token, once.
#[utoipa::path(post, path = "/v1/nodes", tag = "clients", request_body = Newcomer,
    responses((status = 201, description = "Its token.", body = Admitted)))]
async fn add_node(
    State(access): State<Access>,
    Json(newcomer): Json<Newcomer>,
) -> Result<(StatusCode, Json<Admitted>), Refusal> {
    add(access, Kind::Node, newcomer.name).await
}

/// Takes a box's token away.
#[utoipa::path(delete, path = "/v1/nodes/{name}", tag = "clients", params(("name" = String, Path)),
    responses((status = 204, description = "Its token lets nobody in any more.")))]
async fn revoke_node(
    State(access): State<Access>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    revoke(access, Kind::Node, name).await
}

/// All operators, revoked ones too.
#[utoipa::path(get, path = "/v1/operators", tag = "clients",
    responses((status = 200, description = "All operators.", body = Vec<Listed>)))]
async fn list_operators(State(access): State<Access>) -> Json<Vec<Listed>> {
    Json(access.list(Kind::Operator, env::timestamp()))
}

/// Lets a person act on this box from a browser and shows the token, once.
#[utoipa::path(post, path = "/v1/operators", tag = "clients", request_body = Newcomer,
    responses((status = 201, description = "The token.", body = Admitted)))]
async fn add_operator(
    State(access): State<Access>,
    Json(newcomer): Json<Newcomer>,
) -> Result<(StatusCode, Json<Admitted>), Refusal> {
    add(access, Kind::Operator, newcomer.name).await
}

/// Takes an operator's token away.
#[utoipa::path(delete, path = "/v1/operators/{name}", tag = "clients", params(("name" = String, Path)),
    responses((status = 204, description = "The token lets nobody in any more.")))]
async fn revoke_operator(
    State(access): State<Access>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    revoke(access, Kind::Operator, name).await
}

async fn add(
    access: Access,
    kind: Kind,
    name: String,
) -> Result<(StatusCode, Json<Admitted>), Refusal> {
    let admitted = aside(move || {
        let token = access.add(kind, &name, env::random(), env::timestamp())?;
        Ok(Admitted { name, token })
    });
    Ok((StatusCode::CREATED, Json(admitted.await?)))
}

async fn revoke(access: Access, kind: Kind, name: String) -> Result<StatusCode, Refusal> {
    aside(move || access.revoke(kind, &name, env::timestamp())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes flush a file, which must not hold up other requests.
pub(super) async fn aside<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, AccessError> + Send + 'static,
) -> Result<T, Refusal> {
    beside(change).await.map_err(refuse)
}

fn refuse(error: AccessError) -> Refusal {
    let code = match &error {
        AccessError::Name(_) => Code::FieldInvalid,
        AccessError::Exists(_) => Code::TerminalExists,
        AccessError::Unknown(_) => Code::TerminalUnknown,
        AccessError::Full | AccessError::KeyTaken => Code::StateConflict,
        AccessError::File { .. } | AccessError::Content { .. } | AccessError::Version { .. } => {
            tracing::error!(error = logging::chain(&error), "cannot change who may come in");
            return Refusal::new(Code::Internal, "the list of clients could not be written");
        }
    };
    Refusal::new(code, error.to_string())
}
