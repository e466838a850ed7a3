//! The door as the operator works it: opens slips and codes, answers requests, reads the audit, strikes off.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;
use storebox_proto::trust::porter::{RequestId, Shown};
use storebox_proto::trust::strike::Signed;
use storebox_proto::trust::{Kind, Wish};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::enrol::refuse;
use super::problem::Refusal;
use crate::blocking::beside;
use crate::trust::audit::Line;
use crate::trust::places::places;
use crate::trust::porch::{Porch, PorchError};
use crate::trust::strikes::StrikeError;

/// Slips for a technician's file may last this long.
const SLIP_MINUTES_MAX: u64 = 7 * 24 * 60;
/// A code that can be guessed once in thirty million times must not stay open for long.
const CODE_MINUTES_MAX: u64 = 15;
const MINUTES: u64 = 10;
/// Names of people.
const BY_CHARS_MAX: usize = 64;

/// Whom to let in, for how long, and who says so.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// `terminal` or `peer`.
    #[serde(default = "terminal")]
    #[schema(value_type = String)]
    pub kind: Kind,
    /// Only under this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it may take the place of a member of that name.
    #[serde(default)]
    pub replace: bool,
    /// Minutes until it ends by itself: a slip up to a week, a code up to a quarter of an hour.
    #[serde(default = "minutes")]
    pub minutes: u64,
    /// Who opens it.
    pub by: String,
}

fn terminal() -> Kind {
    Kind::Terminal
}

fn minutes() -> u64 {
    MINUTES
}

/// What was opened; the only time that it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Opened {
    /// The text of the slip, to be printed as a QR code, or the code to be typed.
    pub secret: String,
    /// When it ends.
    #[schema(value_type = String)]
    pub until: Timestamp,
}

/// Who answers a request or closes the door.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Who.
    pub by: String,
    /// Whether the newcomer may take the place of a member of its name.
    #[serde(default)]
    pub replace: bool,
}

/// The door, and where this box is served, for slips.
#[derive(Clone)]
pub struct Desk {
    /// The door.
    pub porch: Porch,
    /// The listeners over TLS, as configured.
    pub listen: Vec<SocketAddr>,
}

/// The routes of this file.
pub fn routes(desk: Desk) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(open_slip))
        .routes(routes!(open_code))
        .routes(routes!(close))
        .routes(routes!(requests))
        .routes(routes!(approve))
        .routes(routes!(deny))
        .routes(routes!(audit))
        .routes(routes!(strike))
        .with_state(desk)
}

/// Opens a slip for one newcomer.
#[utoipa::path(post, path = "/v1/enrolment/slips", tag = "enrolment", request_body = Opening,
    responses((status = 201, description = "The slip.", body = Opened)))]
async fn open_slip(
    State(desk): State<Desk>,
    Json(opening): Json<Opening>,
) -> Result<(StatusCode, Json<Opened>), Refusal> {
    let (wish, lasts) = wish(opening, SLIP_MINUTES_MAX)?;
    let listen = desk.listen.clone();
    let opened = desk.aside(move |porch| porch.open_slip(wish, lasts, places(&listen))).await?;
    let (slip, until) = opened;
    Ok((StatusCode::CREATED, Json(Opened { secret: slip.text(), until })))
}

/// Opens the window for one newcomer who types a code, in place of one that may be open.
#[utoipa::path(post, path = "/v1/enrolment/code", tag = "enrolment", request_body = Opening,
    responses((status = 201, description = "The code.", body = Opened)))]
async fn open_code(
    State(desk): State<Desk>,
    Json(opening): Json<Opening>,
) -> Result<(StatusCode, Json<Opened>), Refusal> {
    let (wish, lasts) = wish(opening, CODE_MINUTES_MAX)?;
    let (secret, until) = desk.aside(move |porch| porch.open_code(wish, lasts)).await?;
    Ok((StatusCode::CREATED, Json(Opened { secret, until })))
}

/// Closes all slips and the code.
#[utoipa::path(post, path = "/v1/enrolment/close", tag = "enrolment", request_body = Answer,
    responses((status = 200, description = "How many were open.", body = Value)))]
