mod settled;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde_json::{Value, json};
use storebox_proto::problem::Code;

use crate::channel::Wish;
use crate::channel::world::{World, estate, key};

fn shop() -> World {
    let mut records = estate();
    records.extend([
        ("Warehouse", json!({"id": "W1", "searchKey": "front", "name": "Front"})),
        ("Product", json!({"id": "P1", "searchKey": "apple", "barcode": "4001", "name": "Apple"})),
        ("Product", json!({"id": "P2", "searchKey": "pear", "barcode": "4002", "name": "Pear"})),
        (
            "StockValuation",
            json!({"id": "S1", "productId": "P1", "warehouseId": "W1",
                                  "quantity": "10", "updated": "2026-01-01T00:00:00Z"}),
        ),
        ("BusinessPartner", json!({"id": "C1", "searchKey": "ADA", "name": "Ada"})),
        (
            "BusinessPartner",
            json!({"id": "C2", "edgeId": "edge-2", "searchKey": "BOB", "name": "Bob"}),
        ),
        ("BPLocation", json!({"id": "L1", "businessPartnerId": "C1", "postalCode": "08001"})),
    ]);
    World::open(&records)
}

fn equals(field: &str, value: &Value) -> Value {
    json!([{"fieldName": field, "operator": "equals", "value": value}])
}

#[tokio::test]
async fn a_customer_created_here_is_found_at_once_with_its_addresses() {
    let shop = shop();
    let made = shop.done("customer", json!({"name": "Eve", "searchKey": "EVE"})).await;
    assert_eq!(made["grade"], "held");
    let address = json!({"customer": "EVE", "postalCode": "10115"});
    let address = shop.done("customer-address", address).await;
    assert_eq!(address["businessPartnerId"], made["id"]);
    for criteria in [equals("searchKey", &json!("EVE")), equals("id", &made["id"])] {
        let found = shop.rows("Customer", criteria).await;
        assert_eq!(found[0]["name"], "Eve");
        assert_eq!(found[0]["addresses"][0]["postalCode"], "10115");
    }
    let entry = shop.outbox.show(address["transaction"].as_str().unwrap().parse().unwrap());
    let envelope = entry.await.unwrap().envelope;
    assert_eq!(envelope["dependsOn"], json!([made["transaction"]]));
    assert_eq!(envelope["lane"], format!("customer:{}", made["id"].as_str().unwrap()));
    assert_eq!(envelope["payload"]["origin"]["correlation"], "test-1");
}

#[tokio::test]
async fn a_change_of_a_central_customer_stands_over_it_field_by_field() {
    let shop = shop();
    shop.done("customer", json!({"id": "C1", "phone": "123"})).await;
    shop.done("customer", json!({"id": "C1", "email": "ada@example.com"})).await;
    let found = shop.rows("Customer", equals("searchKey", &json!("ADA"))).await;
    let seen = (&found[0]["name"], &found[0]["phone"], &found[0]["email"]);
    assert_eq!(seen, (&json!("Ada"), &json!("123"), &json!("ada@example.com")));
    assert_eq!(found[0]["addresses"][0]["id"], "L1");
    shop.done("customer-address", json!({"id": "L1", "postalCode": "08002"})).await;
    let found = shop.rows("CustomerAddress", equals("customer", &json!("ADA"))).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["postalCode"], "08002");
}

#[tokio::test]
async fn an_id_minted_here_is_good_after_the_central_one_has_arrived() {
    let shop = shop();
    let found = shop.rows("Customer", equals("id", &json!("edge-2"))).await;
    assert_eq!(found[0]["id"], "C2");
    let changed = shop.done("customer", json!({"id": "edge-2", "phone": "7"})).await;
    assert_eq!(changed["id"], "C2");
    let line = json!({"productId": "P1", "quantity": 1});
    let made = shop.done("ticket", json!({"businessPartnerId": "edge-2", "lines": [line]})).await;
    let found = shop.rows("Ticket", equals("customer", &json!("BOB"))).await;
    assert_eq!((&found[0]["id"], &found[0]["businessPartnerId"]), (&made["id"], &json!("C2")));
    assert_eq!(shop.rows("Ticket", equals("businessPartnerId", &json!("edge-2"))).await.len(), 1);
}

