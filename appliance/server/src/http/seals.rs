//! Rings of sealing keys, as the operator makes, hands over, takes and removes them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::SiteId;
use storebox_proto::problem::Code;
use storebox_proto::seal::{RingState, Scope};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::problem::Refusal;
use crate::blocking::beside;
use crate::seal::{RingListed, Seals, SealsError};
use crate::trust::customer::Sent;
use crate::{env, logging};

/// The routes of this file.
pub fn routes(seals: Seals) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, begin, take))
        .routes(routes!(hand_over, remove))
        .routes(routes!(certificate))
        .with_state(seals)
}

/// Whose generation begins.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The site.
    #[schema(value_type = String)]
    pub site: SiteId,
    /// Who shares it: `boxes` or `tills`.
    #[schema(value_type = String)]
    pub scope: Scope,
}

/// All rings, without their keys.
#[utoipa::path(get, path = "/v1/seals", tag = "seals",
    responses((status = 200, description = "All rings.", body = Vec<RingListed>)))]
async fn list(State(seals): State<Seals>) -> Json<Vec<RingListed>> {
    Json(seals.list(env::believable()))
}

/// Begins a generation of a site and scope; the former ones open for two more days.
#[utoipa::path(post, path = "/v1/seals", tag = "seals", request_body = Begin,
    responses((status = 201, description = "All rings.", body = Vec<RingListed>)))]
async fn begin(
    State(seals): State<Seals>,
    Json(Begin { site, scope }): Json<Begin>,
) -> Result<(StatusCode, Json<Vec<RingListed>>), Refusal> {
    let listed = aside(move || {
        seals.begin(&site, scope, env::believable())?;
        tracing::info!(%site, %scope, "a new generation of sealing keys began");
        Ok(seals.list(env::believable()))
    });
    Ok((StatusCode::CREATED, Json(listed.await?)))
}

/// Takes a ring that another box handed over.
#[utoipa::path(put, path = "/v1/seals", tag = "seals", request_body = Object,
    responses((status = 204, description = "It seals and opens from now on.")))]
async fn take(
    State(seals): State<Seals>,
    Json(state): Json<RingState>,
) -> Result<StatusCode, Refusal> {
    aside(move || {
        let (site, scope) = (state.site.clone(), state.scope);
        seals.take(state, env::believable())?;
        tracing::info!(%site, %scope, "a ring of sealing keys was taken");
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The newest ring of a site and scope, with its keys: for another box or till, over a line that can be trusted.
#[utoipa::path(get, path = "/v1/seals/{site}/{scope}", tag = "seals",
    params(("site" = String, Path), ("scope" = String, Path)),
    responses((status = 200, description = "The ring; keep it secret.", body = Object)))]
async fn hand_over(
    State(seals): State<Seals>,
    Path((site, scope)): Path<(SiteId, Scope)>,
) -> Result<Json<RingState>, Refusal> {
    tracing::info!(%site, %scope, "a ring of sealing keys was handed over");
    seals.hand_over(&site, scope).map(Json).map_err(refuse)
}

/// Takes all generations of a site and scope away, at once.
#[utoipa::path(delete, path = "/v1/seals/{site}/{scope}", tag = "seals",
    params(("site" = String, Path), ("scope" = String, Path)),
    responses((status = 204, description = "What is sealed with them is no longer opened.")))]
async fn remove(
    State(seals): State<Seals>,
    Path((site, scope)): Path<(SiteId, Scope)>,
) -> Result<StatusCode, Refusal> {
    aside(move || {
        seals.remove(&site, scope)?;
        tracing::warn!(%site, %scope, "sealing keys were taken back");
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A certificate for browsers, to be sent to the boxes of a site.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The name that it is for.
    pub domain: String,
    /// Certificate and key.
    #[schema(value_type = Object)]
    pub sent: Sent,
}

/// Seals a certificate with its key for the boxes of a site: the answer is a record of the estate, to be imported.
#[utoipa::path(post, path = "/v1/seals/{site}/certificate", tag = "seals",
    params(("site" = String, Path)), request_body = Certificate,
    responses((status = 200, description = "The record; nothing in it is secret.", body = Object),
              (status = 404, description = "record_unknown: there is no ring of the site's boxes"),
              (status = 422, description = "field_invalid: not for that name, or not its key")))]
async fn certificate(
    State(seals): State<Seals>,
    Path(site): Path<SiteId>,
    Json(Certificate { domain, sent }): Json<Certificate>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let invalid = |error| Refusal::new(Code::FieldInvalid, logging::chain(&error));
    sent.certified(&domain).map_err(invalid)?;
    let keys = seals.storage(&site, Scope::Boxes);
    let unknown = || refuse(SealsError::Unknown { site: site.clone(), scope: Scope::Boxes });
    let key = keys.first().ok_or_else(unknown)?;
    let plain = Zeroizing::new(serde_json::to_vec(&sent).expect("two texts are JSON"));
    let sealed = STANDARD.encode(key.seal(&Sent::sealed_as(site.as_str()), &plain));
    Ok(Json(serde_json::json!({ "id": site, "domain": domain, "sealed": sealed })))
}

/// Changes flush a file, which must not hold up other requests.
async fn aside<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, SealsError> + Send + 'static,
) -> Result<T, Refusal> {
    beside(change).await.map_err(refuse)
}

fn refuse(error: SealsError) -> Refusal {
    let code = match &error {
        SealsError::Unknown { .. } => Code::RecordUnknown,
        SealsError::Full => Code::StateConflict,
        SealsError::Vault(_) | SealsError::Content(_) => {
            tracing::error!(error = logging::chain(&error), "cannot change the sealing keys");
            return Refusal::new(Code::Internal, "the vault does not take them");
        }
    };
    Refusal::new(code, error.to_string())
}
