//! The ledger of a main server, as the operator reads it.

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{NodeId, TxKey};
use storebox_proto::limits::PAGE_RECORDS_MAX;
use storebox_proto::problem::Code;
use storebox_proto::ticket::Envelope;
use storebox_proto::time::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use super::settle::parse_key;
use crate::uplink::Ledger;

/// Entries on a page without `limit`.
const LIMIT_DEFAULT: usize = 100;

/// The routes for operators.
pub fn routes(ledger: Ledger) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).with_state(ledger)
}

/// A page of a listing.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Entries behind this key.
    after: Option<String>,
    /// How many at most.
    limit: Option<usize>,
}

/// Settled transactions.
#[derive(Serialize, utoipa::ToSchema)]
struct List {
    /// In the order of their keys.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Entry>,
    /// The key to go on behind, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next: Option<TxKey>,
}

/// A settled transaction.
#[derive(Serialize)]
struct Entry {
    /// Its number in the ledger: the order of settling.
    position: u64,
    /// When it was settled.
    at: Timestamp,
    /// Which box sent it.
    node: NodeId,
    /// Its content.
    envelope: Envelope,
}

/// Settled transactions with their content, page by page.
#[utoipa::path(get, path = "/v1/ledger", tag = "ledger", params(Page),
    responses((status = 200, description = "A page of the ledger.", body = List)))]
async fn list(
    State(ledger): State<Ledger>,
    Extension(identity): Extension<Identity>,
    Query(page): Query<Page>,
) -> Result<Json<List>, Refusal> {
    if identity != Identity::Operator {
        return Err(Refusal::new(Code::Forbidden, "this path is for the operator of the box"));
    }
    let after = page.after.as_deref().map(parse_key).transpose()?;
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, PAGE_RECORDS_MAX);
    let found = ledger.list(after, limit).await?;
    let next = (found.len() == limit).then(|| found[limit - 1].key);
    let entries = found.into_iter().map(|entry| Entry {
        position: entry.position,
        at: entry.at,
        node: entry.node,
        envelope: entry.envelope,
    });
    Ok(Json(List { entries: entries.collect(), next }))
}
