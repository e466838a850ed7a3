use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[expect(clippy::disallowed_methods, reason = "the zero of these tests")]
fn start() -> Instant {
    Instant::now()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn record(value: Value) -> BoxSettings {
    BoxSettings::read(value.as_object().unwrap()).unwrap()
}

fn wanted(revision: u64, level: &str) -> Wanted {
    let values = BTreeMap::from([("log.level".to_owned(), json!(level))]);
    Wanted { revision, values, prove_s: 60 }
}

fn rings() -> Rings {
    let pilot = json!({ "id": "pilot", "order": 1, "sites": ["oslo"] });
    Rings::read([pilot.as_object().unwrap()]).0
}

fn joined(records: &[BoxSettings], node: &str, site: &str) -> Wanted {
    let (node, site) = (node.parse().unwrap(), site.parse().unwrap());
    Wanted::join(records, &rings(), Seat { node: &node, site: &site })
}

#[test]
fn a_box_joins_what_is_meant_for_it_and_whose_turn_has_come() {
    let records = [
        record(
            json!({ "id": "c", "number": 3, "sites": ["rome"], "values": { "log.level": "warn" } }),
        ),
        record(json!({ "id": "a", "number": 1, "values": { "log.level": "info", "x.y": 1 } })),
        record(json!({ "id": "b", "number": 2, "ring": "pilot", "values": { "x.y": 2 } })),
        record(json!({ "id": "d", "number": 4, "boxes": ["oslo-2"], "values": { "x.y": 4 } })),
        record(json!({ "id": "e", "number": 9, "ring": "no-ring", "values": { "x.y": 9 } })),
    ];
    let seen = |node, site| {
        let Wanted { revision, values, .. } = joined(&records, node, site);
        (revision, values["log.level"].clone(), values["x.y"].clone())
    };
    assert_eq!(seen("bergen-1", "bergen"), (1, json!("info"), json!(1)));
    assert_eq!(seen("oslo-1", "oslo"), (2, json!("info"), json!(2)));
    assert_eq!(seen("oslo-2", "oslo"), (4, json!("info"), json!(4)));
    assert_eq!(seen("rome-1", "rome"), (3, json!("warn"), json!(1)));
    let nothing = joined(&[], "a", "a");
    assert!(!Book::default().is_new(&nothing), "nothing is set on a box, and nothing is wanted");
}

#[test]
fn a_record_that_makes_no_sense_is_refused_by_field() {
    for (value, field) in [
        (json!({ "id": "a", "number": 0, "values": { "a.b": 1 } }), "number"),
        (json!({ "id": "a", "number": 1, "values": {} }), "values"),
        (json!({ "id": "a", "number": 1, "values": [] }), "values"),
        (json!({ "id": "a", "number": 1, "ring": "", "values": { "a.b": 1 } }), "ring"),
        (json!({ "id": "a", "number": 1, "proveS": 1, "values": { "a.b": 1 } }), "proveS"),
        (json!({ "id": "a", "number": 1, "sites": ["A"], "values": { "a.b": 1 } }), "sites[0]"),
        (json!({ "id": "a", "number": 1, "value": 1, "values": { "a.b": 1 } }), "value"),
    ] {
        let fault = BoxSettings::read(value.as_object().unwrap()).unwrap_err();
        assert_eq!(fault.field, field, "{value}");
    }
}

#[test]
fn what_is_proven_is_in_force_and_the_ones_before_are_remembered() {
    let mut book = Book::default();
    assert!(book.is_new(&wanted(1, "warn")));
    book.begin(wanted(1, "warn"), at(1));
    assert_eq!(book.in_force().revision, 1);
    assert!(!book.is_new(&wanted(1, "warn")) && book.start(at(2)));
    book.prove(at(3));
    book.begin(wanted(2, "debug"), at(4));
    book.prove(at(5));
    assert_eq!((book.proven.revision, book.before.revision), (2, 1));
    assert!(book.take_back("anna", at(6)));
    assert_eq!(book.in_force().revision, 1);
    assert!(!book.is_new(&wanted(2, "debug")), "what a person took back does not return");
    assert!(book.is_new(&wanted(3, "debug")), "until head office changes it");
    assert!(!book.take_back("anna", at(7)), "there is nothing before it any more");
}

#[test]
fn what_stops_the_box_again_and_again_is_rolled_back_and_not_tried_twice() {
    let mut book = Book::default();
    book.begin(wanted(1, "warn"), at(1));
    for _ in 0..STARTS_MAX {
        assert!(book.start(at(2)));
    }
    assert!(!book.start(at(3)));
    assert_eq!((book.in_force().revision, book.trial.is_none()), (0, true));
    assert!(!book.is_new(&wanted(1, "warn")));
    assert!(book.start(at(4)), "what is proven may start as often as it likes");
    assert_eq!(book.refused.as_ref().unwrap().wanted.revision, 1);
    assert!(!book.roll_back("again", at(5)));
}

#[test]
fn a_refusal_leaves_what_is_in_force_alone() {
    let mut book = Book::default();
    book.begin(wanted(1, "warn"), at(1));
    book.prove(at(2));
    book.refuse(wanted(2, "loud"), "key log.level: no such level\n", at(3));
    assert_eq!(book.in_force().revision, 1);
    assert!(!book.is_new(&wanted(2, "loud")));
    assert_eq!(book.refused.as_ref().unwrap().why, "key log.level: no such level ");
    assert!(!book.clone().agree(&wanted(2, "loud")));
    assert!(book.clone().agree(&wanted(1, "warn")), "head office has withdrawn it");
    let text = serde_json::to_string(&book).unwrap();
    assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
}

#[test]
fn a_box_is_well_after_a_while_and_ill_after_as_long() {
    let (zero, prove) = (start(), Duration::from_secs(10));
    let ill = || Err("not ready".to_owned());
    let mut health = Health::new(prove, zero);
    let mut look = |look, s| health.handle_look(look, zero + Duration::from_secs(s));
    assert_eq!(look(ill(), 0), Verdict::Open, "a box needs a moment after its start");
    assert_eq!(look(Ok(()), 5), Verdict::Open);
    assert_eq!(look(Ok(()), 14), Verdict::Open);
    assert_eq!(look(Ok(()), 15), Verdict::Well);
    let mut health = Health::new(prove, zero);
    let mut look = |look, s| health.handle_look(look, zero + Duration::from_secs(s));
    assert_eq!(look(ill(), 0), Verdict::Open);
    assert_eq!(look(ill(), 10), Verdict::Ill("not ready".to_owned()));
    let mut health = Health::new(prove, zero);
    let by_turns = (0..).map(|n| {
        let look = if n % 2 == 0 { Ok(()) } else { ill() };
        health.handle_look(look, zero + Duration::from_secs(9 * n))
    });
    let ended = by_turns.take(8).find(|verdict| *verdict != Verdict::Open);
    assert!(matches!(ended, Some(Verdict::Ill(_))), "{ended:?}");
}

proptest! {
    #[test]
    fn something_proven_is_always_behind_a_trial(acts in prop::collection::vec(0u8..6, 0..60)) {
        let mut book = Book::default();
        let mut good = vec![0];
        for (n, act) in acts.into_iter().enumerate() {
            let (next, now) = (wanted(n as u64 + 1, "info"), at(n as i64));
            match act {
                0 => book.begin(next, now),
                1 => {
                    good.extend(book.trial.as_ref().map(|trial| trial.wanted.revision));
                    book.prove(now);
                }
                2 => book.refuse(next, "no", now),
                3 => { book.roll_back("ill", now); }
                4 => { book.take_back("anna", now); }
                _ => { book.start(now); }
            }
            prop_assert!(good.contains(&book.proven.revision));
            prop_assert!(book.steps.len() <= STEPS_MAX);
            let failed = book.refused.clone();
            prop_assert!(failed.is_none_or(|failed| !book.is_new(&failed.wanted)));
        }
    }
}
