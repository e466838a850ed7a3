//! The planner against a list: whatever it looks at, it finds what somebody finds who looks at everything.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use proptest::prelude::*;
use storebox_proto::query::{Criteria, Entity, Operator, Options, Query};
use tokio::runtime::Runtime;

use super::super::answer::Scope;
use super::super::reader::Reader;
use super::super::rows::Row;
use super::*;

/// Words that differ in what folding, normalising and cutting could confuse.
const WORDS: [&str; 16] = [
    "Apple",
    "apple",
    "APPLE-pie",
    "İce",
    "i̇ce",
    "ıce",
    "Kelvin K",
    "straße",
    "STRASSE",
    "ΣΊΣΥΦΟΣ",
    "σίσυφος",
    "007",
    "7",
    "7.0",
    "caffè  latte",
    "caffe\u{300} latte",
];
/// Numbers and times in their spellings.
const SPELLINGS: [&str; 14] = [
    "3.5",
    "3.50",
    "35e-1",
    "-0",
    "0",
    "1e2",
    "100",
    "99.999",
    "-1.5",
    "2026-11-22",
    "2026-11-22T12:00:00Z",
    "2026-11-22T13:00:00+01:00",
    "2026-11-22T12:00:00.500Z",
    "2017-02-29",
];
/// Parts of words, as people type them.
const PARTS: [&str; 12] =
    ["a", "app", "apple 1", "i", "İ", "ı", "ß", "ss", "σ", "--", "", "caffè lat"];

/// A shop and its rows, each list in the order of the ids.
struct Mixed {
    world: World,
    products: Vec<Row>,
    tickets: Vec<Row>,
    customers: Vec<Row>,
    _runtime: Runtime,
}

/// A number that looks random and is the same in every run.
fn pick(seed: u64, number: u64, of: usize) -> usize {
    let hash = blake3::hash(&[seed.to_le_bytes(), number.to_le_bytes()].concat());
    usize::from(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]])) % of
}

/// Anything that a field may hold.
fn any_value(seed: u64, number: u64) -> Option<Value> {
    let text = |list: &[&str]| json!(list[pick(seed, number + 1_000_000, list.len())]);
    Some(match pick(seed, number, 9) {
        0 => return None,
        1 => Value::Null,
        2 => json!(number % 13),
        3 => json!((number % 13) as f64 / 4.0),
        4 => json!(number.is_multiple_of(2)),
        5 | 6 => text(&WORDS),
        7 => text(&SPELLINGS),
        _ => json!([text(&WORDS), text(&SPELLINGS)]),
    })
}

fn product(seed: u64, number: u64) -> Value {
    let mut product = json!({"id": format!("{}", number * 31 % 401),
        "name": format!("{} {}", WORDS[pick(seed, number, WORDS.len())], number % 3)});
    for (at, field) in (0_u64..).zip(["barcode", "searchKey", "weight", "updated"]) {
        match any_value(seed, number * 10 + at) {
            // An import refuses lists in these two, because their index has one key for a record.
            Some(Value::Array(list)) if at < 2 => product[field] = list[0].clone(),
            Some(value) => product[field] = value,
            None => {}
        }
    }
    product
}

fn customer(seed: u64, number: u64) -> Value {
    let mut customer = json!({"id": format!("C{number}"),
        "name": format!("{} {}", WORDS[pick(seed, number + 70, WORDS.len())], number % 3)});
    for (at, field) in (0_u64..).zip(["searchKey", "email", "edgeId"]) {
        match any_value(seed, number * 10 + at + 30_000) {
            Some(Value::Array(list)) => customer[field] = list[0].clone(),
            Some(value) => customer[field] = value,
            None => {}
        }
    }
    customer
}

