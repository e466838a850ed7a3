//! The outbox against a receiver that answers at random, loses answers, and against its own restart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::record::By;
use super::*;
use crate::ids::{LaneId, TxKind};
use crate::problem::Code;
use crate::ticket::envelope::CASH_UP;

#[expect(clippy::disallowed_methods, reason = "the zero of a test's own time")]
fn start() -> Instant {
    Instant::now()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_795_341_720_000 + ms)
}

fn key(number: u64) -> TxKey {
    TxKey(uuid::Uuid::from_u128(0x0192_d3a4_5b6c_7000_8000_0000_0000_0000 + u128::from(number)))
}

fn sink(name: &str) -> SinkId {
    name.parse().unwrap()
}

fn meta(number: u64, terminal: &str, sequence: u64, lane: &str) -> Meta {
    Meta {
        key: key(number),
        digest: Hash32::of(&number.to_le_bytes()),
        bytes: 1000,
        kind: "Order".parse().unwrap(),
        terminal: terminal.parse().unwrap(),
        epoch: 1,
        sequence,
        lane: lane.parse::<LaneId>().unwrap(),
        depends_on: Vec::new(),
        session: None,
    }
}

fn outbox(limits: Limits, best_effort: &[&str]) -> Outbox {
    let mut sinks = vec![SinkDef { id: sink("main"), authoritative: true }];
    sinks.extend(best_effort.iter().map(|id| SinkDef { id: sink(id), authoritative: false }));
    Outbox::new(limits, sinks).unwrap()
}

fn accept(outbox: &mut Outbox, meta: &Meta) -> u64 {
    let Admission::New { position, record } = outbox.admit(meta, at(0)) else {
        panic!("{} is new", meta.key);
    };
    outbox.apply(&record);
    position
}

fn sent(work: Work) -> Vec<u64> {
    match work {
        Work::Send(batch) => batch.items.iter().map(|item| item.position).collect(),
        Work::Nothing | Work::Wait { .. } => Vec::new(),
        Work::Ask(_) | Work::Stuck(_) => panic!("{work:?}"),
    }
}

fn answer(outbox: &mut Outbox, answers: &[(u64, Verdict)], now: Instant) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for record in outbox.handle_answers(&sink("main"), answers, now, &mut rng) {
        outbox.apply(&record);
    }
}

fn refused() -> Verdict {
    Verdict::Refused(Problem::new(Code::TransactionRefused, "tax is unknown"))
}

#[test]
fn what_is_urgent_goes_first_but_never_before_what_it_has_to_follow() {
    let mut outbox = outbox(Limits { batch_envelopes_max: 2, ..Limits::default() }, &[])
        .with_urgent(vec!["Order".parse().unwrap()]);
    let mut rest = |number: u64, lane: &str, kind: &str| {
        let meta = Meta { kind: kind.parse().unwrap(), ..meta(number, "till-1", number, lane) };
        accept(&mut outbox, &meta)
    };
    rest(1, "stock:1", "StockCount");
    rest(2, "customer:1", "Customer");
    rest(3, "ticket:3", "Order");
    rest(4, "customer:1", "Order");
    rest(5, "ticket:5", "Order");
    let now = start();
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [3, 5], "4 has to follow the customer");
    answer(&mut outbox, &[(3, Verdict::Taken), (5, Verdict::Taken)], now);
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [1, 2]);
    answer(&mut outbox, &[(1, Verdict::Taken), (2, Verdict::Taken)], now);
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [4]);
}

#[test]
fn a_guest_that_is_refused_takes_what_follows_it_back_to_its_box() {
    let mut outbox = outbox(Limits::default(), &[]);
    let now = start();
    let closing = Meta { kind: CASH_UP.parse().unwrap(), ..meta(3, "till-1", 3, "session:1") };
    let in_session = |meta: Meta| Meta { session: Some("1".to_owned()), ..meta };
    let mut needing = meta(4, "till-1", 4, "ticket:4");
    needing.depends_on = vec![key(2)];
    let guests = [
        in_session(meta(1, "till-1", 1, "ticket:1")),
        in_session(meta(2, "till-1", 2, "ticket:1")),
        in_session(closing),
        needing,
        meta(5, "till-2", 1, "ticket:5"),
    ];
    for guest in &guests {
        let receipt = Receipt {
            key: guest.key,
            digest: guest.digest,
            grade: crate::ticket::Grade::Held,
            node: "far".parse().unwrap(),
            position: 1,
            at: at(0),
            clock: None,
            batch: None,
            signature: String::new(),
        };
        let Admission::New { record, .. } = outbox.admit_guest(guest, receipt, at(0)) else {
            panic!("it is new");
        };
        outbox.apply(&record);
    }
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [1, 2, 3, 4, 5]);
    let later = Verdict::Later(Problem::new(Code::DependencyMissing, "ticket first"));
    let answers =
        [(1, refused()), (2, later.clone()), (3, later.clone()), (4, later), (5, Verdict::Taken)];
    answer(&mut outbox, &answers, now);
    assert_eq!(outbox.positions().count(), 0, "its box offers all of it again, in its order");
}

