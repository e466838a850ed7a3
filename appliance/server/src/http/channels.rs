//! Channels over HTTP: reads the request, finds out who calls, calls the execution layer, writes the answer.

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use storebox_proto::ids::TerminalId;
use storebox_proto::limits::{ENVELOPE_BYTES_MAX, LONG_POLL_MAX};
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use crate::channel::{Caller, Channels, Reply, Wish};
use crate::env;

/// By which everything about a call is found: taken from the caller, else minted, and always given back.
const CORRELATION: HeaderName = HeaderName::from_static("storebox-correlation");
/// The longest that a caller may bring.
const CORRELATION_BYTES_MAX: usize = 64;

/// The routes of this file.
pub fn routes(channels: Channels) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(call))
        .layer(DefaultBodyLimit::max(ENVELOPE_BYTES_MAX))
        .with_state(channels)
}

/// How a service is called.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Call {
    /// When to answer a change: `held`, when it is on this box's disk, or `settled`, when head office has it.
    wait: Option<String>,
    /// How many seconds to wait for head office at most, 0 to 55.
    timeout_s: Option<u64>,
    /// The terminal; that of the token if it is not given.
    terminal: Option<String>,
}

/// Call a service of the channel that the terminal belongs to.
///
/// Services: `query`, `customer`, `customer-address`, `inventory`, `ticket`, `ticket-ship`, `ticket-pay`,
/// `ticket-invoice`, `cash-up`, `cash-management`.
/// Every change may have a `key` (a UUID of version 7): the same request under the same key is done once.
#[utoipa::path(post, path = "/v1/channel/{service}", tag = "channels",
    params(("service" = String, Path, description = "The service.", example = "query"), Call),
    request_body(content = Object, description = "By service; see the examples.", examples(
        ("query" = (summary = "Products by name, with price and stock", value = json!({
            "entity": "Product", "startRow": 0, "endRow": 50,
            "criteria": [{"fieldName": "name", "operator": "iContains", "value": "choc"},
                         {"operator": "or", "criteria": [
                             {"fieldName": "category", "operator": "equals", "value": "C0180"},
                             {"fieldName": "price.listPrice", "operator": "lessOrEqual", "value": 3.5}]}],
            "options": {"price": true, "stock": true, "stockByWarehouse": false}}))),
        ("customer" = (summary = "A new customer", value = json!({
            "name": "Ada Lovelace", "searchKey": "ADA", "email": "ada@example.com"}))),
        ("customer-address" = (summary = "An address of a customer, by code", value = json!({
            "customer": "ADA", "addressLine1": "1 Main Street", "postalCode": "08001"}))),
        ("inventory" = (summary = "A count and a change", value = json!({
            "lines": [{"product": "2000000256719", "warehouse": "W1", "level": "12"},
                      {"productId": "42346", "warehouseId": "W1", "change": "-1.5"}]}))),
        ("ticket" = (summary = "A ticket", value = json!({
            "documentNo": "WEB/1", "customer": "ADA",
            "lines": [{"product": "2000000256719", "quantity": 2, "listPrice": "3.49"}],
            "gross": "6.98"}))),
        ("ticket-ship" = (summary = "Lines leave the store", value = json!({
            "ticket": "WEB/1", "lines": [{"id": "0192d3a4-5b6c-7d8e-9f00-112233445566-1", "quantity": 1}]}))),
        ("ticket-pay" = (summary = "Money comes", value = json!({
            "ticket": "WEB/1", "payments": [{"method": "card", "amount": "6.98"}]}))),
        ("ticket-invoice" = (summary = "An invoice is written", value = json!({"ticket": "WEB/1"}))),
        ("cash-management" = (summary = "Cash is put in", value = json!({
            "session": "web-1-1", "type": "in", "amount": "100.00"}))),
        ("cash-up" = (summary = "A session is closed", value = json!({"session": "web-1-1"}))))),
    responses(
        (status = 200, description = "What the service answers; `Cache-Control` where the channel permits it.",
            body = Object, example = json!({"entity": "Product", "startRow": 0, "endRow": 1, "totalRows": 1,
                "more": false, "data": [{"id": "25671", "name": "ICE - CRUSHED/CUBED"}],
                "metadata": {"plan": ["index barcode"], "examined": 1, "position": "1.1"}})),
        (status = 202, description = "It is on this box's disk and the work goes on; `Location` is the place to ask.",
            body = Object)))]
