//! Channels over HTTP: reads the request, finds out who calls, calls the execution layer, writes the answer.

pub mod definitions;
pub mod schema;
mod services;

use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use storebox_proto::ids::TerminalId;
use storebox_proto::limits::{ENVELOPE_BYTES_MAX, LONG_POLL_MAX};
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::correlation;
use super::identity::Identity;
use super::problem::Refusal;
use crate::blocking::beside;
use crate::channel::{Caller, Channels, Reply, Wish};
use crate::login::Person;

/// The routes of this file.
pub fn routes(channels: Channels) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(services::query))
        .routes(routes!(services::customer))
        .routes(routes!(services::customer_address))
        .routes(routes!(services::inventory))
        .routes(routes!(services::ticket))
        .routes(routes!(services::ticket_ship))
        .routes(routes!(services::ticket_pay))
        .routes(routes!(services::ticket_invoice))
        .routes(routes!(services::cash_up))
        .routes(routes!(services::cash_management))
        .route("/v1/channel/{service}", axum::routing::post(services::other))
        .layer(DefaultBodyLimit::max(ENVELOPE_BYTES_MAX))
        .with_state(channels)
}

/// How a service is called.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Call {
    /// When to answer a change: `held`, when it is on this box's disk, or `settled`, when head office has it.
    wait: Option<String>,
    /// How many seconds to wait for head office at most, 0 to 55.
    timeout_s: Option<u64>,
    /// The terminal; that of the token if it is not given.
    terminal: Option<String>,
}

/// What every handler gets of a request.
struct Request {
    channels: Channels,
    identity: Identity,
    person: Option<Extension<Person>>,
    headers: HeaderMap,
    query: Result<Query<Call>, QueryRejection>,
    body: Bytes,
}

/// Calls a service and puts the correlation id on whatever comes of it.
async fn call(service: &str, request: Request) -> Response {
    let correlation = correlation::of(&request.headers);
    let answered = answer(service, &request, correlation.clone()).await;
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    let value = HeaderValue::from_str(&correlation).expect("a correlation id is plain ASCII");
    correlation::give_back(response.headers_mut(), value);
    response
}

async fn answer(
    service: &str,
    request: &Request,
    correlation: String,
) -> Result<Response, Refusal> {
    let Request { channels, identity, person, query, body, .. } = request;
    let parameter =
        |error: &QueryRejection| Refusal::new(Code::ParameterInvalid, error.body_text());
    let Query(call) = query.as_ref().map_err(parameter)?;
    let wish = wish(call)?;
    let person = person.as_ref().map(|Extension(person)| person);
    let caller = caller(identity, person, call.terminal.as_deref(), correlation)?;
    let json: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::new(Code::BodyMalformed, format!("request: {error}")))?;
    let opening = channels.clone();
    let context = beside(move || opening.context(caller)).await?;
    let reply = channels.execute(service, json, &context, wish).await?;
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

/// Who calls: a terminal for itself, with whoever is logged in there, or the operator in the place of one.
pub(super) fn caller(
    identity: &Identity,
    person: Option<&Person>,
    named: Option<&str>,
    correlation: String,
) -> Result<Caller, Refusal> {
    let parse = |name: &str| {
        let refuse = |error| Refusal::new(Code::ParameterInvalid, format!("terminal: {error}"));
        name.parse::<TerminalId>().map_err(refuse)
    };
    let named = named.map(parse).transpose()?;
    let user = person.map(|person| person.user.clone());
    match (identity, named) {
        (Identity::Terminal(own), Some(named)) if named != *own => {
            let detail = format!("terminal {own} may not call as {named}");
            Err(Refusal::new(Code::Forbidden, detail))
        }
        (Identity::Terminal(own), _) => {
            Ok(Caller { terminal: own.clone(), user, is_operator: false, correlation })
        }
        (Identity::Operator, Some(terminal)) => {
            Ok(Caller { terminal, user, is_operator: true, correlation })
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
