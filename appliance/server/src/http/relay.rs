//! Transactions of neighbours: the side of the box that passes them on.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::{Extension, Json};
use storebox_proto::ids::NodeId;
use storebox_proto::limits::{BATCH_BYTES_MAX, BATCH_ENVELOPES_MAX, ENVELOPE_BYTES_MAX};
use storebox_proto::problem::Code;
use storebox_proto::ticket::{Answer, SettleAnswer, SettleRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::mirror::signed;
use super::problem::Refusal;
use super::settle::{not_understood, parse_key};
use crate::pass::Claim;
use crate::uplink::Relay;

/// A full batch with its frame and a receipt for each.
const BODY_BYTES_MAX: usize = BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX + BATCH_ENVELOPES_MAX * 512;

/// The routes of a store.
pub fn routes(relay: Relay) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(open))
        .routes(routes!(pass_on))
        .routes(routes!(receipt))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(relay)
}

/// Whether transactions that are given to this box go on at once.
#[utoipa::path(get, path = "/sync/v1/relay", tag = "sync", responses(
    (status = 200, description = "They do.", body = String, content_type = "text/plain"),
    (status = 503, description = "busy: this box does not reach head office either")))]
async fn open(
    State(relay): State<Relay>,
    Extension(identity): Extension<Identity>,
) -> Result<&'static str, Refusal> {
    neighbour(&identity)?;
    if relay.is_open().await {
        return Ok("open\n");
    }
    Err(Refusal::new(Code::Busy, "this box does not reach head office either"))
}

/// Pass a neighbour's batch on; what is settled in the meantime comes back with the main server's receipt.
#[utoipa::path(post, path = "/sync/v1/transactions", tag = "sync",
    request_body(content = Object, description = "`node`, `envelopes` in order, and in `origins` its receipt for each."),
    responses((status = 200, description = "`answers`: for each envelope taken, later or refused.", body = Object)))]
async fn pass_on(
    State(relay): State<Relay>,
    Extension(identity): Extension<Identity>,
    claim: Option<Extension<Claim>>,
    body: Bytes,
) -> Result<Json<SettleAnswer>, Refusal> {
    let caller = neighbour(&identity)?;
    signed(claim.as_deref(), &body)?;
    let request: SettleRequest = serde_json::from_slice(&body).map_err(not_understood)?;
    Ok(Json(relay.receive(&caller, request).await?))
}

/// The main server's receipt for something that was passed on.
#[utoipa::path(get, path = "/sync/v1/transactions/{key}", tag = "sync",
    params(("key" = String, Path)),
    responses((status = 200, description = "It is settled: `result` is `taken`, with the receipt.", body = Object),
              (status = 404, description = "It is not, or did not come this way.")))]
async fn receipt(
    State(relay): State<Relay>,
    Extension(identity): Extension<Identity>,
    Path(key): Path<String>,
) -> Result<Json<Answer>, Refusal> {
    neighbour(&identity)?;
    let key = parse_key(&key)?;
    match relay.receipt(key).await? {
        Some(receipt) => Ok(Json(Answer::Taken { receipt })),
        None => {
            let detail = format!("transaction {key} was not settled through this box");
            Err(Refusal::new(Code::TransactionUnknown, detail))
        }
    }
}

fn neighbour(identity: &Identity) -> Result<NodeId, Refusal> {
    match identity {
        Identity::Node(node) => Ok(node.clone()),
        Identity::Terminal(_) | Identity::Operator => {
            Err(Refusal::new(Code::Forbidden, "this path is for other boxes"))
        }
    }
}