#[tokio::test]
async fn a_ticket_goes_through_its_whole_life() {
    let shop = shop();
    let made = shop
        .done(
            "ticket",
            json!({"documentNo": "W/1", "customer": "ADA", "session": "s1",
        "lines": [{"product": "4001", "quantity": 2}, {"product": "pear", "quantity": "1.5"}]}),
        )
        .await;
    let (id, lines) = (&made["id"], &made["lines"]);
    assert_eq!(lines.as_array().unwrap().len(), 2);
    let more = json!({"id": id, "gross": "9.90", "lines": [
        {"id": lines[0]["id"], "quantity": 3}, {"id": lines[1]["id"], "removed": true},
        {"productId": "P2", "quantity": 4}]});
    let changed = shop.done("ticket", more).await;
    assert_eq!((&changed["id"], &changed["lines"][0]["id"]), (id, &lines[0]["id"]));
    for quantity in [1, 2] {
        let part = json!([{"id": lines[0]["id"], "quantity": quantity}]);
        shop.done("ticket-ship", json!({"ticket": "W/1", "lines": part})).await;
    }
    let money = json!([{"method": "card", "amount": "9.90"}]);
    shop.done("ticket-pay", json!({"ticketId": id, "payments": money, "session": "s1"})).await;
    shop.done("ticket-invoice", json!({"ticket": "W/1"})).await;
    shop.done("cash-management", json!({"session": "s1", "type": "in", "amount": 100})).await;
    shop.done("cash-up", json!({"session": "s1"})).await;
    let found = shop.rows("Ticket", equals("documentNo", &json!("W/1"))).await;
    let ticket = &found[0];
    assert_eq!((&ticket["gross"], &ticket["businessPartnerId"]), (&json!("9.90"), &json!("C1")));
    let products: Vec<_> =
        ticket["lines"].as_array().unwrap().iter().map(|line| &line["productId"]).collect();
    assert_eq!(products, ["P1", "P2"]);
    assert_eq!(ticket["lines"][0]["quantity"], 3);
    let count = |name: &str| ticket[name].as_array().unwrap().len();
    assert_eq!((count("shipments"), count("payments"), count("invoices")), (2, 1, 1));
    let have = shop.outbox.have("web-1".parse().unwrap()).await.unwrap();
    assert_eq!((have.len(), have[0].have.len(), have[0].have[0].to), (1, 1, 8));
}

#[tokio::test]
async fn stock_is_what_was_counted_and_what_changed_since() {
    let shop = shop();
    let lines = json!([{"product": "4001", "warehouse": "front", "change": "-2.5"},
                       {"productId": "P2", "warehouseId": "W1", "level": 7}]);
    shop.done("inventory", json!({"lines": lines})).await;
    let stock = async |shop: &World, id: &str| {
        shop.rows("Product", equals("id", &json!(id))).await[0]["stock"].clone()
    };
    assert_eq!(stock(&shop, "P1").await, json!({"quantity": "7.5"}));
    assert_eq!(stock(&shop, "P2").await, json!({"quantity": "7"}));
    let shop = shop.restarted().await;
    let lines = json!([{"productId": "P2", "warehouseId": "W1", "change": 1}]);
    shop.done("inventory", json!({"lines": lines})).await;
    assert_eq!(stock(&shop, "P1").await, json!({"quantity": "7.5"}));
    assert_eq!(stock(&shop, "P2").await, json!({"quantity": "8"}));
    let by_warehouse = json!({"entity": "Product", "criteria": equals("id", &json!("P1")),
                              "options": {"stockByWarehouse": true}});
    let found = shop.done("query", by_warehouse).await;
    assert_eq!(found["data"][0]["stock"], json!([{"warehouseId": "W1", "quantity": "7.5"}]));
}

#[tokio::test]
async fn the_same_request_under_the_same_key_is_done_once() {
    let shop = shop();
    let request = json!({"key": key(1), "lines": [{"productId": "P1", "quantity": 1}]});
    let first = shop.done("ticket", request.clone()).await;
    assert_eq!(first["id"], json!(key(1)));
    let shop = shop.restarted().await;
    let again = shop.done("ticket", request).await;
    assert_eq!(again, first);
    let other = json!({"key": key(1), "lines": [{"productId": "P2", "quantity": 1}]});
    let problem = shop.call("web-1", "ticket", other).await.unwrap_err();
    assert_eq!(problem.code, Code::KeyConflict);
    assert_eq!(shop.rows("Ticket", json!([])).await.len(), 1);
}

