//! The list of what was struck off arrives with the estate and is in force within seconds.
//!
//! What was struck off may know the rings of its site.
//! So head office, from which all rings come, begins them anew for every list, however it came and whenever the box ended
//! in between; members fetch them by themselves.

use std::time::Duration;

use serde_json::{Map, Value};
use storebox_proto::trust::strike::{MODEL, RECORD, Signed};
use tokio_util::sync::CancellationToken;

use crate::blocking::beside;
use crate::masterdata::Masterdata;
use crate::seal::{Seals, SealsError};
use crate::trust::porch::Porch;
use crate::{env, logging};

/// How often the estate is looked at; a look is one record in memory.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The longest wait after rings that did not begin anew; doubled each time until then.
const AGAIN_MAX: Duration = Duration::from_secs(600);

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
        beside(move || take(&porch, &taken)).await;
        seen = Some(record);
    }
}

/// Begins rings anew for every list until the box stops; what a stop leaves undone, the next start does.
pub(super) async fn renew(porch: Porch, rings: Seals, stop: CancellationToken) {
    let look = move || porch.struck();
    renew_by(look, move |list| rings.renew_for(list, env::believable()), stop).await;
}

/// A list counts as done only once the rings have begun: until then whoever was struck off may read on.
async fn renew_by(
    look: impl Fn() -> (u64, usize),
    begin: impl Fn(u64) -> Result<usize, SealsError> + Clone + Send + 'static,
    stop: CancellationToken,
) {
    let (mut done, mut wait) = (0, Duration::ZERO);
    while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        let (list, keys) = look();
        if keys == 0 || list == done {
            wait = LOOK_EVERY;
            continue;
        }
        let begin = begin.clone();
        match beside(move || begin(list)).await {
            Ok(count) => {
                (done, wait) = (list, LOOK_EVERY);
                if count > 0 {
                    tracing::info!(list, count, "rings begin anew");
                }
            }
            Err(error) => {
                wait = (wait * 2).clamp(LOOK_EVERY, AGAIN_MAX);
                let (error, wait_s) = (logging::chain(&error), wait.as_secs());
                tracing::error!(list, error, wait_s, "rings do not begin anew; tried again");
            }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rings_that_did_not_begin_anew_are_tried_again_until_they_do_and_then_left() {
        const FAILURES: usize = 12;
        /// The clock of this test begins a moment before it.
        const HALF: Duration = Duration::from_millis(500);
        let begun = tokio::time::Instant::from_std(env::instant());
        let (tries, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (told, looks, stopping) = (tries.clone(), Mutex::new(0), stop.clone());
        let look = move || {
            let mut looks = looks.lock().unwrap();
            *looks += 1;
            // One try for each look until it worked, and some looks after that.
            if *looks == FAILURES + 4 {
                stopping.cancel();
            }
            (7, 1)
        };
        let begin = move |list| {
            assert_eq!(list, 7);
            let mut tries = told.lock().unwrap();
            tries.push(begun.elapsed());
            if tries.len() > FAILURES { Ok(2) } else { Err(SealsError::Full) }
        };
        renew_by(look, begin, stop).await;
        let tries = tries.lock().unwrap();
        assert_eq!(tries.len(), FAILURES + 1, "tried until it worked, and never after: {tries:?}");
        let waits = tries.windows(2).map(|pair| (pair[1] - pair[0] + HALF).as_secs());
        let waits: Vec<_> = waits.collect();
        assert!(waits.is_sorted() && waits[0] == LOOK_EVERY.as_secs(), "{waits:?}");
        assert_eq!(waits.last(), Some(&AGAIN_MAX.as_secs()), "{waits:?}");
    }
}
