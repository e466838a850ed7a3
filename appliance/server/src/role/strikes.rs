//! The list of what was struck off arrives with the estate and is in force within seconds.
//!
//! What was struck off may know the rings of its site.
//! So head office, from which all rings come, begins new ones in the same act; members fetch them by themselves.

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
pub(super) async fn follow(
    porch: Porch,
    masterdata: Masterdata,
    rings: Option<Seals>,
    stop: CancellationToken,
) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut seen = None;
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let Some(record) = masterdata.look(MODEL, "id", RECORD) else { continue };
        if seen.as_ref() == Some(&record) {
            continue;
        }
        let (porch, taken, rings) = (porch.clone(), record.clone(), rings.clone());
        let take = move || take(&porch, &taken, rings.as_ref());
        if tokio::task::spawn_blocking(take).await.is_err() {
            return;
        }
        seen = Some(record);
    }
}

fn take(porch: &Porch, record: &Map<String, Value>, rings: Option<&Seals>) {
    let text = |field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
    let Some((list, signature)) = text("list").zip(text("signature")) else {
        tracing::warn!(code = "strike_list", "the record of what was struck off is no list");
        return;
    };
    match porch.take_strikes(&Signed { list, signature }) {
        Ok(true) => renew(rings),
        Ok(false) => {}
        Err(error) => {
            let error = logging::chain(&error);
            tracing::warn!(
                code = "strike_list",
                error,
                "the list of what was struck off is refused"
            );
        }
    }
}

fn renew(rings: Option<&Seals>) {
    match rings.map(|rings| rings.begin_all(env::believable())) {
        Some(Ok(count)) if count > 0 => tracing::info!(count, "rings begin anew"),
        Some(Ok(_)) | None => {}
        Some(Err(error)) => {
            let error = logging::chain(&error);
            tracing::error!(error, "rings do not begin anew; do it with `storebox seal new`");
        }
    }
}
