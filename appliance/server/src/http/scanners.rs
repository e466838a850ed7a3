//! Barcode scanners: each code as an event, with what it carries.

use std::convert::Infallible;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::ALIVE_EVERY;
use super::problem::Refusal;
use crate::devices::bay::scanner::Scanned;
use crate::devices::yard::Devices;

/// The route of this file.
pub fn routes(devices: Devices) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(events)).with_state(devices)
}

/// Codes as they are read; what was read before is not told.
///
/// `scan`: `code`, `at`, and `gs1` or `inStore` where the code carries more.
/// `missed`: the listener was too slow and did not hear some codes.
#[utoipa::path(get, path = "/v1/scanners/{id}/events", tag = "scanners",
    params(("id" = String, Path)),
    responses((status = 200, description = "Events until the connection ends.", body = String,
               content_type = "text/event-stream")))]
async fn events(
    State(devices): State<Devices>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let codes = BroadcastStream::new(devices.scanner(&id)?);
    let told = |scanned: Scanned| {
        let json = serde_json::to_string(&scanned).unwrap_or_default();
        Event::default().event("scan").data(json)
    };
    let missed =
        |lost: &dyn std::fmt::Display| Event::default().event("missed").data(lost.to_string());
    let events = codes.map(move |heard| Ok(heard.map_or_else(|lost| missed(&lost), told)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}
