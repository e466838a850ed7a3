//! The outbox, as the operator sees it.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use storebox_proto::limits::PAGE_RECORDS_MAX;
use storebox_proto::order;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::sync::outbox::{Audit, By, Summary};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use super::settle::parse_key;
use crate::env;
use crate::uplink::{ConflictView, Entry, Outbox};

/// Entries on a page without `limit`.
const LIMIT_DEFAULT: usize = 100;
/// Who acts, if the request does not say.
const OPERATOR: &str = "operator";
/// The longest reason that is written down.
const TEXT_CHARS_MAX: usize = 200;

/// The routes for operators.
pub fn routes(outbox: Outbox) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(conflicts))
        .routes(routes!(audit))
        .routes(routes!(dismiss))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(repair))
        .routes(routes!(give_up))
        .with_state(outbox)
}

/// A page of a listing.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Page {
    /// `quarantined`: only what waits for a person; `given-up`: only what a person gave up, all of it.
    state: Option<String>,
    /// Entries behind this position.
    after: Option<u64>,
    /// How many at most.
    limit: Option<usize>,
}

/// Held transactions.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct List {
    /// In the order in which they were accepted.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Summary>,
    /// For `after`, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// Who does it, and why.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// Who.
    #[serde(default)]
    by: Option<String>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
}

/// A repair.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Repair {
    /// The new content.
    #[schema(value_type = Object)]
    payload: Map<String, Value>,
    /// Who.
    by: String,
    /// Why.
    reason: String,
}

/// Transactions that this box holds.
#[utoipa::path(get, path = "/v1/outbox", tag = "outbox", params(Page),
    responses((status = 200, description = "A page in the order of acceptance.", body = List)))]
async fn list(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
    Query(page): Query<Page>,
) -> Result<Json<List>, Refusal> {
    operator(&identity)?;
    let quarantined = match page.state.as_deref() {
        None => false,
        Some("quarantined") => true,
        Some("given-up") => {
            return Ok(Json(List { entries: outbox.given_up().await?, next: None }));
        }
        Some(_) => return Err(parameter("state must be quarantined or given-up").into()),
    };
    let limit = page.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=PAGE_RECORDS_MAX).contains(&limit) {
        return Err(parameter(&format!("limit must be 1 to {PAGE_RECORDS_MAX}")).into());
    }
    let mut entries = outbox.list(page.after.unwrap_or(0), quarantined, limit + 1).await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().map(|entry| entry.position).filter(|_| more);
    Ok(Json(List { entries, next }))
}

/// One held transaction with its content and what persons did with it.
#[utoipa::path(get, path = "/v1/outbox/{key}", tag = "outbox", params(("key" = String, Path)),
    responses((status = 200, description = "The transaction.", body = Entry),
              (status = 404, description = "Not held here.")))]
async fn show(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
    Path(key): Path<String>,
) -> Result<Json<Entry>, Refusal> {
    operator(&identity)?;
    Ok(Json(outbox.show(parse_key(&key)?).await?))
}

/// Offer a refused transaction again, or let a cash-up go without missing numbers.
#[utoipa::path(post, path = "/v1/outbox/{key}/retry", tag = "outbox",
    params(("key" = String, Path)), request_body = Reason,
    responses((status = 200, description = "The transaction as it is now.", body = Entry),
              (status = 409, description = "It is settled already.")))]
async fn retry(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
    Path(key): Path<String>,
    body: Bytes,
) -> Result<Json<Entry>, Refusal> {
    operator(&identity)?;
    let key = parse_key(&key)?;
    let Reason { by, reason } = read_or_default(&body)?;
    outbox.retry(key, sign(by, reason)).await?;
    Ok(Json(outbox.show(key).await?))
}

/// Give a refused transaction another payload and offer it again.
#[utoipa::path(post, path = "/v1/outbox/{key}/repair", tag = "outbox",
    params(("key" = String, Path)), request_body = Repair,
    responses((status = 200, description = "The transaction as it is now.", body = Entry),
              (status = 409, description = "It is not in quarantine."),
              (status = 422, description = "Who decides it, or why, is missing.")))]
