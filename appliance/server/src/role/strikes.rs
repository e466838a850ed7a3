//! The list of what was struck off arrives with the estate and is in force within seconds.

use std::time::Duration;

use serde_json::{Map, Value};
use storebox_proto::trust::strike::{MODEL, RECORD, Signed};
use tokio_util::sync::CancellationToken;

use crate::logging;
use crate::masterdata::Masterdata;
use crate::trust::porch::Porch;

/// How often the estate is looked at; a look is one record in memory.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Takes every newer list over until the box stops; nothing is lost when this is dropped.
pub(super) async fn follow(porch: Porch, masterdata: Masterdata, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut seen = None;
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let Some(record) = masterdata.look(MODEL, "id", RECORD) else { continue };
        if seen.as_ref() == Some(&record) {
            continue;
        }
        let (porch, taken) = (porch.clone(), record.clone());
        if tokio::task::spawn_blocking(move || take(&porch, &taken)).await.is_err() {
            return;
        }
        seen = Some(record);
    }
}

fn take(porch: &Porch, record: &Map<String, Value>) {
    let text = |field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
    let Some((list, signature)) = text("list").zip(text("signature")) else {
        tracing::warn!(code = "strike_list", "the record of what was struck off is no list");
        return;
    };
    if let Err(error) = porch.take_strikes(&Signed { list, signature }) {
        let error = logging::chain(&error);
        tracing::warn!(code = "strike_list", error, "the list of what was struck off is refused");
    }
}
