use proptest::prelude::*;
use serde_json::json;

use super::*;

fn fits(criteria: Value, row: Value) -> bool {
    let criteria = Criteria::parse(&criteria, "criteria").unwrap();
    assert_eq!(Criteria::parse(&criteria.to_json(), "criteria").unwrap(), criteria);
    criteria.fits(row.as_object().unwrap())
}

fn field(operator: &str, value: Value, of_record: Value) -> bool {
    let criterion = match value.is_null() {
        true => json!([{"fieldName": "f", "operator": operator}]),
        false => json!([{"fieldName": "f", "operator": operator, "value": value}]),
    };
    fits(criterion, json!({"f": of_record}))
}

#[test]
fn every_operator_does_what_its_name_says() {
    for (operator, value, yes, no) in [
        ("equals", json!("a"), json!("a"), json!("A")),
        ("notEqual", json!("a"), json!("A"), json!("a")),
        ("iEquals", json!("CAFÉ"), json!("café"), json!("cafe")),
        ("contains", json!("oc"), json!("choc"), json!("CHOC")),
        ("iContains", json!("OC"), json!("choc"), json!("cho")),
        ("startsWith", json!("ch"), json!("choc"), json!("Choc")),
        ("iStartsWith", json!("CH"), json!("choc"), json!("xch")),
        ("endsWith", json!("oc"), json!("choc"), json!("cho")),
        ("greaterThan", json!(9), json!("10.0"), json!("9.0")),
        ("greaterOrEqual", json!(9), json!("9.0"), json!("8.9")),
        ("lessThan", json!("10"), json!("9"), json!("10.00")),
        ("lessOrEqual", json!("10"), json!("10.00"), json!("10.01")),
        ("between", json!(["1", "3"]), json!("3.0"), json!("3.1")),
        ("inSet", json!(["a", "b"]), json!("b"), json!("c")),
        ("notInSet", json!(["a", "b"]), json!("c"), json!("b")),
        ("isNull", Value::Null, Value::Null, json!("")),
        ("notNull", Value::Null, json!(""), Value::Null),
        ("contains", json!(".*"), json!("a.*b"), json!("aaab")),
    ] {
        assert!(field(operator, value.clone(), yes), "{operator}");
        assert!(!field(operator, value, no), "{operator}");
    }
    assert_eq!(Operator::ALL.len(), 17);
}

#[test]
fn junctions_nest_and_paths_reach_into_lists() {
    let row = json!({"name": "milk", "lines": [{"productId": "1"}, {"productId": "2"}]});
    let line =
        |id: &str| json!({"fieldName": "lines.productId", "operator": "equals", "value": id});
    let name = json!({"fieldName": "name", "operator": "equals", "value": "bread"});
    assert!(fits(json!([line("2")]), row.clone()));
    assert!(!fits(json!([line("2"), name]), row.clone()));
    assert!(fits(json!([{"operator": "or", "criteria": [line("9"), line("1")]}]), row.clone()));
    assert!(fits(json!([{"operator": "not", "criteria": [line("9"), name]}]), row.clone()));
    assert!(!fits(json!([{"operator": "not", "criteria": [line("9"), line("1")]}]), row.clone()));
    assert!(fits(json!([]), row.clone()));
    assert!(fits(json!([{"fieldName": "lines.price", "operator": "isNull"}]), row));
}

#[test]
fn a_wrong_criterion_is_named_by_its_path() {
    let deep = (0..limits::QUERY_DEPTH_MAX)
        .fold(json!([]), |inner, _| json!([{"operator": "and", "criteria": inner}]));
    let many: Vec<Value> = (0..=limits::QUERY_CRITERIA_MAX)
        .map(|_| json!({"fieldName": "f", "operator": "isNull"}))
        .collect();
    let ids: Vec<String> = (0..=limits::QUERY_SET_MAX).map(|id| id.to_string()).collect();
    let one = |operator: &str, value: Value| json!([{"fieldName": "f", "operator": operator, "value": value}]);
    for (criteria, path) in [
        (json!({}), "criteria"),
        (json!([1]), "criteria[0]"),
        (json!([{"fieldName": "f"}]), "criteria[0].operator"),
        (json!([{"operator": "like"}]), "criteria[0].operator"),
        (json!([{"operator": "or"}]), "criteria[0].criteria"),
        (
            json!([{"operator": "or", "criteria": [{"operator": "equals"}]}]),
            "criteria[0].criteria[0].fieldName",
        ),
        (json!([{"fieldName": "f", "operator": "equals"}]), "criteria[0].value"),
        (json!([{"fieldName": "f", "operator": "equals", "valeu": 1}]), "criteria[0].valeu"),
        (json!([{"fieldName": "", "operator": "isNull"}]), "criteria[0].fieldName"),
        (one("equals", json!({})), "criteria[0].value"),
        (one("inSet", json!("a")), "criteria[0].value"),
        (one("inSet", json!(["a", null])), "criteria[0].value[1]"),
        (one("inSet", json!(ids)), "criteria[0].value"),
        (one("between", json!([1])), "criteria[0].value"),
        (one("isNull", json!(1)), "criteria[0].value"),
        (one("contains", json!("x".repeat(257))), "criteria[0].value"),
    ] {
        let fault = Criteria::parse(&criteria, "criteria").unwrap_err();
        assert_eq!(fault.path, path, "{fault}");
    }
    assert!(Criteria::parse(&json!(many), "criteria").unwrap_err().what.contains("one too many"));
    assert!(Criteria::parse(&deep, "criteria").unwrap_err().what.contains("nested deeper"));
}

/// Any JSON of a few levels.
fn json_value() -> impl Strategy<Value = Value> {
    let names = ["and", "or", "not", "equals", "inSet", "between", "isNull", "x"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(names.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 5, |inner| {
        let fields = prop::sample::select(vec!["operator", "criteria", "fieldName", "value", "x"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(fields.prop_map(str::to_owned), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused_and_never_panics(criteria in json_value(), row in json_value()) {
        let list = json!([criteria]);
        if let Ok(criteria) = Criteria::parse(&list, "criteria") {
            if let Some(row) = row.as_object() {
                criteria.fits(row);
            }
            let again = Criteria::parse(&criteria.to_json(), "criteria").unwrap();
            prop_assert_eq!(again, criteria);
        }
    }
}