#[test]
fn a_refused_entry_stops_its_descendants_and_nothing_else_until_it_is_repaired() {
    let mut outbox = outbox(Limits::default(), &[]);
    let now = start();
    let ticket = meta(1, "till-1", 1, "ticket:1");
    let payment = meta(2, "till-1", 2, "ticket:1");
    let mut invoice = meta(3, "till-2", 1, "invoice:1");
    invoice.depends_on = vec![key(1)];
    let other = meta(4, "till-2", 2, "ticket:9");
    for meta in [&ticket, &payment, &invoice, &other] {
        accept(&mut outbox, meta);
    }
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [1, 2, 3, 4]);
    let later = Verdict::Later(Problem::new(Code::DependencyMissing, "ticket first"));
    let answers = [(1, refused()), (2, later.clone()), (3, later), (4, Verdict::Taken)];
    answer(&mut outbox, &answers, now);
    assert_eq!(outbox.poll_released(), [4]);
    let much_later = now + Duration::from_secs(3600);
    assert_eq!(outbox.poll(&sink("main"), much_later), Work::Nothing);
    assert_eq!(outbox.summary(2).unwrap().waits_for, Some(key(1)));

    let mut repaired = ticket.clone();
    repaired.digest = Hash32::of(b"repaired");
    let record = outbox.repair(repaired, By::new("anna", at(5))).unwrap();
    outbox.apply(&record);
    assert_eq!(sent(outbox.poll(&sink("main"), much_later)), [1, 2, 3]);
    assert!(matches!(outbox.admit(&ticket, at(9)), Admission::Again { position: 1, .. }));
    let audit: Vec<_> = outbox.audit().collect();
    assert_eq!((audit[0].action.as_str(), audit[0].by.who.as_str()), ("repair", "anna"));
    assert_eq!(audit[0].repaired, Some(Hash32::of(b"repaired")));
}

#[test]
fn what_is_given_up_stops_nothing_and_is_still_there_to_be_read() {
    let mut outbox = outbox(Limits::default(), &[]);
    let now = start();
    let refused_one = meta(1, "till-1", 1, "ticket:1");
    let mut needs_it = meta(3, "till-2", 1, "invoice:1");
    needs_it.depends_on = vec![key(1)];
    for meta in [&refused_one, &meta(2, "till-1", 2, "ticket:1"), &needs_it] {
        accept(&mut outbox, meta);
    }
    let by = || By { who: "anna".into(), at: at(7), reason: "settled by hand".into() };
    let early = outbox.give_up(&key(1), by()).unwrap_err();
    assert_eq!(early, OperateError::NotQuarantined(key(1)), "it is on its way");
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [1, 2, 3]);
    let later = || Verdict::Later(Problem::new(Code::DependencyMissing, "ticket first"));
    answer(&mut outbox, &[(1, refused()), (2, later()), (3, later())], now);

    let record = outbox.give_up(&key(1), by()).unwrap();
    outbox.apply(&record);
    assert_eq!((outbox.held(), outbox.quarantined(), outbox.given_up_total()), (2, 0, 1));
    let summary = outbox.summary(1).unwrap();
    assert_eq!((summary.state, summary.problem.is_some()), (State::GivenUp, true));
    assert!(matches!(outbox.admit(&refused_one, at(9)), Admission::Again { position: 1, .. }));
    assert!(outbox.retry(&key(1), by()).is_err(), "what came after it has passed it");
    let act = outbox.audit().last().unwrap();
    assert_eq!((act.action.as_str(), act.by.reason.as_str()), ("drop", "settled by hand"));

    assert_eq!(sent(outbox.poll(&sink("main"), now)), [2, 3], "its descendants go at once");
    answer(&mut outbox, &[(2, Verdict::Taken), (3, later())], now);
    let problem = outbox.summary(3).unwrap().problem.unwrap();
    assert_eq!(problem.code, Code::DependencyRefused, "it will never be settled: {problem}");
}

