use proptest::prelude::*;
use serde_json::json;

use super::*;

fn record(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn rings() -> Rings {
    let records = [
        record(json!({ "id": "north", "order": 2, "sites": ["bergen", "oslo"] })),
        record(json!({ "id": "pilot", "order": 1, "sites": ["oslo"], "boxes": ["bergen-2"] })),
        record(json!({ "id": "gone", "order": 0, "sites": ["rome"], "active": false })),
    ];
    let (rings, faults) = Rings::read(&records);
    assert_eq!(faults, []);
    rings
}

fn turn(node: &str, site: &str, reached: &str) -> Turn {
    let (node, site) = (node.parse().unwrap(), site.parse().unwrap());
    rings().turn(Seat { node: &node, site: &site }, reached)
}

fn later(ring: &str) -> Turn {
    Turn::Later { ring: ring.to_owned() }
}

#[test]
fn what_has_reached_the_pilot_is_for_pilots_only() {
    assert_eq!(turn("oslo-1", "oslo", "pilot"), Turn::Now);
    assert_eq!(turn("bergen-2", "bergen", "pilot"), Turn::Now, "a box may go before its site");
    assert_eq!(turn("bergen-1", "bergen", "pilot"), later("north"));
    assert_eq!(turn("rome-1", "rome", "pilot"), later(EVERYONE), "its ring is not active");
}

#[test]
fn what_goes_on_takes_the_earlier_rings_along() {
    for (node, site) in [("oslo-1", "oslo"), ("bergen-1", "bergen")] {
        assert_eq!(turn(node, site, "north"), Turn::Now);
        assert_eq!(turn(node, site, EVERYONE), Turn::Now);
    }
    assert_eq!(turn("rome-1", "rome", "north"), later(EVERYONE));
    assert_eq!(turn("rome-1", "rome", EVERYONE), Turn::Now);
}

#[test]
fn a_ring_that_nobody_defined_starts_nothing() {
    assert_eq!(turn("oslo-1", "oslo", "pilto"), Turn::Undefined);
    assert_eq!(turn("rome-1", "rome", ""), Turn::Undefined);
}

#[test]
fn without_rings_everyone_is_the_only_one() {
    let (node, site) = ("a".parse().unwrap(), "a".parse().unwrap());
    let seat = Seat { node: &node, site: &site };
    assert_eq!(Rings::default().of(seat), EVERYONE);
    assert_eq!(Rings::default().turn(seat, EVERYONE), Turn::Now);
}

#[test]
fn after_a_ring_comes_the_next_and_at_last_everyone() {
    let rings = rings();
    assert_eq!(rings.next("pilot"), Some("north"));
    assert_eq!(rings.next("north"), Some(EVERYONE));
    assert_eq!(rings.next(EVERYONE), None);
    assert_eq!(rings.next("pilto"), None);
}

#[test]
fn a_record_that_makes_no_sense_is_refused_by_field() {
    for (value, field) in [
        (json!({ "id": "Pilot", "order": 1, "sites": ["a"] }), "id"),
        (json!({ "id": "everyone", "order": 1, "sites": ["a"] }), "id"),
        (json!({ "id": "pilot", "order": 1 }), "sites"),
        (json!({ "id": "pilot", "order": "first", "sites": ["a"] }), "order"),
        (json!({ "id": "pilot", "order": 1, "sites": ["A Shop"] }), "sites[0]"),
        (json!({ "id": "pilot", "order": 1, "sites": ["a"], "name": "a\nb" }), "name"),
        (json!({ "id": "pilot", "order": 1, "stores": ["a"] }), "stores"),
    ] {
        assert_eq!(Ring::read(&record(value.clone())).unwrap_err().field, field, "{value}");
    }
    let many = vec!["a"; RING_MEMBERS_MAX + 1];
    let many = record(json!({ "id": "pilot", "order": 1, "boxes": many }));
    assert_eq!(Ring::read(&many).unwrap_err().field, "sites");
    let all: Vec<_> = (0..=ROLLOUT_RINGS_MAX)
        .map(|n| record(json!({ "id": format!("r{n}"), "order": n, "sites": ["a"] })))
        .collect();
    let (rings, faults) = Rings::read(&all);
    assert_eq!((rings.all().len(), faults.len()), (ROLLOUT_RINGS_MAX, 1));
}

proptest! {
    #[test]
    fn a_box_is_in_one_ring_and_has_its_turn_once_for_all(
        orders in prop::collection::vec(0u32..4, 0..6),
        members in prop::collection::vec((0usize..6, 0u8..4), 0..12),
        who in 0u8..4,
    ) {
        let records: Vec<_> = orders.iter().enumerate().map(|(n, order)| {
            let sites: Vec<_> =
                members.iter().filter(|(at, _)| *at == n).map(|(_, s)| format!("s{s}")).collect();
            record(json!({ "id": format!("r{n}"), "order": order, "sites": sites }))
        }).collect();
        let (rings, _) = Rings::read(&records);
        let (node, site) = ("n".parse().unwrap(), format!("s{who}").parse().unwrap());
        let seat = Seat { node: &node, site: &site };
        let mut ids: Vec<_> = rings.all().iter().map(|ring| ring.id.as_str()).collect();
        ids.push(EVERYONE);
        let turns: Vec<_> = ids.iter().map(|id| rings.turn(seat, id) == Turn::Now).collect();
        // Once its turn has come it stays so as the roll-out goes on, and it comes for everybody.
        prop_assert!(turns.is_sorted() && turns[turns.len() - 1]);
    }

    #[test]
    fn any_record_is_no_panic(text in "\\PC{0,60}", order in any::<i64>()) {
        let value = record(json!({ "id": text, "order": order, "sites": [text] }));
        let _ = Ring::read(&value);
    }
}
