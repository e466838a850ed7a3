//! The spool on a real disk, through restarts.

use storebox_peripherals::printer::{Doubt, Level};
use storebox_peripherals::spool::{Class, State};
use storebox_proto::problem::Code;

use super::*;

mod secrets;

fn order(key: &str, content: &str) -> Order {
    let content = Bytes::from(content.to_owned());
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(&content).as_bytes()[..16]);
    let request = Request {
        key: key.parse().unwrap(),
        printer: "front".to_owned(),
        class: Class::Receipt,
        digest,
        expires_at: None,
    };
    let (by, source) = ("till-1".to_owned(), Source::Receiptline);
    Order { request, source, content, secret: false, by, kicks: Vec::new() }
}

async fn begin(spool: &Spool) -> Option<Begun> {
    let spool = spool.clone();
    let asked = tokio::task::spawn_blocking(move || spool.begin_next(&"front".parse().unwrap()));
    asked.await.unwrap().unwrap().await.ok().flatten()
}

async fn tell(spool: &Spool, number: u64, verdict: Verdict) {
    let spool = spool.clone();
    tokio::task::spawn_blocking(move || spool.tell(number, verdict)).await.unwrap();
}

async fn state(spool: &Spool, key: &str) -> State {
    spool.find(key.parse().unwrap()).await.unwrap().unwrap().record.state
}

async fn close(opened: SpoolOpened) {
    opened.spool.stop().await;
    opened.thread.join().unwrap();
}

#[tokio::test]
async fn a_printer_that_stands_still_leaves_room_for_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    let spool = opened.spool.clone();
    let picture = "x".repeat(384 << 10);
    for number in 0..42 {
        spool.submit(order(&format!("sale-{number}"), &picture)).await.unwrap();
    }
    let refused = spool.submit(order("sale-42", &picture)).await.unwrap_err();
    assert_eq!(refused.code, Code::StorageFull);
    let mut other = order("other", &picture);
    other.request.printer = "back".to_owned();
    spool.submit(other).await.unwrap();
    close(opened).await;
}

#[tokio::test]
async fn what_waits_for_a_printer_that_is_gone_expires_and_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    let spool = opened.spool.clone();
    for (key, expires_at) in [("late", Some(1)), ("waits", None)] {
        let mut gone = order(key, "tea");
        (gone.request.printer, gone.request.expires_at) = ("gone".to_owned(), expires_at);
        spool.submit(gone).await.unwrap();
    }
    spool.submit(order("sale-1", "tea")).await.unwrap();
    assert_eq!(state(&spool, "late").await, State::Expired);
    assert_eq!(spool.jobs("gone".parse().unwrap(), 10).await.unwrap().len(), 2);
    spool.decide("waits".parse().unwrap(), Wish::Cancel, "ann".to_owned()).await.unwrap();
    assert_eq!(state(&spool, "waits").await, State::Cancelled);
    close(opened).await;
}

#[tokio::test]
async fn a_key_prints_once_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    let spool = opened.spool.clone();
    let first = spool.submit(order("sale-1", "tea")).await.unwrap();
    let begun = begin(&spool).await.unwrap();
    assert_eq!(
        (begun.record.number, begun.content.as_ref()),
        (first.record.number, b"tea".as_slice())
    );
    tell(&spool, begun.record.number, Verdict::Printed(Level::Processed)).await;
    close(opened).await;
    let opened = Spool::open(dir.path()).unwrap();
    let again = opened.spool.submit(order("sale-1", "tea")).await.unwrap();
    assert_eq!(again.record.state, State::Printed { level: Level::Processed });
    let other = opened.spool.submit(order("sale-1", "coffee")).await.unwrap_err();
    assert_eq!(other.code, Code::JobConflict);
    assert!(begin(&opened.spool).await.is_none());
    close(opened).await;
}

