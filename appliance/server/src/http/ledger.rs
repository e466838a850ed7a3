//! The ledger of a main server, as the operator reads it.

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{NodeId, SinkId, TxKey};
use storebox_proto::limits::PAGE_RECORDS_MAX;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::Envelope;
use storebox_proto::time::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use super::settle::parse_key;
use crate::blocking::beside;
use crate::sink::Aside;
use crate::uplink::{Ledger, LedgerEntry, LedgerList, Unreadable};

/// Entries on a page without `limit`.
const LIMIT_DEFAULT: usize = 100;

/// The route for operators that shows what deliveries have set aside.
pub fn aside_routes(aside: Aside) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(set_aside)).with_state(aside)
}

/// The routes for operators.
pub fn routes(ledger: Ledger) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(refusals)).with_state(ledger)
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
    /// Settled, and the disk does not give them back: `key`, `position`, `at`, `node` and `problem`, which names the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    unreadable: Vec<Unreadable>,
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

/// Settled transactions with their content, page by page; one that cannot be read hides no other.
#[utoipa::path(get, path = "/v1/ledger", tag = "ledger", params(Page),
    responses((status = 200, description = "A page of the ledger.", body = List)))]
async fn list(
    State(ledger): State<Ledger>,
    Extension(identity): Extension<Identity>,
    Query(page): Query<Page>,
) -> Result<Json<List>, Refusal> {
    operator_only(&identity)?;
    let after = page.after.as_deref().map(parse_key).transpose()?;
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, PAGE_RECORDS_MAX);
    let LedgerList { entries, unreadable, next } = ledger.list(after, limit).await?;
    let entries = entries.into_iter().map(Entry::from).collect();
    Ok(Json(List { entries, unreadable, next }))
}

impl From<LedgerEntry> for Entry {
    fn from(entry: LedgerEntry) -> Self {
        let LedgerEntry { position, at, node, envelope, .. } = entry;
        Self { position, at, node, envelope }
    }
}

/// A page of the refusals.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct RefusalsPage {
    /// Refusals behind this number.
    after: Option<u64>,
    /// How many at most.
    limit: Option<usize>,
}

/// What boxes sent and the ledger refused.
#[derive(Serialize, utoipa::ToSchema)]
struct Refusals {
    /// In the order in which they were refused.
    #[schema(value_type = Vec<Object>)]
    refusals: Vec<Refused>,
    /// The number to go on behind, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// Something that a box sent and the ledger refused.
#[derive(Serialize)]
struct Refused {
    /// Its number among the refusals.
    number: u64,
    /// When it was refused.
    at: Timestamp,
    /// Which box sent it.
    node: NodeId,
    /// Why; `key_conflict`: another content was settled under its key.
    problem: Problem,
    /// Its content.
    envelope: Envelope,
    /// What is settled under its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<Entry>,
}

/// Refused and contradicting transactions, each beside what was settled under its key.
#[utoipa::path(get, path = "/v1/ledger/refusals", tag = "ledger", params(RefusalsPage),
    responses((status = 200, description = "A page of the refusals.", body = Refusals)))]
async fn refusals(
    State(ledger): State<Ledger>,
    Extension(identity): Extension<Identity>,
    Query(page): Query<RefusalsPage>,
) -> Result<Json<Refusals>, Refusal> {
    operator_only(&identity)?;
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, PAGE_RECORDS_MAX);
    let found = ledger.refusals(page.after.unwrap_or(0), limit).await?;
    let next = (found.len() == limit).then(|| found[limit - 1].number);
    let refusals = found.into_iter().map(|refusal| Refused {
        number: refusal.number,
        at: refusal.at,
        node: refusal.node,
        problem: refusal.problem,
        envelope: refusal.envelope,
        settled: refusal.settled.map(Entry::from),
    });
    Ok(Json(Refusals { refusals: refusals.collect(), next }))
}

/// A page of what was set aside.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct AsidePage {
    /// The delivery, as `[[deliver]]` names it.
    sink: String,
    /// Lines behind this number.
    after: Option<usize>,
    /// How many at most.
    limit: Option<usize>,
}

/// What a delivery has passed over.
#[derive(Serialize, utoipa::ToSchema)]
struct SetAside {
    /// In the order of passing over: `number`, `position` in the ledger, `key`, `kind`, `node`, `at` and `why`; of what
    /// the ledger could not give only the positions from `position` to `to`.
    #[schema(value_type = Vec<Object>)]
    aside: Vec<serde_json::Value>,
    /// The number to go on behind, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<usize>,
}

/// Settled transactions that the target of a delivery would not take, or the ledger could not give, with why.
#[utoipa::path(get, path = "/v1/ledger/aside", tag = "ledger", params(AsidePage),
    responses((status = 200, description = "A page of what was set aside.", body = SetAside),
              (status = 400, description = "parameter_invalid: there is no such delivery")))]
async fn set_aside(
    State(aside): State<Aside>,
    Extension(identity): Extension<Identity>,
    Query(page): Query<AsidePage>,
) -> Result<Json<SetAside>, Refusal> {
    operator_only(&identity)?;
    let Some(sink) = aside.sinks().iter().find(|sink| sink.as_str() == page.sink).cloned() else {
        let known: Vec<_> = aside.sinks().iter().map(SinkId::as_str).collect();
        let detail = match known.is_empty() {
            true => "sink: nothing is delivered from here".to_owned(),
            false => format!("sink: must be one of {}", known.join(", ")),
        };
        return Err(Refusal::new(Code::ParameterInvalid, detail));
    };
    let after = page.after.unwrap_or(0);
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, PAGE_RECORDS_MAX);
    let aside = beside(move || aside.list(&sink, after, limit)).await;
    let aside = aside.map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    let next = (aside.len() == limit).then(|| after + limit);
    Ok(Json(SetAside { aside, next }))
}

fn operator_only(identity: &Identity) -> Result<(), Refusal> {
    match identity {
        Identity::Operator => Ok(()),
        Identity::Terminal(_) | Identity::Node(_) => {
            Err(Refusal::new(Code::Forbidden, "this path is for the operator of the box"))
        }
    }
}