impl Mixed {
    fn new(seed: u64) -> Self {
        let runtime = Runtime::new().unwrap();
        let products: Vec<Value> = (0..300).map(|number| product(seed, number)).collect();
        let mut records: Vec<_> =
            products.iter().map(|product| ("Product", product.clone())).collect();
        let customers: Vec<Value> = (0..60).map(|number| customer(seed, number)).collect();
        records.extend(customers.iter().map(|customer| ("BusinessPartner", customer.clone())));
        records.extend(estate());
        let world = World::open(&records);
        runtime.block_on(async {
            for number in 0..40_u64 {
                let mut ticket = json!({"lines": [{"productId": "1", "quantity": number % 5}]});
                if let Some(value) = any_value(seed, number + 9000) {
                    ticket["documentNo"] = value;
                }
                if let Some(value) = any_value(seed, number + 5000) {
                    ticket["note"] = value;
                }
                world.done("ticket", ticket).await;
                let mut change =
                    json!({"name": format!("{} local", WORDS[pick(seed, number, 16)])});
                if number.is_multiple_of(2) {
                    change = json!({"id": format!("C{}", pick(seed, number, 60))});
                }
                for (at, field) in (0_u64..).zip(["searchKey", "email", "edgeId"]) {
                    if let Some(value) = any_value(seed, number * 10 + at + 20_000) {
                        change[field] = value;
                    }
                }
                world.done("customer", change).await;
            }
        });
        let objects = |list: Vec<Value>| {
            list.into_iter().map(|value| {
                let Value::Object(row) = value else { panic!("a record is an object") };
                row
            })
        };
        let locals = |kind: &str| {
            let documents = world.documents.list(&kind.parse().unwrap(), None, 1000);
            documents.into_iter().map(super::super::reader::row)
        };
        let mut known: BTreeMap<String, Row> =
            objects(customers).map(|row| (id_of(&row), row)).collect();
        for local in locals("ChangedBusinessPartners") {
            known.entry(id_of(&local)).or_default().extend(local);
        }
        let (products, tickets) = (sorted(objects(products)), sorted(locals("Order")));
        Self { products, tickets, customers: sorted(known.into_values()), world, _runtime: runtime }
    }

    /// What somebody finds who looks at everything.
    fn naively(&self, query: &Query) -> Vec<String> {
        let lists = [(Entity::Ticket, &self.tickets), (Entity::Customer, &self.customers)];
        let own = lists.into_iter().find(|(entity, _)| *entity == query.entity);
        let rows = own.map_or(&self.products, |(_, rows)| rows);
        let fitting = rows.iter().filter(|row| query.criteria.fits(row));
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let wanted = query.end_row.map_or(usize::MAX, |end| count(end - query.start_row));
        fitting.skip(count(query.start_row)).take(wanted).map(id_of).collect()
    }
}

fn sorted(rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    let rows: BTreeMap<String, Row> = rows.into_iter().map(|row| (id_of(&row), row)).collect();
    rows.into_values().collect()
}

fn id_of(row: &Row) -> String {
    row["id"].as_str().unwrap().to_owned()
}

fn mixed(seed: usize) -> &'static Mixed {
    static SHOPS: [OnceLock<Mixed>; 3] = [const { OnceLock::new() }; 3];
    SHOPS[seed].get_or_init(|| Mixed::new(seed as u64))
}

fn names(entity: Entity) -> Vec<&'static str> {
    if entity == Entity::Ticket {
        return vec!["id", "documentNo", "note", "lines.quantity", "gone"];
    }
    if entity == Entity::Customer {
        return vec!["id", "searchKey", "email", "edgeId", "name", "gone"];
    }
    vec!["id", "barcode", "searchKey", "name", "weight", "updated", "gone"]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(WORDS.to_vec()).prop_map(Value::from),
        prop::sample::select(SPELLINGS.to_vec()).prop_map(Value::from),
        prop::sample::select(PARTS.to_vec()).prop_map(Value::from),
        (0..401_u32).prop_map(|number| Value::from(number.to_string())),
        (0..60_u32).prop_map(|number| Value::from(format!("C{number}"))),
        (0..14_u32).prop_map(Value::from),
        (0..60_i32).prop_map(|number| json!(f64::from(number - 8) / 4.0)),
        any::<bool>().prop_map(Value::from),
    ]
}