#[tokio::test]
async fn a_job_under_way_when_the_box_ended_is_in_doubt_and_a_person_decides() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    for key in ["a", "b"] {
        opened.spool.submit(order(key, key)).await.unwrap();
    }
    begin(&opened.spool).await.unwrap();
    close(opened).await;
    let opened = Spool::open(dir.path()).unwrap();
    let spool = &opened.spool;
    assert!(spool.was_interrupted(&"front".parse().unwrap()));
    assert_eq!(state(spool, "a").await, State::Unknown { doubt: Doubt::Restarted });
    assert_eq!(state(spool, "b").await, State::Queued);
    let reprint = |key: &str| Wish::Reprint { key: key.parse().unwrap(), printer: None };
    let copy = spool.decide("a".parse().unwrap(), reprint("a.copy"), "chief".into()).await.unwrap();
    assert_eq!((copy.record.copy, copy.record.state), (1, State::Queued));
    let again =
        spool.decide("a".parse().unwrap(), reprint("a.copy"), "chief".into()).await.unwrap();
    assert_eq!(again.record.number, copy.record.number);
    let early = spool.decide("b".parse().unwrap(), Wish::Printed, "chief".into()).await;
    assert_eq!(early.unwrap_err().code, Code::JobState);
    close(opened).await;
    let opened = Spool::open(dir.path()).unwrap();
    let job = opened.spool.find("a".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(job.decision.unwrap().what, "reprint");
    assert_eq!(begin(&opened.spool).await.unwrap().record.key.as_str(), "b");
    assert_eq!(begin(&opened.spool).await.unwrap().content.as_ref(), b"a");
    close(opened).await;
}

#[tokio::test]
async fn openings_of_drawers_are_remembered_with_who_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let drawer: DeviceId = "drawer-1".parse().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    let kick =
        opened.spool.note_kick(drawer.clone(), "till-1".into(), "change".into()).await.unwrap();
    close(opened).await;
    let opened = Spool::open(dir.path()).unwrap();
    let entries = opened.spool.entries(drawer, 10).await.unwrap();
    assert_eq!((entries[0].number, entries[0].by.as_str()), (kick, "till-1"));
    assert_eq!(entries[0].act, Act::Kicked { reason: "change".to_owned() });
    close(opened).await;
}

#[tokio::test]
async fn thousands_of_jobs_go_through_and_the_journal_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    let text = "x".repeat(100_000);
    for number in 0..900 {
        let key = format!("sale-{number}");
        opened.spool.submit(order(&key, &text)).await.unwrap();
        let begun = begin(&opened.spool).await.unwrap();
        tell(&opened.spool, begun.record.number, Verdict::Printed(Level::Processed)).await;
    }
    let dropped = opened.spool.content("sale-0".parse().unwrap()).await.unwrap();
    assert_eq!(dropped, None, "what the oldest job prints made room");
    let forgotten = Wish::Reprint { key: "copy".parse().unwrap(), printer: None };
    let refused = opened.spool.decide("sale-0".parse().unwrap(), forgotten, "chief".into()).await;
    assert_eq!(refused.unwrap_err().code, Code::JobForgotten);
    close(opened).await;
    let bytes: u64 = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 100 << 20, "{bytes} bytes on disk");
    let opened = Spool::open(dir.path()).unwrap();
    assert_eq!(state(&opened.spool, "sale-0").await, State::Printed { level: Level::Processed });
    close(opened).await;
}

#[tokio::test]
async fn who_waits_for_a_job_hears_of_it_also_when_others_look_at_the_same_moment() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Spool::open(dir.path()).unwrap();
    let spool = opened.spool.clone();
    spool.submit(order("sale-1", "tea")).await.unwrap();
    let begun = begin(&spool).await.unwrap();
    // The spool's thread is held, so that what comes meanwhile is one group.
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let (reached, at_gate) = oneshot::channel();
    let hold = Command::Look(Box::new(move |_| {
        let _ = reached.send(());
        let _ = gate.recv();
    }));
    spool.sender.send(hold).await.unwrap();
    at_gate.await.unwrap();
    let turns = spool.turns();
    tell(&spool, begun.record.number, Verdict::Printed(Level::Processed)).await;
    let key = || "sale-1".parse().unwrap();
    let (seen, ()) = tokio::join!(spool.find(key()), async { open.send(()).unwrap() });
    assert_eq!(seen.unwrap().unwrap().record.state, State::Printed { level: Level::Processed });
    assert!(turns.has_changed().unwrap());
    let turns = spool.turns();
    spool.find(key()).await.unwrap();
    assert!(!turns.has_changed().unwrap(), "who only looks wakes nobody");
    close(opened).await;
}
