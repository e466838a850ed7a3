//! Transactions and local documents, as tills see them.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storebox_proto::ids::{TerminalId, TxKey, TxKind};
use storebox_proto::limits::{
    BATCH_BYTES_MAX, BATCH_ENVELOPES_MAX, ENVELOPE_BYTES_MAX, LONG_POLL_MAX, PAGE_RECORDS_MAX,
};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::Have;
use storebox_proto::ticket::settle::KeyedAnswer;
use storebox_proto::ticket::{Answer, Envelope, EnvelopeError, Receipt, SettleAnswer};
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use super::settle::parse_key;
use crate::blocking::beside;
use crate::uplink::{Document, LocalDocuments, Outbox, Progress};

/// A full batch with its frame.
const BODY_BYTES_MAX: usize = BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX;
/// Seconds that `wait=settled` waits without `timeout_s`.
const WAIT_DEFAULT_S: u64 = 20;
/// Documents on a page without `limit`.
const LIMIT_DEFAULT: usize = 100;

/// The routes of a store.
pub fn routes(outbox: Outbox, documents: LocalDocuments) -> OpenApiRouter {
    let transactions = OpenApiRouter::new()
        .routes(routes!(accept))
        .routes(routes!(accept_batch))
        .routes(routes!(have))
        .routes(routes!(progress))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(outbox);
    let documents = OpenApiRouter::new()
        .routes(routes!(list_documents))
        .routes(routes!(document))
        .with_state(documents);
    transactions.merge(documents)
}

/// Whether to wait for head office.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// `settled`: answer only when the main server has it.
    wait: Option<String>,
    /// How many seconds to wait at most.
    timeout_s: Option<u64>,
}

/// Hand over a transaction; the receipt comes after it is on this box's disk.
#[utoipa::path(post, path = "/v1/transactions", tag = "transactions", params(Wait),
    request_body(content = Object, description = "The envelope."),
    responses((status = 200, description = "The signed receipt.", body = Object),
              (status = 409, description = "It contradicts what was accepted before; both are kept for a person."),
              (status = 504, description = "It is held, but not settled within the time to wait."),
              (status = 507, description = "Disk and reserve are full: nothing was stored, keep it and send it again.")))]
async fn accept(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
    Query(wait): Query<Wait>,
    body: Bytes,
) -> Result<Json<Receipt>, Refusal> {
    let limit = wait_limit(&wait)?;
    let envelope = Envelope::parse(&body).map_err(|error| not_understood(&error))?;
    own(&identity, &envelope.terminal)?;
    let key = envelope.key;
    let receipt = outbox.accept(envelope).await?;
    match limit {
        None => Ok(Json(receipt)),
        Some(limit) => match timeout(limit, outbox.settled(key)).await {
            Ok(settled) => Ok(Json(settled?)),
            Err(_) => {
                let detail = format!("transaction {key} is held on this box and will be settled");
                Err(Refusal::new(Code::NotSettledYet, detail))
            }
        },
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    envelopes: Vec<Value>,
}

/// Hand over several transactions in order; each has its own answer.
#[utoipa::path(post, path = "/v1/transactions/batch", tag = "transactions",
    request_body(content = Object, description = "`envelopes`, in the order in which they happened."),
    responses((status = 200, description = "`answers` in the order of the request: taken, later or refused.", body = Object)))]
async fn accept_batch(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
    body: Bytes,
) -> Result<Json<SettleAnswer>, Refusal> {
    let malformed = |error| Refusal::new(Code::BodyMalformed, format!("batch: {error}"));
    let Batch { envelopes } = serde_json::from_slice(&body).map_err(malformed)?;
    if envelopes.len() > BATCH_ENVELOPES_MAX {
        let count = envelopes.len();
        let detail = format!("batch has {count} transactions, the limit is {BATCH_ENVELOPES_MAX}");
        return Err(Refusal::new(Code::TooLarge, detail));
    }
    let mut accepted = Vec::with_capacity(envelopes.len());
    for (index, value) in envelopes.into_iter().enumerate() {
        let key = key_of(&value).ok_or_else(|| {
            let detail = format!("envelopes[{index}]: field key: must be a UUID of version 7");
            Refusal::new(Code::FieldInvalid, detail)
        })?;
        let envelope = serde_json::from_value::<Envelope>(value)
            .map_err(|error| not_understood(&EnvelopeError::Malformed(error)));
        let envelope = envelope.and_then(|envelope| {
            own(&identity, &envelope.terminal)?;
            Ok(envelope)
        });
        accepted.push((key, envelope));
    }
    // All are handed over before the first is waited for, so that they share a flush and keep their order.
    let answers = accepted.into_iter().map(|(key, envelope)| {
        let outbox = outbox.clone();
        async move {
            let result = match envelope {
                Ok(envelope) => outbox.accept(envelope).await,
                Err(problem) => Err(problem),
            };
            let answer = match result {
                Ok(receipt) => Answer::Taken { receipt },
                Err(problem) if problem.retryable => Answer::Later { problem },
                Err(problem) => Answer::Refused { problem },
            };
            KeyedAnswer { key, answer }
        }
    });
    Ok(Json(SettleAnswer { answers: futures_util::future::join_all(answers).await }))
}