#[test]
fn a_best_effort_sink_goes_on_behind_what_needs_something_from_before_its_time() {
    let mut outbox = outbox(Limits::default(), &["files"]);
    let (now, mut rng) = (start(), ChaCha8Rng::seed_from_u64(1));
    let mut payment = meta(2, "till-1", 2, "payment:1");
    payment.depends_on = vec![key(99)];
    accept(&mut outbox, &meta(1, "till-1", 1, "ticket:1"));
    accept(&mut outbox, &payment);
    accept(&mut outbox, &meta(3, "till-1", 3, "ticket:3"));
    let later = || Verdict::Later(Problem::new(Code::DependencyMissing, "99 has not arrived"));
    let mut rounds = Vec::new();
    for (minutes, said) in
        [(0, [(1, Verdict::Taken), (2, later())]), (5, [(2, later()), (3, Verdict::Taken)])]
    {
        let now = now + Duration::from_secs(minutes * 60);
        rounds.push(sent(outbox.poll(&sink("files"), now)));
        for record in outbox.handle_answers(&sink("files"), &said, now, &mut rng) {
            outbox.apply(&record);
        }
    }
    assert_eq!(rounds, [vec![1, 2, 3], vec![2, 3]]);
    let files = outbox.sinks().into_iter().find(|sink| !sink.authoritative).unwrap();
    assert_eq!((files.behind, files.refused), (0, 1), "it is counted and stops nobody");
}

#[test]
fn the_oldest_that_was_given_up_is_forgotten_for_a_new_one_and_after_a_restart_too() {
    let mut outbox = outbox(Limits::default(), &[]);
    let mut again = outbox.clone();
    for number in 1..=limits::GIVEN_UP_MAX as u64 + 2 {
        let Admission::New { position, record } =
            outbox.admit(&meta(number, "till-1", number, "ticket:1"), at(0))
        else {
            panic!("{number} is new");
        };
        let problem = Problem::new(Code::KeyConflict, "settled with another content");
        let refused = Record::plain(Event::Quarantined { position, problem });
        for record in [&record, &refused] {
            outbox.apply(record);
            again.apply(record);
        }
        let given_up = outbox.give_up(&key(number), By::new("anna", at(1))).unwrap();
        outbox.apply(&given_up);
        again.apply(&given_up);
    }
    assert_eq!(outbox.poll_released(), [1, 2]);
    assert_eq!(outbox.given_up().count(), limits::GIVEN_UP_MAX);
    assert_eq!(outbox.given_up_total(), limits::GIVEN_UP_MAX as u64 + 2);
    assert!(again.given_up().eq(outbox.given_up()));
}

#[test]
fn a_cash_up_waits_for_its_session_and_for_missing_numbers() {
    let mut outbox = outbox(Limits::default(), &[]);
    let now = start();
    let with_session = |mut meta: Meta| {
        meta.session = Some("s1".to_owned());
        meta
    };
    let mut cash_up = with_session(meta(9, "till-1", 3, "cash:1"));
    cash_up.kind = CASH_UP.parse::<TxKind>().unwrap();
    accept(&mut outbox, &with_session(meta(1, "till-1", 1, "ticket:1")));
    let cash_up = accept(&mut outbox, &cash_up);
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [1]);
    answer(&mut outbox, &[(1, Verdict::Taken)], now);
    assert_eq!(outbox.poll(&sink("main"), now), Work::Nothing, "number 2 is missing");
    assert!(outbox.summary(cash_up).unwrap().waits_for_number);
    let late = accept(&mut outbox, &with_session(meta(2, "till-1", 2, "ticket:2")));
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [late]);
    answer(&mut outbox, &[(late, Verdict::Taken)], now);
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [cash_up]);
}

