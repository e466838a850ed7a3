//! A target that is down for a week, with a clock that a test can move.

use std::collections::BTreeSet;
use std::sync::Mutex;

use super::*;
use crate::env;

/// Between two changes of the same few tickets.
const CHANGE_EVERY: Duration = Duration::from_secs(6 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What the records of one definition may take on the disk, whatever happens in the week.
const DISK_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A clock that stands still until it is moved.
#[derive(Clone)]
struct Moved(Arc<Mutex<Now>>);

impl Moved {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Now { instant: env::instant(), at: at() })))
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.0);
        Arc::new(move || *now.lock().unwrap())
    }

    fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        now.instant += time;
        now.at =
            Timestamp::from_unix_ms(now.at.unix_ms() + i64::try_from(time.as_millis()).unwrap());
    }
}

fn bytes_of(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// One round of the task: what the logs say, what is due, and the figures.
async fn round(shop: &Shop) {
    shop.look();
    let inner = &shop.pushes.inner;
    for push in courier::due(inner, inner.now(), &BTreeSet::new()).await {
        courier::deliver_one(inner, &push).await.unwrap();
    }
    figures::take(&shop.pushes.inner);
}

#[tokio::test]
async fn a_target_that_is_down_for_a_week_costs_little_is_seen_and_hears_of_everything_once() {
    let peer = Peer::open().await;
    peer.answer("erp", 200, String::new());
    let clock = Moved::new();
    let definition = json!({"id": "p1", "channelId": "web", "entity": "Ticket",
        "delivery": "webhook", "webhook": {"url": peer.url("erp")}});
    let shop = open_at(definition, clock.clock());
    round(&shop).await;
    assert_eq!(peer.heard().await.body["events"][0]["event"], "reset");

    peer.answer("erp", 503, "closed".to_owned());
    let mut tickets = Vec::new();
    for number in 0..5 {
        tickets.push(shop.sell(&format!("WEB/{number}")).await);
    }
    let (mut attempts, mut gone, mut next_change) = (0_u32, Duration::ZERO, Duration::ZERO);
    while gone < 7 * DAY {
        if gone >= next_change {
            for id in &tickets {
                let note = json!({"id": id, "note": format!("at {gone:?}")});
                shop.world.done("ticket", note).await;
            }
            next_change += CHANGE_EVERY;
        }
        round(&shop).await;
        while !peer.is_quiet().await {
            attempts += 1;
        }
        let pause = courier::PAUSE_MAX + Duration::from_secs(1);
        clock.pass(pause);
        gone += pause;
    }
    assert!((1900..2200).contains(&attempts), "one attempt in five minutes, not {attempts}");
    let figure = shop.pushes.figures().remove(0);
    assert_eq!((figure.waiting, figure.dead), (5, 0), "five tickets are five records");
    assert_eq!((figure.oldest.is_some(), figure.failing_since), (true, Some(at())));
    assert!(figure.error.unwrap().contains("closed"));
    let disk = bytes_of(&shop.dir.path().join("pushes"));
    assert!(disk < DISK_BYTES_MAX, "{disk} bytes");

    peer.answer("erp", 200, String::new());
    round(&shop).await;
    let events = peer.heard().await.body["events"].clone();
    let ids: Vec<&Value> = events.as_array().unwrap().iter().map(|event| &event["id"]).collect();
    assert_eq!(ids, tickets.iter().collect::<Vec<_>>(), "each once");
    clock.pass(DAY);
    round(&shop).await;
    assert!(peer.is_quiet().await, "nothing is told twice");
    let figure = shop.pushes.figures().remove(0);
    assert_eq!((figure.waiting, figure.failing_since, figure.error), (0, None, None));
    assert!(figure.last.is_some());
}

#[test]
fn what_waits_and_what_was_refused_is_bounded_and_nothing_of_it_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = store::Bounds { waiting: 10, dead: 3 };
    let store = Store::bounded(dir.path(), bounds).unwrap().0;
    for id in 0..11 {
        store.note("p", &id.to_string(), Happened::Changed, at()).unwrap();
    }
    assert_eq!(ids(&store, "p"), [""], "more than fit: load anew");
    let last = Last { at: at(), number: 99, count: 1 };
    store.delivered("p", &store.waiting("p", 0, 9).unwrap(), last.clone()).unwrap();
    for id in ["a", "b", "c", "d"] {
        store.note("p", id, Happened::Changed, at()).unwrap();
        let record = store.waiting("p", 0, 1).unwrap().remove(0);
        store.bury("p", &record, "no").unwrap();
    }
    let dead = store.dead("p", 10).unwrap();
    assert_eq!((dead.len(), dead[0].0.event, store.count("p")), (1, Happened::Reset, 0));
    drop(store);
    let store = Store::bounded(dir.path(), bounds).unwrap().0;
    assert_eq!(store.dead_count("p"), 1);
    assert_eq!(store.revive("p").unwrap(), 1);
    let revived = store.waiting("p", 0, 10).unwrap();
    assert_eq!((revived.len(), revived[0].event), (1, Happened::Reset));
    assert_eq!(store.dead_count("p"), 0);

    store.note("p", "x", Happened::Changed, at()).unwrap();
    let record = store.waiting("p", revived[0].number, 1).unwrap().remove(0);
    store.bury("p", &record, "no").unwrap();
    store.note("p", "x", Happened::Changed, at()).unwrap();
    let newer = store.waiting("p", record.number, 1).unwrap();
    store.delivered("p", &newer, last).unwrap();
    assert_eq!(store.dead_count("p"), 0, "what was refused is out of date");
}