async fn call(
    State(channels): State<Channels>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Call>, QueryRejection>,
    body: Bytes,
) -> Response {
    let correlation = correlation(&headers);
    let answered = answer(&channels, &identity, correlation.clone(), path, query, &body).await;
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    let value = HeaderValue::from_str(&correlation).expect("a correlation id is plain ASCII");
    response.headers_mut().insert(CORRELATION, value);
    response
}

async fn answer(
    channels: &Channels,
    identity: &Identity,
    correlation: String,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Call>, QueryRejection>,
    body: &[u8],
) -> Result<Response, Refusal> {
    let parameter = |detail: String| Refusal::new(Code::ParameterInvalid, detail);
    let Path(service) = path.map_err(|error| parameter(error.body_text()))?;
    let Query(call) = query.map_err(|error| parameter(error.body_text()))?;
    let wish = wish(&call)?;
    let caller = caller(identity, call.terminal.as_deref(), correlation)?;
    let request: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::new(Code::BodyMalformed, format!("request: {error}")))?;
    let opening = channels.clone();
    let opened = tokio::task::spawn_blocking(move || opening.context(caller)).await;
    let context = opened.map_err(|error| Refusal::new(Code::Internal, error.to_string()))??;
    let reply = channels.execute(&service, request, &context, wish).await?;
    Ok(respond(&reply))
}

fn respond(reply: &Reply) -> Response {
    let body = serde_json::to_vec(&reply.json).expect("a JSON value has string keys");
    let content = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut response = ([content], body).into_response();
    let plain = |text: String| HeaderValue::from_str(&text).expect("names and numbers are ASCII");
    if let Some(seconds) = reply.max_age {
        let control = plain(format!("public, max-age={seconds}"));
        response.headers_mut().insert(header::CACHE_CONTROL, control);
    }
    if let Some(key) = reply.goes_on {
        *response.status_mut() = StatusCode::ACCEPTED;
        let place = plain(format!("/v1/transactions/{key}"));
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// Who calls: a terminal for itself, or the operator in the place of one.
fn caller(
    identity: &Identity,
    named: Option<&str>,
    correlation: String,
) -> Result<Caller, Refusal> {
    let parse = |name: &str| {
        let refuse = |error| Refusal::new(Code::ParameterInvalid, format!("terminal: {error}"));
        name.parse::<TerminalId>().map_err(refuse)
    };
    let named = named.map(parse).transpose()?;
    match (identity, named) {
        (Identity::Terminal(own), Some(named)) if named != *own => {
            let detail = format!("terminal {own} may not call as {named}");
            Err(Refusal::new(Code::Forbidden, detail))
        }
        (Identity::Terminal(own), _) => {
            Ok(Caller { terminal: own.clone(), user: None, is_operator: false, correlation })
        }
        (Identity::Operator, Some(terminal)) => {
            Ok(Caller { terminal, user: None, is_operator: true, correlation })
        }
        (Identity::Operator, None) => {
            let detail = "terminal is missing: the operator calls in the place of one";
            Err(Refusal::new(Code::ParameterInvalid, detail))
        }
        (Identity::Node(_), _) => {
            Err(Refusal::new(Code::Forbidden, "this path is for terminals and the operator"))
        }
    }
}

fn wish(call: &Call) -> Result<Wish, Refusal> {
    let refuse = |detail: &str| Err(Refusal::new(Code::ParameterInvalid, detail));
    let limit = call.timeout_s.map(Duration::from_secs);
    if limit.is_some_and(|limit| limit > LONG_POLL_MAX) {
        return refuse("timeout_s must be 0 to 55");
    }
    match call.wait.as_deref() {
        None => Ok(Wish::AsDefined),
        Some("held") => Ok(Wish::Held),
        Some("settled") => Ok(Wish::Settled(limit)),
        Some(_) => refuse("wait must be held or settled"),
    }
}

fn correlation(headers: &HeaderMap) -> String {
    let brought = headers.get(CORRELATION).and_then(|value| value.to_str().ok());
    let is_good = |text: &&str| {
        (1..=CORRELATION_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    match brought.filter(is_good) {
        Some(text) => text.to_owned(),
        None => hex::encode(env::random::<12>()),
    }
}