#[tokio::test]
async fn a_wrong_request_names_its_field() {
    let shop = shop();
    let line = json!({"productId": "P1", "quantity": 1});
    let made = shop.done("ticket", json!({"lines": [line]})).await;
    for (service, request, start) in [
        ("customer", json!([]), "field request: must be an object"),
        ("customer", json!({}), "field name: is missing"),
        ("customer", json!({"name": "x", "id": ""}), "field id: "),
        ("customer", json!({"name": "x", "key": "1"}), "field key: must be a UUID"),
        ("customer-address", json!({"customer": "NOBODY"}), "field customer: nothing has the code"),
        (
            "customer-address",
            json!({"city": "Bonn"}),
            "field businessPartnerId: or customer is needed",
        ),
        (
            "ticket",
            json!({"businessPartnerId": "C9"}),
            "field businessPartnerId: no customer has the id",
        ),
        (
            "ticket",
            json!({"lines": [line, {"product": "9", "quantity": 1}]}),
            "field lines[1].product: nothing has the code",
        ),
        (
            "ticket",
            json!({"lines": [{"productId": "P1", "quantity": "1e9"}]}),
            "field lines[0].quantity: must be a decimal",
        ),
        (
            "ticket",
            json!({"lines": [{"product": "4001", "productId": "P1"}]}),
            "field lines[0].product: and productId",
        ),
        ("ticket", json!({"lines": 5}), "field lines: must be a list"),
        (
            "inventory",
            json!({"lines": [{"productId": "P1", "level": 1}]}),
            "field lines[0].warehouseId: or warehouse",
        ),
        (
            "inventory",
            json!({"lines": [{"productId": "P1", "warehouseId": "W1"}]}),
            "field lines[0].level: or change",
        ),
        ("ticket-ship", json!({"ticket": "W/9"}), "field ticket: no ticket of this store"),
        (
            "ticket-ship",
            json!({"ticketId": made["id"], "lines": [{"id": "x"}]}),
            "field lines[0].id: no line",
        ),
        (
            "ticket-pay",
            json!({"ticketId": made["id"], "payments": [{}]}),
            "field payments[0].amount: is missing",
        ),
        ("cash-up", json!({}), "field session: is missing"),
        (
            "cash-management",
            json!({"session": "s", "amount": 1, "type": "up"}),
            "field type: must be in or out",
        ),
    ] {
        let said = shop.refused(service, request).await;
        assert!(said.starts_with(start), "{service}: {said:?} should start with {start:?}");
    }
    assert_eq!(shop.outbox.figures().await.unwrap().accepted, 1);
}

#[tokio::test]
async fn a_caller_may_be_answered_before_or_after_head_office() {
    let mut records = estate();
    records.retain(|(_, record)| record["id"] != "web-ticket");
    records.push((
        "ChannelService",
        json!({"id": "t", "channelId": "web", "type": "ticket", "async": true}),
    ));
    let shop = World::open(&records);
    let line = json!({"productId": "P1", "quantity": 1});
    let reply = shop.call("web-1", "ticket", json!({"lines": [line]})).await.unwrap();
    assert_eq!(json!(reply.goes_on), reply.json["transaction"]);
    let context = shop.context("web-1").unwrap();
    let wish = Wish::Settled(Some(std::time::Duration::from_millis(20)));
    let late = shop.channels.execute("customer", json!({"name": "Ada"}), &context, wish).await;
    assert_eq!(late.unwrap_err().code, Code::NotSettledYet);
    assert_eq!(shop.outbox.figures().await.unwrap().accepted, 2);
}

#[tokio::test]
async fn many_changes_at_once_get_numbers_without_a_gap() {
    let shop = shop();
    let made = shop.done("ticket", json!({"lines": []})).await;
    let id = made["id"].as_str().unwrap();
    let change = |number: usize| {
        let mut request = json!({"id": id});
        request[format!("field{number}")] = json!(number);
        shop.done("ticket", request)
    };
    futures_util::future::join_all((0..20).map(change)).await;
    let found = shop.rows("Ticket", equals("id", &json!(id))).await;
    assert!((0..20).all(|number| found[0][format!("field{number}")] == json!(number)));
    let have = shop.outbox.have("web-1".parse().unwrap()).await.unwrap();
    assert_eq!((have[0].have.len(), have[0].have[0].to), (1, 21));
}

#[tokio::test]
async fn a_ticket_is_found_by_its_number_as_it_is_now() {
    let shop = shop();
    let line = json!({"productId": "P1", "quantity": 1});
    let made = shop.done("ticket", json!({"documentNo": "A/1", "lines": [line]})).await;
    let ask = async |shop: &World, number: &str| {
        let request = json!({"entity": "Ticket", "criteria": equals("documentNo", &json!(number))});
        let answer = shop.done("query", request).await;
        assert_eq!(answer["metadata"]["plan"], json!(["index documentNo"]));
        answer["totalRows"].as_u64().unwrap()
    };
    assert_eq!(ask(&shop, "A/1").await, 1);
    shop.done("ticket", json!({"id": made["id"], "documentNo": "A/2", "customer": "ADA"})).await;
    assert_eq!((ask(&shop, "A/1").await, ask(&shop, "A/2").await), (0, 1));
    let shop = shop.restarted().await;
    assert_eq!((ask(&shop, "A/1").await, ask(&shop, "A/2").await), (0, 1));
    let start = json!([{"fieldName": "documentNo", "operator": "startsWith", "value": "A/"},
                       {"fieldName": "customer", "operator": "equals", "value": "ADA"}]);
    assert_eq!(shop.rows("Ticket", start).await.len(), 1);
}