#[test]
fn a_person_may_let_a_cash_up_go_without_a_lost_number() {
    let mut outbox = outbox(Limits::default(), &[]);
    let mut cash_up = meta(9, "till-1", 3, "cash:1");
    cash_up.kind = CASH_UP.parse::<TxKind>().unwrap();
    cash_up.session = Some("s1".to_owned());
    accept(&mut outbox, &meta(1, "till-1", 1, "cash:1"));
    let position = accept(&mut outbox, &cash_up);
    let now = start();
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [1]);
    answer(&mut outbox, &[(1, Verdict::Taken)], now);
    assert_eq!(outbox.poll(&sink("main"), now), Work::Nothing);
    let record = outbox.retry(&key(9), By::new("anna", at(5))).unwrap();
    outbox.apply(&record);
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [position]);
}

#[test]
fn a_later_number_of_a_terminal_does_not_overtake_in_its_lane() {
    let mut outbox = outbox(Limits::default(), &[]);
    accept(&mut outbox, &meta(2, "till-1", 2, "ticket:1"));
    accept(&mut outbox, &meta(5, "till-2", 1, "ticket:1"));
    accept(&mut outbox, &meta(1, "till-1", 1, "ticket:1"));
    let now = start();
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [3]);
    answer(&mut outbox, &[(3, Verdict::Taken)], now);
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [1, 2]);
}

#[test]
fn what_contradicts_is_kept_once_and_changes_nothing() {
    let mut outbox = outbox(Limits::default(), &[]);
    accept(&mut outbox, &meta(1, "till-1", 1, "a"));
    let mut other_content = meta(1, "till-1", 1, "a");
    other_content.digest = Hash32::of(b"other");
    let Admission::Conflict { code: Code::KeyConflict, record: Some(record) } =
        outbox.admit(&other_content, at(1))
    else {
        panic!("a conflict was expected");
    };
    outbox.apply(&record);
    let again = outbox.admit(&other_content, at(2));
    assert_eq!(again, Admission::Conflict { code: Code::KeyConflict, record: None });
    let same_number = meta(2, "till-1", 1, "a");
    assert!(matches!(
        outbox.admit(&same_number, at(3)),
        Admission::Conflict { code: Code::SequenceConflict, .. }
    ));
    assert_eq!(outbox.held(), 1);
    let record = outbox.dismiss(1, By::new("anna", at(5))).unwrap();
    outbox.apply(&record);
    assert_eq!(outbox.conflicts().count(), 0);
}

#[test]
fn after_a_time_out_the_sink_is_asked_before_anything_is_sent_again() {
    let mut outbox = outbox(Limits::default(), &[]);
    accept(&mut outbox, &meta(1, "till-1", 1, "a"));
    accept(&mut outbox, &meta(2, "till-1", 2, "b"));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let now = start();
    outbox.poll(&sink("main"), now);
    outbox.handle_failure(&sink("main"), Failure::Lost, now, &mut rng);
    assert!(matches!(outbox.poll(&sink("main"), now), Work::Wait { network: true, .. }));
    outbox.handle_link_up(&sink("main"));
    let Work::Ask(items) = outbox.poll(&sink("main"), now) else { panic!("a question") };
    assert_eq!(items.len(), 2);
    for record in outbox.handle_known(&sink("main"), &[1]) {
        outbox.apply(&record);
    }
    assert_eq!(sent(outbox.poll(&sink("main"), now)), [2]);
}

#[test]
fn a_locked_out_box_pauses_and_loses_nothing() {
    let mut outbox = outbox(Limits::default(), &[]);
    accept(&mut outbox, &meta(1, "till-1", 1, "a"));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let now = start();
    outbox.poll(&sink("main"), now);
    let problem = Problem::new(Code::Revoked, "this token was revoked");
    outbox.handle_failure(&sink("main"), Failure::Forbidden(problem), now, &mut rng);
    outbox.handle_link_up(&sink("main"));
    assert!(matches!(outbox.poll(&sink("main"), now), Work::Wait { network: false, .. }));
    assert!(matches!(outbox.sinks()[0].link, Link::Paused { .. }));
    assert_eq!(sent(outbox.poll(&sink("main"), now + Duration::from_secs(60))), [1]);
}

