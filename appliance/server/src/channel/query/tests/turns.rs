//! What a question may cost before its turn.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::json;
use storebox_proto::estate::channel::QueryParameters;
use storebox_proto::limits::QUERY_CODES_MAX;

use super::super::answer::answer;
use super::super::reader::Reader;
use super::*;
use crate::channel::NoHooks;
use crate::masterdata::Masterdata;
use crate::replica::readers::Readers;

/// Sets of so many codes, each within its own bound.
fn sets(name: &str, count: usize) -> Value {
    let half = |half: usize| {
        let codes = (0..count / 2).map(|code| json!(format!("code-{half}-{code}")));
        json!({"fieldName": name, "operator": "inSet", "value": codes.collect::<Vec<_>>()})
    };
    json!([half(0), {"operator": "or", "criteria": [half(1)]}])
}

#[tokio::test]
async fn a_query_looks_up_so_many_codes_and_no_more() {
    let shop = shop(vec![]);
    for (entity, name) in [
        ("Ticket", "customer"),
        ("Ticket", "product"),
        ("Product", "category"),
        ("CustomerAddress", "businessPartnerId"),
    ] {
        let some = json!({"entity": entity, "criteria": sets(name, QUERY_CODES_MAX)});
        shop.done("query", some).await;
        let many = json!({"entity": entity, "criteria": sets(name, QUERY_CODES_MAX + 2)});
        let refused = shop.refused("query", many).await;
        assert!(refused.starts_with("field criteria: name 502 things by code"), "{refused}");
        assert!(refused.contains("at most 500"), "{refused}");
    }
    // Ids of the thing itself are not looked up.
    let ids = json!({"entity": "Ticket", "criteria": sets("id", QUERY_CODES_MAX + 2)});
    shop.done("query", ids).await;
}

#[tokio::test(start_paused = true)]
async fn codes_are_looked_up_when_it_is_the_questions_turn() {
    let shop = shop(vec![]);
    // Where there are no products, a code that is looked up is refused at once.
    let nothing = Masterdata::new(Readers::new());
    let reader = Arc::new(Reader::new(nothing, shop.documents.clone()));
    let context = shop.context("web-1").unwrap();
    let question = json!({"entity": "Ticket", "criteria": equals("product", "4001")});
    let ask = || {
        let (parameters, question) = (QueryParameters::default(), question.clone());
        let (reader, context) = (&reader, &context);
        async move { answer(reader, &NoHooks, context, &parameters, question).await.unwrap_err() }
    };
    let another = reader.scans.acquire().await.unwrap();
    assert_eq!(ask().await.code, Code::Busy);
    drop(another);
    assert_eq!(ask().await.code, Code::ReplicaEmpty);
}

#[tokio::test(start_paused = true)]
async fn a_look_at_many_customers_of_the_shop_has_its_turn_though_an_index_leads_to_the_others() {
    let shop = shop(vec![]);
    for hundred in 0..6 {
        let made = (0..100).map(|number| {
            shop.done("customer", json!({"name": format!("Ada {hundred}-{number}")}))
        });
        join_all(made).await;
    }
    let reader = Arc::new(Reader::new(shop.masterdata.clone(), shop.documents.clone()));
    let context = shop.context("web-1").unwrap();
    let by_name = json!([{"fieldName": "name", "operator": "iStartsWith", "value": "ada 5-99"}]);
    let ask = |criteria: &Value| {
        let question = json!({"entity": "Customer", "criteria": criteria});
        let (reader, context) = (&reader, &context);
        async move {
            let parameters = QueryParameters::default();
            answer(reader, &NoHooks, context, &parameters, question).await
        }
    };
    let another = reader.scans.acquire().await.unwrap();
    assert_eq!(ask(&by_name).await.unwrap_err().code, Code::Busy);
    assert_eq!(ask(&equals("searchKey", "none")).await.unwrap().json["totalRows"], 0);
    drop(another);
    assert_eq!(ask(&by_name).await.unwrap().json["totalRows"], 1);
}
