//! Print jobs: taken in durably, printed once, told honestly.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storebox_peripherals::spool::{Class, Key, Request, State as JobState};
use storebox_proto::limits::PRINT_JOB_BYTES_MAX;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::time::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Drawers;
use super::devices::logged_in;
use super::identity::Identity;
use super::problem::Refusal;
use crate::blocking::beside;
use crate::devices::rendering::Source;
use crate::devices::spool::{Decision, Job, Order, Spool, Wish};
use crate::devices::yard::{Devices, PrinterPost};
use crate::env;
use crate::login::Person;

/// Jobs on a page without `limit`.
const LIMIT_DEFAULT: usize = 50;
/// The longest that a request waits for its job.
const WAIT_MAX_S: u64 = 55;

/// The routes of this file.
pub fn routes(devices: Devices) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .routes(routes!(show))
        .routes(routes!(decide))
        .with_state(devices)
}

/// What to print; exactly one of the three.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Content {
    /// A JSON document: `{"blocks": [...]}`.
    #[schema(value_type = Option<Object>)]
    document: Option<Value>,
    /// ReceiptLine.
    receiptline: Option<String>,
    /// ESC/POS bytes as base64; what changes the printer for others is refused.
    raw: Option<String>,
}

impl Content {
    /// What it is, as bytes.
    pub(super) fn bytes(self) -> Result<(Source, Bytes), Problem> {
        let (source, bytes) = match (self.document, self.receiptline, self.raw) {
            (Some(document), None, None) => {
                let json = serde_json::to_vec(&document).expect("what was JSON is JSON");
                (Source::Document, json)
            }
            (None, Some(text), None) => (Source::Receiptline, text.into_bytes()),
            (None, None, Some(raw)) => {
                let bytes = STANDARD.decode(raw).map_err(|error| {
                    Problem::new(Code::FieldInvalid, format!("raw is not base64: {error}"))
                })?;
                (Source::Raw, bytes)
            }
            (None, None, None)
            | (_, Some(_), Some(_))
            | (Some(_), _, Some(_))
            | (Some(_), Some(_), None) => {
                let detail = "exactly one of document, receiptline and raw must be given";
                return Err(Problem::new(Code::FieldInvalid, detail));
            }
        };
        if bytes.len() > PRINT_JOB_BYTES_MAX {
            let detail =
                format!("a job may have {PRINT_JOB_BYTES_MAX} bytes, this has {}", bytes.len());
            return Err(Problem::new(Code::TooLarge, detail));
        }
        Ok((source, bytes.into()))
    }
}

/// A job as a till sends it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewJob {
    /// The till's name for it, unique on this box; the same key never prints twice.
    key: String,
    /// `receipt` (the default), `kitchen`, `label` or `report`; in this order they print.
    #[serde(default = "receipt")]
    #[schema(value_type = String)]
    class: Class,
    /// If it did not begin to print by then, it never does.
    #[serde(default)]
    expires_in_s: Option<u32>,
    /// What it prints lets somebody in: it is kept in memory alone, cannot be looked at or printed again, and a restart
    /// of the box takes the job back.
    #[serde(default)]
    secret: bool,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    document: Option<Value>,
    #[serde(default)]
    receiptline: Option<String>,
    #[serde(default)]
    raw: Option<String>,
}

fn receipt() -> Class {
    Class::Receipt
}

/// What a person says of a job.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(tag = "decision", rename_all = "snake_case", deny_unknown_fields)]
enum Decide {
    /// It is on paper.
    Printed,
    /// Print it again, marked as a copy.
    Reprint {
        /// The copy's own key.
        key: String,
        /// Another printer for it.
        #[serde(default)]
        printer: Option<String>,
    },
    /// It waits and is not to be printed.
    Cancel,
}

