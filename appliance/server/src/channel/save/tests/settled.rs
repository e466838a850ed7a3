//! What head office has, and what it has not yet: who waits for it, and what is said of it again.

use storebox_proto::ticket::Envelope;

use super::*;
use crate::env;
use crate::uplink::tests::long_life::settle_and_keep;

#[tokio::test]
async fn who_waits_for_head_office_keeps_nobody_else_waiting() {
    let shop = shop();
    let context = shop.context("web-1").unwrap();
    let line = json!({"productId": "P1", "quantity": 1});
    let ticket = json!({"key": key(3), "lines": [line]});
    let wish = Wish::Settled(Some(Duration::from_secs(50)));
    let waits = shop.channels.execute("ticket", ticket, &context, wish);
    let others = async {
        let mut wake = shop.outbox.wake();
        while shop.outbox.figures().await.unwrap().accepted == 0 {
            wake.changed().await.unwrap();
        }
        shop.done("customer", json!({"name": "Ada"})).await;
        let lines = json!([{"productId": "P1", "warehouseId": "W1", "change": 1}]);
        shop.done("inventory", json!({"lines": lines})).await;
        shop.done("ticket", json!({"id": key(3), "note": "the same one"})).await;
    };
    match select(pin!(waits), pin!(others)).await {
        Either::Left(_) => panic!("the others waited too"),
        Either::Right(_) => {}
    }
}

#[tokio::test]
async fn a_request_is_answered_again_as_before_when_head_office_has_it() {
    let shop = shop();
    let line = json!({"productId": "P1", "quantity": 1});
    let made = shop.done("ticket", json!({"documentNo": "W/1", "lines": [line]})).await;
    let part = json!([{"id": made["lines"][0]["id"], "quantity": 1}]);
    let requests = [
        (
            "ticket-pay",
            json!({"key": key(11), "ticketId": made["id"], "payments": [{"amount": "1"}]}),
        ),
        ("ticket-ship", json!({"key": key(12), "ticket": "W/1", "lines": part})),
        ("ticket-invoice", json!({"key": key(13), "ticketId": made["id"]})),
        ("customer", json!({"key": key(14), "id": "edge-2", "phone": "7"})),
        (
            "inventory",
            json!({"key": key(15), "lines":
            [{"productId": "P1", "warehouseId": "W1", "change": 1}]}),
        ),
    ];
    let mut first = Vec::new();
    for (service, request) in &requests {
        first.push(shop.done(service, request.clone()).await);
    }
    settle_and_keep(&shop.outbox).await;
    for ((service, request), first) in requests.iter().zip(first) {
        let again = shop.done(service, request.clone()).await;
        assert_eq!(again["grade"], "settled", "{service}");
        for field in ["id", "ticketId", "lines"] {
            assert_eq!(again[field], first[field], "{service} {field}: {again}");
        }
        let mut other = request.clone();
        other["session"] = json!("another");
        let problem = shop.call("web-1", service, other).await.unwrap_err();
        assert_eq!(problem.code, Code::KeyConflict, "{service}");
    }
    // Where the content is replaced by a later one, nothing is made up.
    shop.done("customer", json!({"id": "C2", "phone": "8"})).await;
    let again = shop.done("customer", requests[3].1.clone()).await;
    assert_eq!((&again["incomplete"], &again["id"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn stock_that_a_till_changed_in_its_own_way_counts_once() {
    let shop = shop();
    let stock = async || {
        shop.rows("Product", equals("id", &json!("P1"))).await[0]["stock"]["quantity"].clone()
    };
    assert_eq!(stock().await, "10");
    let line = json!({"productId": "P1", "warehouseId": "W1", "change": "-1"});
    let payload = json!({"lines": [line]});
    let envelope = Envelope {
        key: key(21),
        kind: "InventoryChange".parse().unwrap(),
        terminal: "till-9".parse().unwrap(),
        epoch: 1,
        sequence: 1,
        lane: "stock:all".parse().unwrap(),
        depends_on: Vec::new(),
        session: None,
        occurred_at: env::timestamp(),
        clock: env::clock_confidence(),
        payload: payload.as_object().unwrap().clone(),
    };
    shop.outbox.accept(envelope).await.unwrap();
    assert_eq!((stock().await, stock().await), (json!("9"), json!("9")));
    settle_and_keep(&shop.outbox).await;
    shop.done("inventory", json!({"lines": [line]})).await;
    assert_eq!(stock().await, "8");
}