async fn repair(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
    Path(key): Path<String>,
    body: Bytes,
) -> Result<Json<Entry>, Refusal> {
    operator(&identity)?;
    let key = parse_key(&key)?;
    let Repair { payload, by, reason } = read(&body)?;
    outbox.repair(key, payload, answer_for(by, reason)?).await?;
    Ok(Json(outbox.show(key).await?))
}

/// Who answers for something that cannot be taken back.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// Who decides it.
    by: String,
    /// Why.
    reason: String,
}

/// Give a refused transaction up: it stays to be read, will never be settled and stops nothing any more.
#[utoipa::path(post, path = "/v1/outbox/{key}/drop", tag = "outbox",
    params(("key" = String, Path)), request_body = Answer,
    responses((status = 200, description = "The transaction as it is now.", body = Entry),
              (status = 409, description = "It is not in quarantine."),
              (status = 422, description = "Who decides it, or why, is missing.")))]
async fn give_up(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
    Path(key): Path<String>,
    body: Bytes,
) -> Result<Json<Entry>, Refusal> {
    operator(&identity)?;
    let key = parse_key(&key)?;
    let Answer { by, reason } = read(&body)?;
    outbox.give_up(key, answer_for(by, reason)?).await?;
    Ok(Json(outbox.show(key).await?))
}

/// What persons did with transactions lately, the oldest first.
#[utoipa::path(get, path = "/v1/outbox/audit", tag = "outbox",
    responses((status = 200, description = "The last acts.", body = Vec<Object>)))]
async fn audit(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Vec<Audit>>, Refusal> {
    operator(&identity)?;
    Ok(Json(outbox.audit().await?))
}

/// Envelopes that contradict what was accepted.
#[utoipa::path(get, path = "/v1/outbox/conflicts", tag = "outbox",
    responses((status = 200, description = "All that are kept.", body = Vec<ConflictView>)))]
async fn conflicts(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Vec<ConflictView>>, Refusal> {
    operator(&identity)?;
    Ok(Json(outbox.conflicts().await?))
}

/// A person has dealt with a contradicting envelope: it goes.
#[utoipa::path(post, path = "/v1/outbox/conflicts/{number}/dismiss", tag = "outbox",
    params(("number" = u64, Path)), request_body = Answer,
    responses((status = 200, description = "Those that are left.", body = Vec<ConflictView>),
              (status = 404, description = "No such conflict."),
              (status = 422, description = "Who dealt with it, or how, is missing.")))]
async fn dismiss(
    State(outbox): State<Outbox>,
    Extension(identity): Extension<Identity>,
    Path(number): Path<u64>,
    body: Bytes,
) -> Result<Json<Vec<ConflictView>>, Refusal> {
    operator(&identity)?;
    let Answer { by, reason } = read(&body)?;
    outbox.dismiss(number, answer_for(by, reason)?).await?;
    Ok(Json(outbox.conflicts().await?))
}

fn operator(identity: &Identity) -> Result<(), Problem> {
    match identity {
        Identity::Operator => Ok(()),
        Identity::Terminal(_) | Identity::Node(_) => {
            Err(Problem::new(Code::Forbidden, "this path is for the operator"))
        }
    }
}

fn sign(by: Option<String>, reason: Option<String>) -> By {
    let who = by.map(|who| order::person(who.trim())).filter(|who| !who.is_empty());
    let mut by = By::new(who.unwrap_or_else(|| OPERATOR.to_owned()), env::timestamp());
    by.reason = reason.map(|why| line(&why)).unwrap_or_default();
    by
}

/// What changes or ends money for good is done by somebody, for a reason.
fn answer_for(by: String, reason: String) -> Result<By, Problem> {
    if order::person(&by).trim().is_empty() || line(&reason).is_empty() {
        let detail = "fields by and reason: say who decides this, and why";
        return Err(Problem::new(Code::FieldInvalid, detail));
    }
    Ok(sign(Some(by), Some(reason)))
}

/// A text as it may be shown: on one line, and not without an end.
fn line(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(Code::BodyMalformed, format!("request is not understood: {error}"))
    })
}

fn read_or_default<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<T, Problem> {
    if body.is_empty() { Ok(T::default()) } else { read(body) }
}

fn parameter(detail: &str) -> Problem {
    Problem::new(Code::ParameterInvalid, detail)
}
