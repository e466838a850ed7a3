//! The routes of a store, asked as tills and operators ask them.

use axum::Extension;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use storebox_proto::problem::Code;
use tower::ServiceExt;

use super::samples::{key, sale, store_options};
use crate::http::identity::Identity;
use crate::http::{outbox, transactions};
use crate::uplink::{Outbox, OutboxOpened};

fn till() -> Identity {
    Identity::Terminal("till-1".parse().unwrap())
}

async fn ask(
    store: &OutboxOpened,
    who: Identity,
    method: &str,
    path: &str,
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    let routes = transactions::routes(store.outbox.clone(), store.documents.clone());
    let (router, _) = routes.merge(outbox::routes(store.outbox.clone())).split_for_parts();
    let router: Router = router.layer(Extension(who));
    let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn code(answer: &Value) -> Option<Code> {
    serde_json::from_value(answer["code"].clone()).ok()
}

fn sale_json(number: u64) -> String {
    String::from_utf8(sale(number, 1, number, 100).canonical()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_till_gets_a_receipt_the_same_again_and_clear_refusals() {
    let home = tempfile::tempdir().unwrap();
    let store = Outbox::open(store_options(home.path())).unwrap();
    let (status, receipt) = ask(&store, till(), "POST", "/v1/transactions", sale_json(1)).await;
    assert_eq!((status, &receipt["grade"]), (StatusCode::OK, &json!("held")));
    let again = ask(&store, till(), "POST", "/v1/transactions", sale_json(1)).await;
    assert_eq!(again, (StatusCode::OK, receipt));
    let other = Identity::Terminal("till-2".parse().unwrap());
    let cases = [
        (till(), "/v1/transactions", "{".to_owned(), Code::BodyMalformed),
        (till(), "/v1/transactions", "{}".to_owned(), Code::FieldInvalid),
        (till(), "/v1/transactions", sale_json(1).replace("12.30", "12.31"), Code::KeyConflict),
        (other, "/v1/transactions", sale_json(2), Code::Forbidden),
        (Identity::Operator, "/v1/transactions", sale_json(2), Code::Forbidden),
        (till(), "/v1/transactions?wait=no", sale_json(2), Code::ParameterInvalid),
        (till(), "/v1/transactions?wait=settled&timeout_s=0", sale_json(2), Code::NotSettledYet),
        (till(), "/v1/transactions", " ".repeat(300_000), Code::TooLarge),
    ];
    for (who, path, body, expected) in cases {
        let (status, answer) = ask(&store, who, "POST", path, body).await;
        assert_eq!(code(&answer), Some(expected), "{path}: {answer}");
        assert_eq!(status.as_u16(), expected.status());
    }
    let (_, progress) =
        ask(&store, till(), "GET", &format!("/v1/transactions/{}", key(2)), "").await;
    assert_eq!(progress["grade"], "held", "it was held although it was not settled in time");
    let (_, have) = ask(&store, till(), "GET", "/v1/transactions/have", "").await;
    assert_eq!(have["epochs"][0]["have"], json!([{"from": 1, "to": 2}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_an_answer_for_each_and_documents_are_seen_at_once() {
    let home = tempfile::tempdir().unwrap();
    let store = Outbox::open(store_options(home.path())).unwrap();
    let mut bad: Value = serde_json::from_str(&sale_json(2)).unwrap();
    bad["sequence"] = json!("two");
    let good = [1, 3].map(|number| serde_json::from_str::<Value>(&sale_json(number)).unwrap());
    let body = json!({"envelopes": [good[0], bad, good[1]]}).to_string();
    let (_, answer) = ask(&store, till(), "POST", "/v1/transactions/batch", body).await;
    let results: Vec<_> =
        answer["answers"].as_array().unwrap().iter().map(|a| a["result"].clone()).collect();
    assert_eq!(results, ["taken", "refused", "taken"]);
    let (_, list) = ask(&store, till(), "GET", "/v1/documents/Order?limit=1", "").await;
    assert_eq!(list["documents"][0]["id"], "order-1");
    let (_, list) = ask(&store, till(), "GET", "/v1/documents/Order?after=order-1", "").await;
    assert_eq!(list["documents"][0]["payload"]["gross"], "12.30");
    let (status, _) = ask(&store, till(), "GET", "/v1/documents/Order/none", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_what_is_held_and_nobody_else_does() {
    let home = tempfile::tempdir().unwrap();
    let store = Outbox::open(store_options(home.path())).unwrap();
    for number in 1..=3 {
        store.outbox.accept(sale(number, 1, number, 100)).await.unwrap();
    }
    store.outbox.accept(sale(3, 1, 3, 101)).await.unwrap_err();
    let operator = || Identity::Operator;
    let (_, list) = ask(&store, operator(), "GET", "/v1/outbox?limit=2", "").await;
    assert_eq!((list["entries"].as_array().unwrap().len(), &list["next"]), (2, &json!(2)));
    let (_, list) = ask(&store, operator(), "GET", "/v1/outbox?state=quarantined", "").await;
    assert_eq!(list["entries"], json!([]));
    let (_, entry) = ask(&store, operator(), "GET", &format!("/v1/outbox/{}", key(2)), "").await;
    assert_eq!((&entry["state"], &entry["envelope"]["sequence"]), (&json!("open"), &json!(2)));
    let path = format!("/v1/outbox/{}/repair", key(2));
    let body = r#"{"payload":{},"by":"anna","reason":"typo"}"#;
    let (_, refused) = ask(&store, operator(), "POST", &path, body).await;
    assert_eq!(code(&refused), Some(Code::StateConflict));
    let (_, conflicts) = ask(&store, operator(), "GET", "/v1/outbox/conflicts", "").await;
    assert_eq!(conflicts[0]["code"], "key_conflict");
    let path = "/v1/outbox/conflicts/1/dismiss";
    for nobody in [
        "",
        r#"{"by":"anna"}"#,
        r#"{"by":"\u001b\n","reason":"x"}"#,
        r#"{"by":"anna","reason":" "}"#,
    ] {
        let (status, _) = ask(&store, operator(), "POST", path, nobody).await;
        assert!(status.is_client_error(), "{nobody}");
    }
    let (_, left) =
        ask(&store, operator(), "POST", path, r#"{"by":"an\nna","reason":"twin"}"#).await;
    assert_eq!(left, json!([]));
    let (_, audit) = ask(&store, operator(), "GET", "/v1/outbox/audit", "").await;
    assert!(audit.to_string().contains("\"anna\""), "{audit}");
    let (status, _) = ask(&store, till(), "GET", "/v1/outbox", "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}