/// A job and how far it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct JobView {
    key: String,
    printer: String,
    #[schema(value_type = String)]
    class: Class,
    /// `queued`, `sending`, `sent`, `printed` (with `level`), `unknown` (with `doubt`), `discarded`, `cancelled`, `expired`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    state: JobState,
    /// Which copy it is; 0 is the original.
    copy: u16,
    /// The code at the foot of the paper.
    code: String,
    source: Source,
    by: String,
    #[schema(value_type = String)]
    at: Timestamp,
    #[schema(value_type = String)]
    changed: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    /// What was left out or replaced in the document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl JobView {
    fn of(job: Job, warnings: Vec<String>) -> Self {
        let code = job.record.short_code();
        let Job { record, source, by, at, changed, decision, .. } = job;
        Self {
            key: record.key.into(),
            printer: record.printer,
            class: record.class,
            state: record.state,
            copy: record.copy,
            code,
            source,
            by,
            at,
            changed,
            decision,
            warnings,
        }
    }
}

/// How long to wait for the job to come to its end.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wait {
    /// Seconds; the answer comes as soon as nothing more happens to the job by itself.
    wait_s: u64,
}

/// A page of jobs.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Page {
    /// How many at most.
    limit: Option<usize>,
}

/// The newest jobs of a printer.
#[utoipa::path(get, path = "/v1/printers/{id}/jobs", tag = "printers",
    params(("id" = String, Path), Page),
    responses((status = 200, description = "Newest first.", body = Vec<JobView>)))]
async fn list(
    State(devices): State<Devices>,
    Path(id): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Vec<JobView>>, Refusal> {
    let Query(page) = page.map_err(parameter)?;
    let (printer, unknown) = match devices.printer(&id) {
        Ok(printer) => (printer.id, None),
        // One that was taken out of the configuration; what waits for it can still be seen and cancelled.
        Err(unknown) => (id.parse().map_err(|_| unknown.clone())?, Some(unknown)),
    };
    let jobs = devices.spool().jobs(printer, page.limit.unwrap_or(LIMIT_DEFAULT)).await?;
    if let (true, Some(unknown)) = (jobs.is_empty(), unknown) {
        return Err(unknown.into());
    }
    Ok(Json(jobs.into_iter().map(|job| JobView::of(job, Vec::new())).collect()))
}

/// Takes a job in; the answer says that it is on disk, and with `wait_s` also what became of it.
///
/// The same key with the same content answers with that job and prints nothing.
/// A job that opens a drawer needs the right to open drawers.
#[utoipa::path(post, path = "/v1/printers/{id}/jobs", tag = "printers",
    params(("id" = String, Path), Wait), request_body = NewJob,
    responses((status = 201, description = "The job.", body = JobView),
              (status = 409, description = "The key belongs to another job."),
              (status = 507, description = "No room; nothing was taken in.")))]
async fn submit(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    Extension(may_open): Extension<Drawers>,
    person: Option<Extension<Person>>,
    Path(id): Path<String>,
    wait: Result<Query<Wait>, QueryRejection>,
    Json(new): Json<NewJob>,
) -> Result<(StatusCode, Json<JobView>), Refusal> {
    let Query(wait) = wait.map_err(parameter)?;
    let printer = devices.printer(&id)?;
    let NewJob { key, class, expires_in_s, secret, document, receiptline, raw } = new;
    let key = parse_key(&key)?;
    let (source, content) = Content { document, receiptline, raw }.bytes()?;
    let (medium, body) = (printer.medium.clone(), content.clone());
    // Pictures are unpacked to see what they are.
    let checked = beside(move || medium.check(source, &body)).await?;
    let request = request(&printer, key.clone(), class, &content, expires_in_s);
    let drawers = checked.kicks.into_iter().enumerate().filter(|(_, times)| *times > 0);
    let drawer = |pin: usize| printer.drawers.get(pin).unwrap_or(&printer.id).clone();
    let kicks: Vec<_> = drawers.map(|(pin, times)| (drawer(pin), times)).collect();
    if !kicks.is_empty() {
        may_open.check()?;
    }
    let by = logged_in(person.as_deref(), &identity);
    let order = Order { request, source, content, secret, by, kicks };
    let job = devices.spool().submit(order).await?;
    let job = settle(devices.spool(), key, job, wait).await?;
    Ok((StatusCode::CREATED, Json(JobView::of(job, checked.warnings))))
}