/// What has arrived of a terminal's numbers, and what has to be sent (again).
#[derive(Serialize, utoipa::ToSchema)]
struct HaveAnswer {
    /// The calling terminal.
    #[schema(value_type = String)]
    terminal: TerminalId,
    /// For each epoch, `have` and `want` as ranges `from` and `to`.
    #[schema(value_type = Vec<Object>)]
    epochs: Vec<Have>,
}

/// Which numbers of the calling terminal have arrived, and which are missing in between.
#[utoipa::path(get, path = "/v1/transactions/have", tag = "transactions",
    responses((status = 200, description = "By epoch.", body = HaveAnswer)))]
async fn have(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<HaveAnswer>, Refusal> {
    let Identity::Terminal(terminal) = identity else {
        return Err(Refusal::new(Code::Forbidden, "this path is for terminals"));
    };
    let epochs = outbox.have(terminal.clone()).await?;
    Ok(Json(HaveAnswer { terminal, epochs }))
}

/// How far a transaction is.
#[utoipa::path(get, path = "/v1/transactions/{key}", tag = "transactions",
    params(("key" = String, Path)),
    responses((status = 200, description = "Held or settled, with the receipts.", body = Progress),
              (status = 404, description = "Not known to this box.")))]
async fn progress(
    State(outbox): State<Outbox>,
    Path(key): Path<String>,
) -> Result<Json<Progress>, Refusal> {
    Ok(Json(outbox.progress(parse_key(&key)?).await?))
}

/// A page of a listing.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Documents behind this id.
    after: Option<String>,
    /// How many at most.
    limit: Option<usize>,
}

/// Documents that were created in this shop.
#[derive(Serialize, utoipa::ToSchema)]
struct Documents {
    /// In the order of their ids.
    documents: Vec<Document>,
}

/// What was created in this shop and of this kind, visible to all its tills at once.
#[utoipa::path(get, path = "/v1/documents/{kind}", tag = "documents",
    params(("kind" = String, Path), Page),
    responses((status = 200, description = "A page in the order of the ids.", body = Documents)))]
async fn list_documents(
    State(documents): State<LocalDocuments>,
    Path(kind): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Documents>, Refusal> {
    let kind = parse_kind(&kind)?;
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=PAGE_RECORDS_MAX).contains(&limit) {
        let detail = format!("limit must be 1 to {PAGE_RECORDS_MAX}");
        return Err(Refusal::new(Code::ParameterInvalid, detail));
    }
    let documents = beside(move || documents.list(&kind, page.after.as_deref(), limit)).await;
    Ok(Json(Documents { documents }))
}

/// One document that was created in this shop.
#[utoipa::path(get, path = "/v1/documents/{kind}/{id}", tag = "documents",
    params(("kind" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "The document.", body = Document),
              (status = 404, description = "Not created here, or given way to the central one.")))]
async fn document(
    State(documents): State<LocalDocuments>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Json<Document>, Refusal> {
    let kind = parse_kind(&kind)?;
    let wanted = id.clone();
    let document = beside(move || documents.load(&kind, &wanted)).await;
    document.map(Json).ok_or_else(|| {
        Refusal::new(Code::RecordUnknown, format!("no local document has the id {id:?}"))
    })
}

fn parse_kind(kind: &str) -> Result<TxKind, Problem> {
    kind.parse().map_err(|error| Problem::new(Code::ParameterInvalid, format!("{error}")))
}

fn wait_limit(wait: &Wait) -> Result<Option<Duration>, Problem> {
    let refuse = |detail: &str| Err(Problem::new(Code::ParameterInvalid, detail));
    match wait.wait.as_deref() {
        None | Some("held") => Ok(None),
        Some("settled") => {
            let seconds = Duration::from_secs(wait.timeout_s.unwrap_or(WAIT_DEFAULT_S));
            if seconds > LONG_POLL_MAX {
                return refuse("timeout_s must be 0 to 55");
            }
            Ok(Some(seconds))
        }
        Some(_) => refuse("wait must be held or settled"),
    }
}

/// A terminal hands over its own transactions only.
fn own(identity: &Identity, terminal: &TerminalId) -> Result<(), Problem> {
    match identity {
        Identity::Terminal(caller) if caller == terminal => Ok(()),
        Identity::Terminal(caller) => {
            let detail = format!("terminal {caller} may not hand over transactions of {terminal}");
            Err(Problem::new(Code::Forbidden, detail))
        }
        Identity::Node(_) | Identity::Operator => {
            Err(Problem::new(Code::Forbidden, "this path is for terminals"))
        }
    }
}

fn not_understood(error: &EnvelopeError) -> Problem {
    let code = match error {
        EnvelopeError::TooLarge { .. } => Code::TooLarge,
        EnvelopeError::Field { .. } => Code::FieldInvalid,
        EnvelopeError::Malformed(error) => match error.classify() {
            serde_json::error::Category::Data => Code::FieldInvalid,
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => Code::BodyMalformed,
        },
    };
    Problem::new(code, error.to_string())
}

fn key_of(value: &Value) -> Option<TxKey> {
    value.get("key")?.as_str()?.parse().ok()
}
