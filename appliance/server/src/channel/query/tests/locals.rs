//! What the shop created, in queries: no more of it is read than the answer needs, and it stands for what head office
//! says.

use std::sync::Arc;

use futures_util::future::join_all;
use storebox_proto::query::Query;

use super::super::answer::Scope;
use super::super::reader::{Found, Reader};
use super::*;
use crate::channel::world::key;
use crate::uplink::LOADED;

fn reader(shop: &World) -> Arc<Reader> {
    Arc::new(Reader::new(shop.masterdata.clone(), shop.documents.clone()))
}

/// A question that is answered in the thread of the test, and how many documents were loaded for it.
fn ask(reader: &Reader, question: Value) -> (Found, usize) {
    let before = LOADED.get();
    let query = Query::parse(&question).unwrap();
    let found = reader.find(reader.plan(query).unwrap(), &Scope::default(), 1000).unwrap();
    (found, LOADED.get() - before)
}

#[tokio::test]
async fn a_window_of_a_full_shop_loads_its_rows_and_not_the_shop() {
    let shop = World::open(&estate());
    for hundred in 0..7_u64 {
        let sell = |number| {
            let number = hundred * 100 + number;
            let lines = json!([{"productId": "1", "quantity": number}]);
            shop.done("ticket", json!({"id": format!("T{number:04}"), "lines": lines}))
        };
        join_all((0..100).map(sell)).await;
    }
    let reader = reader(&shop);
    let (found, loaded) = ask(&reader, json!({"entity": "Ticket", "endRow": 10}));
    assert_eq!((found.rows.len(), found.more, found.total), (10, true, None));
    assert_eq!((&found.rows[0]["id"], &found.rows[9]["id"]), (&json!("T0000"), &json!("T0009")));
    assert!(loaded <= 11, "{loaded}");
    let window = json!({"entity": "Ticket", "startRow": 600, "endRow": 605});
    let (found, loaded) = ask(&reader, window);
    assert_eq!(found.rows.iter().map(|row| &row["id"]).next(), Some(&json!("T0600")));
    assert!(loaded <= 606, "{loaded}");
    let all = json!([{"fieldName": "lines.quantity", "operator": "greaterOrEqual", "value": 650}]);
    let (found, _) = ask(&reader, json!({"entity": "Ticket", "criteria": all}));
    assert_eq!((found.total, found.examined), (Some(50), 700));
}

#[tokio::test]
async fn a_customer_by_its_id_or_code_loads_no_other_customer_and_no_other_address() {
    let shop = World::open(&estate());
    join_all((0..40).map(async |number: u64| {
        let made = json!({"name": "Ada", "searchKey": format!("ada-{number}")});
        let made = shop.done("customer", made).await;
        let home = json!({"businessPartnerId": made["id"], "name": "home"});
        shop.done("customer-address", home).await;
    }))
    .await;
    let reader = reader(&shop);
    let by_code = |code: &str| json!({"entity": "Customer", "criteria": equals("searchKey", code)});
    // The first question builds what the others ask.
    let id = ask(&reader, by_code("ada-7")).0.rows[0]["id"].as_str().unwrap().to_owned();
    for question in [by_code("ada-7"), json!({"entity": "Customer", "criteria": equals("id", &id)})]
    {
        let (found, loaded) = ask(&reader, question);
        assert_eq!((found.rows.len(), &found.rows[0]["searchKey"]), (1, &json!("ada-7")));
        assert_eq!(found.rows[0]["addresses"].as_array().unwrap().len(), 1);
        assert!(loaded <= 4, "{loaded}");
    }
    let of_customer = json!({"entity": "CustomerAddress", "criteria": equals("customer", "ada-7")});
    let (found, loaded) = ask(&reader, of_customer);
    assert_eq!((found.rows.len(), &found.rows[0]["businessPartnerId"]), (1, &json!(id)));
    assert!(loaded <= 4, "{loaded}");
}

#[tokio::test]
async fn a_customer_that_is_found_by_what_the_shop_changed_is_whole() {
    let shop = shop(vec![(
        "BusinessPartner",
        json!({"id": "B1", "name": "Ada", "searchKey": "ada", "email": "old@example.org"}),
    )]);
    shop.done("customer", json!({"id": "B1", "email": "new@example.org"})).await;
    let found = shop.rows("Customer", equals("email", "new@example.org")).await;
    assert_eq!((found.len(), &found[0]["name"]), (1, &json!("Ada")));
    assert_eq!(shop.rows("Customer", equals("email", "old@example.org")).await, [] as [Value; 0]);
    let both = json!([
        {"fieldName": "email", "operator": "equals", "value": "new@example.org"},
        {"fieldName": "name", "operator": "equals", "value": "Ada"}]);
    assert_eq!(shop.rows("Customer", both).await.len(), 1);
}

#[tokio::test]
async fn a_ticket_is_found_by_its_number_though_something_else_has_its_id() {
    let shop = World::open(&estate());
    assert_eq!(shop.rows("Ticket", equals("documentNo", "R-1")).await.len(), 0);
    for (number, kind) in [(1, "Order"), (2, "ZReport")] {
        let envelope = json!({"key": key(number), "kind": kind, "terminal": "till-1",
            "epoch": 1, "sequence": number, "lane": format!("own:{number}"),
            "occurredAt": "2026-11-22T10:00:00Z", "clock": "synchronised",
            "payload": {"id": "same", "documentNo": "R-1"}});
        shop.outbox.accept(serde_json::from_value(envelope).unwrap()).await.unwrap();
    }
    assert_eq!(shop.rows("Ticket", equals("documentNo", "R-1")).await.len(), 1);
}

#[tokio::test]
async fn a_ticket_with_very_many_payments_brings_the_first_and_says_that_there_are_more() {
    let shop = World::open(&estate());
    let made = shop.done("ticket", json!({"lines": [{"productId": "1", "quantity": 1}]})).await;
    for hundred in 0..11 {
        join_all((0..100).map(|number| {
            let amount = format!("{hundred}.{number:02}");
            let payments = json!([{"method": "cash", "amount": amount}]);
            shop.done("ticket-pay", json!({"ticketId": made["id"], "payments": payments}))
        }))
        .await;
    }
    let found = shop.rows("Ticket", json!([])).await;
    assert_eq!(found[0]["payments"].as_array().unwrap().len(), 1000);
    assert_eq!(found[0]["incomplete"], true);
}
