//! What operators need of logins: hashes for records, the box's token key, and who logged in.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::problem::Refusal;
use crate::login::{Entry, Logins};

/// The routes of this file.
pub fn routes(logins: Logins) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(audit))
        .routes(routes!(hash))
        .routes(routes!(key))
        .with_state(logins)
}

/// A password that is to be hashed.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Plain {
    /// The password or PIN.
    #[schema(value_type = String)]
    password: Zeroizing<String>,
}

/// A hash.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hash {
    /// For the field `password` of a `User`.
    pub hash: String,
}

/// Who logged in where of late, newest first.
#[utoipa::path(get, path = "/v1/logins", tag = "session",
    responses((status = 200, description = "Newest first.", body = Vec<Entry>)))]
async fn audit(State(logins): State<Logins>) -> Json<Vec<Entry>> {
    Json(logins.audit())
}

/// Hashes a password with the pepper of the site.
#[utoipa::path(post, path = "/v1/logins/hash", tag = "session", request_body = Plain,
    responses((status = 200, description = "The hash.", body = Hash)))]
async fn hash(
    State(logins): State<Logins>,
    Json(Plain { password }): Json<Plain>,
) -> Result<Json<Hash>, Refusal> {
    let hash = logins.hash(password).await;
    let refuse = |error: crate::login::LoginError| Refusal::new(error.code(), error.to_string());
    Ok(Json(Hash { hash: hash.map_err(refuse)? }))
}

/// The record (model `TokenKey`) by which the other boxes of the site believe the tokens of this one.
#[utoipa::path(get, path = "/v1/logins/key", tag = "session",
    responses((status = 200, description = "The record.", body = Object)))]
async fn key(State(logins): State<Logins>) -> Json<serde_json::Value> {
    Json(logins.key_record())
}
