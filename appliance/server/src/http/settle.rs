//! Transactions between boxes: the receiving side.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use storebox_proto::ids::{NodeId, TxKey};
use storebox_proto::limits::{BATCH_BYTES_MAX, ENVELOPE_BYTES_MAX};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::ticket::{Answer, Receipt, SettleAnswer, SettleRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use crate::blocking::beside;
use crate::spans;
use crate::terminal::access::{Access, Kind};
use crate::uplink::{Ledger, Objection, Signed, Signers, signers, steps};

/// A full batch with its frame.
const BODY_BYTES_MAX: usize = BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX;

/// What the routes of a main server need.
#[derive(Clone)]
pub struct Settling {
    /// Where it is settled.
    pub ledger: Ledger,
    /// Which boxes are let in.
    pub access: Access,
    /// By which keys they sign receipts.
    pub signers: Signers,
}

impl Settling {
    /// What stands against settling something in the name of the box that gave this receipt.
    fn judge(&self, origin: &Receipt) -> Option<Objection> {
        let node = &origin.node;
        if !self.access.is_active(Kind::Node, node.as_str()) {
            let detail = format!("box {node}, which accepted it, is not let in here");
            return Some(Objection::Never(Problem::new(Code::Forbidden, detail)));
        }
        match self.signers.judge(origin) {
            Signed::Yes | Signed::Unknown => None,
            Signed::No => {
                tracing::warn!(%node, ticket = %origin.key, "a receipt that was passed on is not signed by its box");
                let detail = format!("box {node} has not shown the key that signed its receipt");
                Some(Objection::NotYet(Problem::new(Code::DependencyMissing, detail)))
            }
        }
    }
}

/// The routes of a main server.
pub fn routes(settling: Settling) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(settle))
        .routes(routes!(receipt))
        .routes(routes!(show_key))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(settling)
}

/// Settle a batch; the answers come in its order, after what they say is on the disk.
#[utoipa::path(post, path = "/sync/v1/transactions", tag = "sync",
    request_body(content = Object, description = "`node` and `envelopes`, in the order of acceptance."),
    responses((status = 200, description = "`answers`: for each envelope taken, later or refused.", body = Object)))]
async fn settle(
    State(settling): State<Settling>,
    Extension(identity): Extension<Identity>,
    body: Bytes,
) -> Result<Json<SettleAnswer>, Refusal> {
    let caller = node(identity)?;
    let request: SettleRequest = serde_json::from_slice(&body).map_err(not_understood)?;
    let judge = |origin: &Receipt| settling.judge(origin);
    let begun = spans::begin_other();
    let answer = settling.ledger.receive(&caller, request, judge).await?;
    if let Some(begun) = begun {
        steps::settled(begun, &caller, &answer);
    }
    Ok(Json(answer))
}

/// A key that a box shows.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ShownKey {
    /// Ed25519, 64 hexadecimal digits.
    public_key: String,
}

/// A box shows by which key its receipts are signed; only receipts under such keys count when neighbours bring them.
#[utoipa::path(post, path = "/sync/v1/receipt-key", tag = "sync", request_body = ShownKey,
    responses((status = 204, description = "It is remembered."),
              (status = 422, description = "field_invalid"),
              (status = 507, description = "storage_full")))]
async fn show_key(
    State(Settling { signers, .. }): State<Settling>,
    Extension(identity): Extension<Identity>,
    Json(shown): Json<ShownKey>,
) -> Result<StatusCode, Refusal> {
    let caller = node(identity)?;
    let unfit = || Refusal::new(Code::FieldInvalid, "field publicKey: is not an Ed25519 key");
    let key = signers::key(&shown.public_key).ok_or_else(unfit)?;
    match beside(move || signers.learn(&caller, &key)).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(Refusal::new(Code::StorageFull, error.to_string())),
    }
}

/// Why a batch is not read.
pub(super) fn not_understood(error: serde_json::Error) -> Refusal {
    let code = match error.classify() {
        serde_json::error::Category::Data => Code::FieldInvalid,
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => Code::BodyMalformed,
    };
    Refusal::new(code, format!("batch is not understood: {error}"))
}

/// Whether a transaction is settled; asked after a time-out, before it is sent again.
#[utoipa::path(get, path = "/sync/v1/transactions/{key}", tag = "sync",
    params(("key" = String, Path)),
    responses((status = 200, description = "It is: `result` is `taken`, with the receipt.", body = Object),
              (status = 404, description = "It is not.")))]
async fn receipt(
    State(Settling { ledger, .. }): State<Settling>,
    Extension(identity): Extension<Identity>,
    Path(key): Path<String>,
) -> Result<Json<Answer>, Refusal> {
    node(identity)?;
    let key: TxKey = parse_key(&key)?;
    match ledger.receipt(key).await? {
        Some(receipt) => Ok(Json(Answer::Taken { receipt })),
        None => {
            let detail = format!("transaction {key} is not in the ledger");
            Err(Refusal::new(Code::TransactionUnknown, detail))
        }
    }
}

fn node(identity: Identity) -> Result<NodeId, Refusal> {
    match identity {
        Identity::Node(node) => Ok(node),
        Identity::Terminal(_) | Identity::Operator => {
            Err(Refusal::new(Code::Forbidden, "this path is for other boxes"))
        }
    }
}

/// A key from a path.
pub(super) fn parse_key(text: &str) -> Result<TxKey, Problem> {
    text.parse().map_err(|error| Problem::new(Code::ParameterInvalid, format!("{error}")))
}