fn request(
    printer: &PrinterPost,
    key: Key,
    class: Class,
    content: &[u8],
    expires_in_s: Option<u32>,
) -> Request {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(content).as_bytes()[..16]);
    let now = u64::try_from(env::believable().unix_ms()).unwrap_or(0);
    let expires_at = expires_in_s.map(|seconds| now + u64::from(seconds) * 1000);
    Request { key, printer: printer.id.to_string(), class, digest, expires_at }
}

/// A job and how far it is.
#[utoipa::path(get, path = "/v1/printers/{id}/jobs/{key}", tag = "printers",
    params(("id" = String, Path), ("key" = String, Path), Wait),
    responses((status = 200, description = "The job.", body = JobView)))]
async fn show(
    State(devices): State<Devices>,
    Path((id, key)): Path<(String, String)>,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<JobView>, Refusal> {
    let Query(wait) = wait.map_err(parameter)?;
    let key = parse_key(&key)?;
    let job = find(devices.spool(), &id, &key).await?;
    let job = settle(devices.spool(), key, job, wait).await?;
    Ok(Json(JobView::of(job, Vec::new())))
}

/// Says what a person decided about a job: it is printed, print a copy, or do not print it.
#[utoipa::path(post, path = "/v1/printers/{id}/jobs/{key}/decision", tag = "printers",
    params(("id" = String, Path), ("key" = String, Path)), request_body = Decide,
    responses((status = 200, description = "The job, or its copy.", body = JobView)))]
async fn decide(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    person: Option<Extension<Person>>,
    Path((id, key)): Path<(String, String)>,
    Json(decision): Json<Decide>,
) -> Result<Json<JobView>, Refusal> {
    let key = parse_key(&key)?;
    let original = find(devices.spool(), &id, &key).await?;
    let wish = match decision {
        Decide::Printed => Wish::Printed,
        Decide::Cancel => Wish::Cancel,
        Decide::Reprint { key, printer } => {
            let to = printer.unwrap_or(original.record.printer);
            let printer = Some(devices.printer(&to)?.id);
            Wish::Reprint { key: parse_key(&key)?, printer }
        }
    };
    let job = devices.spool().decide(key, wish, logged_in(person.as_deref(), &identity)).await?;
    Ok(Json(JobView::of(job, Vec::new())))
}

/// A job of this printer.
pub(super) async fn find(spool: &Spool, printer: &str, key: &Key) -> Result<Job, Problem> {
    let job = spool.find(key.clone()).await?.filter(|job| job.record.printer == printer);
    let unknown = || {
        let detail = format!("no job of {printer} has the key {}", key.as_str());
        Problem::new(Code::JobUnknown, detail)
    };
    job.ok_or_else(unknown)
}

/// Waits until nothing more happens to a job by itself.
async fn settle(spool: &Spool, key: Key, mut job: Job, wait: Wait) -> Result<Job, Problem> {
    let end = env::instant() + Duration::from_secs(wait.wait_s.min(WAIT_MAX_S));
    let mut turns = spool.turns();
    while !job.record.state.is_final() {
        let left = end.saturating_duration_since(env::instant());
        if left.is_zero() || tokio::time::timeout(left, turns.changed()).await.is_err() {
            break;
        }
        job = spool.find(key.clone()).await?.unwrap_or(job);
    }
    Ok(job)
}

/// The key in a path.
pub(super) fn parse_key(text: &str) -> Result<Key, Problem> {
    text.parse().map_err(|error: storebox_peripherals::spool::KeyError| {
        Problem::new(Code::FieldInvalid, error.to_string())
    })
}

/// A query that cannot be read.
pub(super) fn parameter(error: QueryRejection) -> Problem {
    Problem::new(Code::ParameterInvalid, error.body_text())
}