#[test]
fn a_refused_batch_is_halved_until_the_bad_one_stands_alone() {
    let mut outbox = outbox(Limits::default(), &[]);
    for number in 1..=8 {
        accept(&mut outbox, &meta(number, "till-1", number, &format!("lane:{number}")));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let now = start();
    for _ in 0..40 {
        let batch = sent(outbox.poll(&sink("main"), now));
        if batch.contains(&5) {
            let problem = Problem::new(Code::FieldInvalid, "not understood");
            let failure = Failure::BatchRefused(problem);
            for record in outbox.handle_failure(&sink("main"), failure, now, &mut rng) {
                outbox.apply(&record);
            }
        } else {
            let taken: Vec<_> = batch.iter().map(|p| (*p, Verdict::Taken)).collect();
            answer(&mut outbox, &taken, now);
        }
    }
    assert_eq!(outbox.positions().collect::<Vec<_>>(), [5]);
    assert_eq!(outbox.quarantined(), 1);
}

#[test]
fn waits_double_from_one_second_to_a_minute() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for failures in 0..100 {
        let wait = super::sink::delay(failures, &mut rng).as_millis();
        let base = 1000 * (1 << failures.min(6));
        assert!((1000..=60_000).contains(&wait));
        assert!(wait >= base.min(45_000) && wait <= base + base / 2, "{failures}: {wait}");
    }
}

#[test]
fn entries_that_wait_in_a_circle_go_to_quarantine() {
    let mut outbox = outbox(Limits::default(), &[]);
    let mut one = meta(1, "till-1", 1, "a");
    one.depends_on = vec![key(2)];
    let mut two = meta(2, "till-1", 2, "b");
    two.depends_on = vec![key(1)];
    accept(&mut outbox, &one);
    accept(&mut outbox, &two);
    let Work::Stuck(record) = outbox.poll(&sink("main"), start()) else { panic!("a circle") };
    outbox.apply(&record);
    assert_eq!(outbox.poll(&sink("main"), start()), Work::Nothing);
    assert_eq!(outbox.quarantined(), 1);
}

#[test]
fn what_was_given_up_is_not_repaired_by_somebody_who_decided_in_the_same_moment() {
    let mut outbox = outbox(Limits::default(), &[]);
    for number in 1..=2 {
        let mut one = meta(number, "till-1", number, &format!("lane-{number}"));
        one.depends_on = vec![key(3 - number)];
        accept(&mut outbox, &one);
        if number == 2 {
            let Work::Stuck(record) = outbox.poll(&sink("main"), start()) else { panic!() };
            outbox.apply(&record);
        }
    }
    let waiting = outbox.quarantined();
    let by = || By::new("anna", Timestamp::from_unix_ms(1));
    let stuck = [1, 2].map(key).into_iter().find(|key| outbox.give_up(key, by()).is_ok()).unwrap();
    let position = outbox.position(&stuck).unwrap();
    let dropped = outbox.give_up(&stuck, by()).unwrap();
    let repaired = outbox.repair(outbox.entry(position).unwrap().0.clone(), by()).unwrap();
    outbox.apply(&dropped);
    outbox.apply(&repaired);
    assert_eq!((outbox.given_up_total(), outbox.quarantined()), (1, waiting - 1));
}

#[test]
fn a_best_effort_sink_that_stays_away_is_left_behind() {
    let limits = Limits { pinned_max: 10, ..Limits::default() };
    let mut outbox = outbox(limits, &["files"]);
    let now = start();
    for number in 1..=30 {
        accept(&mut outbox, &meta(number, "till-1", number, "a"));
        sent(outbox.poll(&sink("main"), now));
        answer(&mut outbox, &[(number, Verdict::Taken)], now);
        while let Some(record) = outbox.overdue() {
            outbox.apply(&record);
        }
        assert!(outbox.positions().count() <= 11);
    }
    let files = &outbox.sinks()[1];
    assert!(files.left >= 19 && files.behind <= 11, "{files:?}");
    let rest = sent(outbox.poll(&sink("files"), now));
    assert_eq!(rest.last(), Some(&30));
}

proptest! {
    #[test]
    fn any_bytes_as_a_record_never_panic(mut bytes: Vec<u8>) {
        let _ = Record::decode(&bytes);
        if let Some(version) = bytes.first_mut() {
            *version = 1;
        }
        let _ = Record::decode(&bytes);
        let _ = outbox(Limits::default(), &[]).restore(&bytes);
    }
}

mod arrival;
mod claims;
mod model;
