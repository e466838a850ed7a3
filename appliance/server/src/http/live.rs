//! The status of the box as it changes, as server-sent events for consoles.
//!
//! One task looks for all who listen, and only while somebody does; a listener that is slow misses looks, not memory.
//! The number of listeners is bounded, so that open tabs never take the tills' connections away.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use storebox_proto::problem::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::ALIVE_EVERY;
use super::identity::Identity;
use super::problem::Refusal;
use crate::status::{Panel, Status};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A status that did not change is told again after so many looks, so that ages on the console stay true.
const REPEAT_AFTER: u32 = 5;
/// Consoles of strangers, and as many of operators, that may listen at once: the former never keep the latter out.
const LISTENERS_MAX: usize = 16;

/// What everybody who listens hears; cheap to clone.
#[derive(Debug, Clone)]
pub struct Live {
    panel: Panel,
    latest: watch::Sender<Option<Arc<Status>>>,
    seats: Arc<Semaphore>,
    operators: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Live {
    /// Tells what this panel says until the box stops.
    pub fn new(panel: Panel, stop: CancellationToken) -> Self {
        let seats = || Arc::new(Semaphore::new(LISTENERS_MAX));
        Self { panel, latest: watch::Sender::new(None), seats: seats(), operators: seats(), stop }
    }

    /// The route of this file.
    pub fn routes(&self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(status)).with_state(self.clone())
    }

    /// Looks while somebody listens; nothing is lost when this is dropped.
    pub async fn run(self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut unchanged = 0;
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            if self.latest.receiver_count() == 0 {
                continue;
            }
            let status = self.panel.status().await;
            let is_new = self.latest.borrow().as_deref().is_none_or(|last| differs(last, &status));
            unchanged = if is_new { 0 } else { unchanged + 1 };
            if is_new || unchanged >= REPEAT_AFTER {
                unchanged = 0;
                self.latest.send_replace(Some(Arc::new(status)));
            }
        }
    }
}

/// Whether two looks differ in more than the time that went by.
fn differs(last: &Status, status: &Status) -> bool {
    let mut same_time = last.clone();
    (same_time.now, same_time.uptime_s) = (status.now, status.uptime_s);
    if let (Some(last), Some(outbox)) = (&mut same_time.outbox, &status.outbox) {
        last.oldest_s = outbox.oldest_s;
    }
    same_time.machine.memory_bytes = status.machine.memory_bytes;
    same_time != *status
}

/// The status as events `status`, at once and whenever it changes; clients and tasks are named to the operator only.
#[utoipa::path(get, path = "/v1/status/events", tag = "health",
    responses((status = 200, description = "Events until the connection ends.", body = String,
               content_type = "text/event-stream"),
              (status = 503, description = "busy: too many listen already.")))]
async fn status(
    State(live): State<Live>,
    caller: Option<Extension<Identity>>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let is_operator = matches!(caller, Some(Extension(Identity::Operator)));
    let seats = if is_operator { &live.operators } else { &live.seats };
    let seat = Arc::clone(seats).try_acquire_owned();
    let full = |_| Refusal::new(Code::Busy, format!("{LISTENERS_MAX} consoles listen already"));
    let seat: OwnedSemaphorePermit = seat.map_err(full)?;
    let first = Arc::new(live.panel.status().await);
    let later = WatchStream::from_changes(live.latest.subscribe()).filter_map(std::future::ready);
    let told = futures_util::stream::iter([first]).chain(later).map(move |status| {
        // The seat is taken until the stream is dropped.
        let _ = &seat;
        let seen = Status::clone(&status);
        let seen = if is_operator { seen } else { seen.summary() };
        let json = serde_json::to_string(&seen).unwrap_or_default();
        Ok(Event::default().event("status").data(json))
    });
    let told = told.take_until(live.stop.cancelled_owned());
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}