/// A criterion with any operator that there is.
fn leaf(entity: Entity) -> impl Strategy<Value = Value> {
    let operators: Vec<&str> = Operator::ALL.iter().map(|(name, _)| *name).collect();
    let values = prop::collection::vec(value(), 0..4);
    let field = (prop::sample::select(names(entity)), prop::sample::select(operators));
    (field, value(), value(), values).prop_map(|((name, operator), one, other, some)| {
        let mut criterion = json!({"fieldName": name, "operator": operator});
        match operator {
            "isNull" | "notNull" => {}
            "between" => criterion["value"] = json!([one, other]),
            "inSet" | "notInSet" => criterion["value"] = json!(some),
            _ => criterion["value"] = one,
        }
        criterion
    })
}

fn criteria(entity: Entity) -> impl Strategy<Value = Value> {
    let node = leaf(entity).prop_recursive(3, 12, 4, |inner| {
        let junction = prop::sample::select(vec!["and", "or", "not"]);
        (junction, prop::collection::vec(inner, 0..4))
            .prop_map(|(operator, list)| json!({"operator": operator, "criteria": list}))
    });
    prop::collection::vec(node, 1..4).prop_map(Value::from)
}

fn questions() -> impl Strategy<Value = (Entity, Value)> {
    let of = |entity| criteria(entity).prop_map(move |list| (entity, list));
    prop_oneof![3 => of(Entity::Product), 1 => of(Entity::Ticket), 1 => of(Entity::Customer)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_planner_finds_what_a_naive_scan_finds(
        (entity, list) in questions(), seed in 0_usize..3, start in 0_u64..20,
        length in prop::option::of(0_u64..50),
    ) {
        let shop = mixed(seed);
        let reader = Reader::new(shop.world.masterdata.clone(), shop.world.documents.clone());
        let query = Query {
            entity,
            start_row: start,
            end_row: length.map(|length| start + length),
            criteria: Criteria::parse(&list, "criteria").unwrap(),
            options: Options { price: false, stock: false, stock_by_warehouse: false },
            terminal: None,
        };
        let planned = reader.plan(query.clone()).unwrap();
        let found = reader.find(planned, &Scope::default(), 1000).unwrap();
        let ids: Vec<String> = found.rows.iter().map(id_of).collect();
        let criteria = reader.resolve(entity, &query.criteria).unwrap();
        let resolved = Query { criteria, ..query };
        prop_assert_eq!(ids, shop.naively(&resolved), "plan {:?}", found.plan);
        let scan = reader.find_naively(&resolved, &Scope::default(), 1000).unwrap();
        prop_assert_eq!((found.total, found.more, found.rows), (scan.total, scan.more, scan.rows));
    }
}

#[tokio::test]
async fn the_answer_says_which_index_was_asked_and_a_scan_that_finds_no_end_is_refused() {
    let shop = shop(vec![]);
    for (criteria, plan) in [
        (equals("id", "P1"), "id"),
        (equals("barcode", "4001"), "index barcode"),
        (
            json!([{"fieldName": "name", "operator": "iStartsWith", "value": "app"}]),
            "index name, prefix",
        ),
        (json!([{"fieldName": "name", "operator": "iContains", "value": "app"}]), "scan"),
    ] {
        let request = json!({"entity": "Product", "criteria": criteria});
        let answer = shop.done("query", request).await;
        assert_eq!(answer["metadata"]["plan"], json!([plan]));
        assert_eq!((&answer["data"][0]["id"], &answer["totalRows"]), (&json!("P1"), &json!(1)));
    }
    let query = Query::parse(&json!({"entity": "Product"})).unwrap();
    let mut rows = super::super::rows::Rows::new(&query, 10);
    let refused = (0..1_000_000).find_map(|_| rows.examine().err()).unwrap();
    assert_eq!(refused.code, Code::QueryTooBroad);
    assert!(refused.detail.contains("looked at 200001 rows of Product"), "{refused}");
}
