//! The list of what was struck off arrives with the estate and is in force within seconds.
//!
//! What was struck off may know the rings of its site.
//! So head office, from which all rings come, begins them anew for every list, however it came and whenever the box ended
//! in between; members fetch them by themselves.

use std::time::Duration;

use serde_json::{Map, Value};
use storebox_proto::trust::strike::{MODEL, RECORD, Signed};
use tokio_util::sync::CancellationToken;

use crate::masterdata::Masterdata;
use crate::seal::Seals;
use crate::trust::porch::Porch;
use crate::{env, logging};

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

/// Begins rings anew for every list until the box stops; what a stop leaves undone, the next start does.
pub(super) async fn renew(porch: Porch, rings: Seals, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut tried = 0;
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let (list, keys) = porch.struck();
        if keys == 0 || list == tried {
            continue;
        }
        tried = list;
        let rings = rings.clone();
        let renewed =
            tokio::task::spawn_blocking(move || rings.renew_for(list, env::believable())).await;
        match renewed {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => tracing::info!(list, count, "rings begin anew"),
            Ok(Err(error)) => {
                let error = logging::chain(&error);
                tracing::error!(error, "rings do not begin anew; do it with `storebox seal new`");
            }
            Err(_) => return,
        }
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
