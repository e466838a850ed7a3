//! The last day of the box for charts, a column for each number.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use storebox_proto::chronicle::{MINUTES, Point, start_of};
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use crate::chronicle::Chronicle;

/// The route of this file.
pub fn routes(chronicle: Chronicle) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(last)).with_state(chronicle)
}

/// How much is wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Span {
    /// Minutes up to now, 1 to 1440; all without it.
    minutes: Option<usize>,
}

/// Columns of equal length; `null` where a number was not known, and no row where the box did not run.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Columns {
    /// Seconds since 1970 at which each minute began.
    #[schema(value_type = Vec<i64>)]
    at: Vec<i64>,
    /// The most transactions that waited for head office.
    waiting: Vec<Option<u32>>,
    /// The age of the oldest of them in seconds.
    oldest_s: Vec<Option<u32>>,
    /// Transactions taken from tills; at head office, settled.
    sales: Vec<Option<u32>>,
    /// Transactions that head office settled.
    sent: Vec<Option<u32>>,
    /// Seconds since masterdata was known to be level with head office.
    lag_s: Vec<Option<u32>>,
    /// Requests of tills that were answered.
    answers: Vec<Option<u32>>,
    /// Half of them within so many microseconds.
    median_us: Vec<Option<u32>>,
    /// 99 of 100 of them within so many microseconds.
    slow_us: Vec<Option<u32>>,
}

impl Columns {
    fn add(&mut self, point: Point) {
        let start: Timestamp = start_of(point.minute);
        self.at.push(start.unix_ms() / 1000);
        self.waiting.push(point.waiting);
        self.oldest_s.push(point.oldest_s);
        self.sales.push(point.sales);
        self.sent.push(point.sent);
        self.lag_s.push(point.lag_s);
        self.answers.push(point.answers);
        self.median_us.push(point.median_us);
        self.slow_us.push(point.slow_us);
    }
}

/// The last day in points of a minute: what waited, what was sold, how far masterdata lagged, how fast tills were served.
#[utoipa::path(get, path = "/v1/chronicle", tag = "health", params(Span),
    responses((status = 200, description = "The points in order.", body = Columns)))]
async fn last(
    State(chronicle): State<Chronicle>,
    span: Result<Query<Span>, QueryRejection>,
) -> Result<Json<Columns>, Refusal> {
    let refuse = |detail: String| Refusal::new(Code::ParameterInvalid, detail);
    let Query(span) = span.map_err(|error| refuse(error.body_text()))?;
    let minutes = span.minutes.unwrap_or(MINUTES);
    if !(1..=MINUTES).contains(&minutes) {
        return Err(refuse(format!("minutes must be 1 to {MINUTES}")));
    }
    let mut columns = Columns::default();
    chronicle.last(minutes).into_iter().for_each(|point| columns.add(point));
    Ok(Json(columns))
}
