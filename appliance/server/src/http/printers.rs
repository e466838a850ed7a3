//! Printers: their state, what a job would look like, and getting them out of trouble.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use storebox_peripherals::printer::Recovery;
use storebox_proto::problem::{Code, Problem};
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::devices::{DeviceView, name_of};
use super::identity::Identity;
use super::jobs::{Content, find, parse_key};
use super::problem::Refusal;
use crate::blocking::beside;
use crate::devices::bay::printer::{Command, PrinterState};
use crate::devices::rendering::Form;
use crate::devices::yard::{Devices, Station};

/// The routes of this file.
pub fn routes(devices: Devices) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(preview))
        .routes(routes!(picture))
        .routes(routes!(recover))
        .with_state(devices)
}

/// A printer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct PrinterView {
    /// Where it is and whether it can be talked to.
    #[serde(flatten)]
    device: DeviceView,
    /// Its profile.
    profile: String,
    /// Characters on a line.
    columns: u16,
    /// What it reported last.
    #[serde(flatten)]
    state: PrinterState,
    /// Jobs that wait for it.
    waiting: usize,
    /// Jobs in doubt: a person must say whether they are on paper.
    in_doubt: usize,
}

/// What to do about an error whose cause is gone.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Recover {
    /// `resume`: go on where the error struck; `discard`: forget what was not printed.
    #[schema(value_type = String)]
    how: Recovery,
}

/// All printers.
#[utoipa::path(get, path = "/v1/printers", tag = "printers",
    responses((status = 200, description = "All printers.", body = Vec<PrinterView>)))]
async fn list(State(devices): State<Devices>) -> Result<Json<Vec<PrinterView>>, Refusal> {
    let roll = devices.roll();
    let mut views = Vec::new();
    for (id, post) in &roll.posts {
        if matches!(post.station, Station::Printer { .. }) {
            views.push(view(&devices, id.as_str()).await?);
        }
    }
    Ok(Json(views))
}

/// A printer: connection, paper, cover, errors, and how many jobs wait or are in doubt.
#[utoipa::path(get, path = "/v1/printers/{id}", tag = "printers", params(("id" = String, Path)),
    responses((status = 200, description = "The printer.", body = PrinterView)))]
async fn show(
    State(devices): State<Devices>,
    Path(id): Path<String>,
) -> Result<Json<PrinterView>, Refusal> {
    Ok(Json(view(&devices, &id).await?))
}

async fn view(devices: &Devices, id: &str) -> Result<PrinterView, Problem> {
    let printer = devices.printer(id)?;
    let device = DeviceView::of(&devices.post(id)?);
    let (waiting, in_doubt) = devices.spool().figures(printer.id).await?;
    let profile = printer.medium.profile.name.to_owned();
    let columns = printer.medium.profile.columns;
    let state = printer.state.borrow().clone();
    Ok(PrinterView { device, profile, columns, state, waiting, in_doubt })
}

/// What a document would look like on this printer's paper, also to be sent as a digital receipt; nothing is printed.
///
/// SVG, or PNG if the request accepts `image/png`.
#[utoipa::path(post, path = "/v1/printers/{id}/preview", tag = "printers",
    params(("id" = String, Path)), request_body = Content,
    responses((status = 200, description = "The paper.", body = String,
               content_type = "image/svg+xml")))]
async fn preview(
    State(devices): State<Devices>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(content): Json<Content>,
) -> Result<impl IntoResponse, Refusal> {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let (form, kind) = match accepts.is_some_and(|accepts| accepts.contains("image/png")) {
        true => (Form::Png, "image/png"),
        false => (Form::Svg, "image/svg+xml"),
    };
    let medium = devices.printer(&id)?.medium;
    let (source, content) = content.bytes()?;
    let picture = beside(move || medium.preview(form, source, &content)).await?;
    Ok(([(header::CONTENT_TYPE, kind)], picture))
}

/// What a job looks like on this printer's paper, as SVG, for the operator and for whoever sent it.
#[utoipa::path(get, path = "/v1/printers/{id}/jobs/{key}/picture", tag = "printers",
    params(("id" = String, Path), ("key" = String, Path)),
    responses((status = 200, description = "The paper.", body = String,
               content_type = "image/svg+xml"),
              (status = 403, description = "It is another till's."),
              (status = 410, description = "What it prints was dropped to make room.")))]
async fn picture(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path((id, key)): Path<(String, String)>,
) -> Result<impl IntoResponse, Refusal> {
    let medium = devices.printer(&id)?.medium;
    let key = parse_key(&key)?;
    let job = find(devices.spool(), &id, &key).await?;
    // Receipts name customers: a till sees its own.
    if identity != Identity::Operator && job.by != name_of(&identity) {
        return Err(Refusal::new(Code::Forbidden, "this paper was sent by another till"));
    }
    let gone = || Problem::new(Code::JobForgotten, "what this job prints was dropped");
    let (source, content) = devices.spool().content(key).await?.ok_or_else(gone)?;
    let draw = move || medium.preview(Form::Svg, source, &content);
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], beside(draw).await?))
}

/// Clears an error of the printer whose cause is gone.
#[utoipa::path(post, path = "/v1/printers/{id}/recover", tag = "printers",
    params(("id" = String, Path)), request_body = Recover,
    responses((status = 204, description = "The printer was told.")))]
async fn recover(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
    Json(Recover { how }): Json<Recover>,
) -> Result<axum::http::StatusCode, Refusal> {
    let (answer, answered) = oneshot::channel();
    devices.printer(&id)?.counter.give(Command::Recover { how, answer })?;
    tracing::info!(device = id, by = name_of(&identity), ?how, "printer is told to recover");
    answered.await.map_err(|_| taken_away())??;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// A device that left before it answered.
pub(super) fn taken_away() -> Problem {
    Problem::new(Code::DeviceAway, "the device was taken out of service")
}