async fn close(
    State(desk): State<Desk>,
    Json(answer): Json<Answer>,
) -> Result<Json<Value>, Refusal> {
    let by = person(&answer.by)?;
    let closed = desk.aside(move |porch| porch.close(&by)).await?;
    Ok(Json(serde_json::json!({ "closed": closed })))
}

/// Requests that wait, with the numbers to compare.
#[utoipa::path(get, path = "/v1/enrolment/requests", tag = "enrolment",
    responses((status = 200, description = "Oldest first.", body = Value)))]
async fn requests(State(desk): State<Desk>) -> Json<Vec<Shown>> {
    Json(desk.porch.requests())
}

/// Lets a request in, after its number was compared with the one that the newcomer shows.
#[utoipa::path(post, path = "/v1/enrolment/requests/{id}/approve", tag = "enrolment",
    params(("id" = u32, Path)), request_body = Answer,
    responses((status = 204, description = "The newcomer fetches its certificate.")))]
async fn approve(
    State(desk): State<Desk>,
    Path(id): Path<u32>,
    Json(answer): Json<Answer>,
) -> Result<StatusCode, Refusal> {
    let by = person(&answer.by)?;
    desk.aside(move |porch| porch.answer(RequestId(id), Some(answer.replace), &by)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a request away.
#[utoipa::path(post, path = "/v1/enrolment/requests/{id}/deny", tag = "enrolment",
    params(("id" = u32, Path)), request_body = Answer,
    responses((status = 204, description = "The newcomer is told so.")))]
async fn deny(
    State(desk): State<Desk>,
    Path(id): Path<u32>,
    Json(answer): Json<Answer>,
) -> Result<StatusCode, Refusal> {
    let by = person(&answer.by)?;
    desk.aside(move |porch| porch.answer(RequestId(id), None, &by)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What happened at the door lately.
#[utoipa::path(get, path = "/v1/enrolment/audit", tag = "enrolment",
    responses((status = 200, description = "Newest first.", body = Vec<Line>)))]
async fn audit(State(desk): State<Desk>) -> Result<Json<Vec<Line>>, Refusal> {
    Ok(Json(desk.aside(|porch| Ok(porch.audit())).await?))
}

/// Takes a list of what was struck off, as head office signs it, without waiting for the estate.
#[utoipa::path(put, path = "/v1/enrolment/strikes", tag = "enrolment", request_body = Value,
    responses((status = 204, description = "It is in force.")))]
async fn strike(
    State(desk): State<Desk>,
    Json(signed): Json<Signed>,
) -> Result<StatusCode, Refusal> {
    match beside(move || desk.porch.take_strikes(&signed)).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(error @ StrikeError::Older { .. }) => {
            Err(Refusal::new(Code::StateConflict, error.to_string()))
        }
        Err(error @ StrikeError::Refused(_)) => {
            Err(Refusal::new(Code::FieldInvalid, error.to_string()))
        }
        Err(StrikeError::Paper(error)) => Err(refuse(error.into())),
    }
}

impl Desk {
    async fn aside<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Porch) -> Result<T, PorchError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let porch = self.porch.clone();
        beside(move || step(&porch)).await.map_err(refuse)
    }
}

fn wish(opening: Opening, minutes_max: u64) -> Result<(Wish, Duration), Refusal> {
    let Opening { kind, name, replace, minutes, by } = opening;
    let invalid = |detail: String| Refusal::new(Code::FieldInvalid, detail);
    if !(1..=minutes_max).contains(&minutes) {
        return Err(invalid(format!("minutes: {minutes} is not within 1 and {minutes_max}")));
    }
    let name = name.map(|name| name.parse()).transpose();
    let name = name.map_err(|error| invalid(format!("name: {error}")))?;
    let by = person(&by)?;
    Ok((Wish { kind, name, replace, by }, Duration::from_secs(60 * minutes)))
}

fn person(by: &str) -> Result<String, Refusal> {
    let fits = !by.trim().is_empty() && by.chars().count() <= BY_CHARS_MAX;
    if !fits || by.chars().any(char::is_control) {
        let detail = format!("by: a name of 1 to {BY_CHARS_MAX} characters says who decides this");
        return Err(Refusal::new(Code::FieldInvalid, detail));
    }
    Ok(by.to_owned())
}
