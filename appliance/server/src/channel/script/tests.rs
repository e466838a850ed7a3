use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::env;

fn run(source: &str, object: Value) -> Result<Value, ScriptFault> {
    Sandbox::default().run(source, &json!({"parameters": {"limit": 5}}), object)
}

#[test]
fn a_script_changes_the_object_that_it_is_given() {
    let object = json!({"name": "ada", "lines": [{"quantity": 2, "listPrice": "3.49"}]});
    let source = r#"
        fn total(lines) {
            let sum = parse_decimal("0");
            for line in lines { sum += parse_decimal(line.listPrice) * line.quantity; }
            sum
        }
        object.name.make_upper();
        object.gross = total(object.lines).to_string();
        object.limit = context.parameters.limit;
        object.lines[0].checked = true;
    "#;
    let expected = json!({"name": "ADA", "gross": "6.98", "limit": 5,
        "lines": [{"quantity": 2, "listPrice": "3.49", "checked": true}]});
    assert_eq!(run(source, object).unwrap(), expected);
}

#[test]
fn a_script_refuses_with_its_own_words() {
    for source in ["throw \"no customer\"", "if object.customer == () { refuse(\"no customer\") }"]
    {
        let fault = run(source, json!({"customer": null})).unwrap_err();
        assert_eq!(fault, ScriptFault::Refused("no customer".to_owned()));
    }
}

#[test]
fn numbers_stay_exact() {
    let object = json!({"a": 0.1, "b": 0.2, "big": 9_007_199_254_740_993_i64});
    let sum = run("object.c = object.a + object.b;", object).unwrap();
    assert_eq!(sum["c"].to_string(), "0.3");
    assert_eq!(sum["big"], 9_007_199_254_740_993_i64);
}

#[test]
fn a_script_cannot_change_what_it_is_told_of_the_call() {
    assert!(run("context.parameters = 1;", json!(1)).is_err());
}

#[test]
fn hostile_scripts_are_stopped_and_the_next_one_runs() {
    let sandbox = Sandbox::default();
    let deep = format!("object = {}1{}", "(".repeat(5000), ")".repeat(5000));
    let nested = format!("object = {}1{}", "[".repeat(500), "]".repeat(500));
    let hostile = [
        ("loop {}", "is stopped"),
        ("while true { object = 1; }", "is stopped"),
        ("fn f(n) { f(n + 1) } f(0)", "is stopped"),
        ("fn f(n) { if n > 0 { f(n - 1); f(n - 1) } } f(7); loop { f(7) }", "is stopped"),
        ("let s = \"x\"; loop { s += s; }", "is stopped"),
        ("let a = [1]; loop { a += a; }", "is stopped"),
        (
            "let a = []; loop { a.push(\"0123456789012345678901234567890123456789\"); }",
            "is stopped",
        ),
        ("let m = #{}; let n = 0; loop { m[n.to_string()] = n; n += 1; }", "is stopped"),
        ("let a = []; a.pad(1000000000, 7);", "is stopped"),
        ("let s = \"\"; s.pad(1000000000, \"x\");", "is stopped"),
        ("let a = [1]; loop { a = [a, a]; }", "is stopped"),
        ("loop { print(\"x\"); debug(\"x\"); }", "is stopped"),
        ("let m = #{}; loop { m = #{a: m, b: m}; }", "is stopped"),
        ("sleep(1000000)", "a script cannot wait"),
        ("eval(\"loop {}\")", "is not understood"),
        ("import \"/etc/passwd\" as secrets;", "is not understood"),
        ("open(\"/etc/passwd\")", "fails"),
        ("object = 1 / 0;", "fails"),
        ("let x = 9223372036854775807; x += 1;", "fails"),
        ("object = -9223372036854775808 / -1;", "fails"),
        ("let a = [1, 2]; object = a[99];", "fails"),
        ("object = \"é\".sub_string(1, 99999999)[50];", "fails"),
        ("object = unknown;", "is not understood"),
        ("throw #{a: 1}", "a"),
        ("object = || 1;", "no JSON"),
        ("let x = (", "is not understood"),
        (&deep, "is not understood"),
        (&nested, "is not understood"),
    ];
    for (source, words) in hostile {
        let begun = env::instant();
        let fault = sandbox.run(source, &json!({}), json!({})).unwrap_err().to_string();
        let shown: String = source.chars().take(60).collect();
        assert!(fault.contains(words), "{shown}: {fault}");
        // Ten times the limit: other work on the machine may come between.
        assert!(begun.elapsed() < TIME_MAX * 10, "{shown}: {:?}", begun.elapsed());
        assert_eq!(sandbox.run("object = 2;", &json!({}), json!(1)).unwrap(), json!(2));
    }
}

#[test]
fn what_is_too_large_for_a_script_is_refused() {
    let many: Vec<u32> = (0..20_000).collect();
    let fault = run("object", json!(many)).unwrap_err();
    assert_eq!(fault.to_string(), "has more elements than a script is given");
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    assert_eq!(run("object", deep).unwrap_err().to_string(), "is nested deeper than 64");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_000_000_i64..1_000_000_000, 0_u32..4)
            .prop_map(|(units, places)| json!(units as f64 / f64::from(10_u32.pow(places)))),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn roundtrip_json_passes_through_a_script(object in any_json()) {
        let passed = run("", object.clone()).unwrap();
        prop_assert!(same(&passed, &object), "{passed} is not {object}");
    }

    #[test]
    fn any_bytes_are_a_script_that_ends(source in ".{0,200}") {
        let _ = run(&source, json!({"a": 1}));
    }
}
