//! What the OpenAPI document says of channels, to programs that write clients from it.

use std::collections::BTreeSet;

use serde_json::Value;
use storebox_proto::query::{Entity, Operator};

use super::*;

async fn document() -> Value {
    let running = start("store").await;
    let url = format!("http://{}/openapi.json", running.address);
    let document = reqwest::get(url).await.unwrap().json().await.unwrap();
    running.supervisor.stop(STOP_MAX).await;
    document
}

/// The contents of a body or an answer that have no example.
fn without_example(part: &Value) -> usize {
    let contents = part["content"].as_object().into_iter().flatten();
    contents.filter(|(_, content)| content["example"].is_null()).count()
}

#[tokio::test]
async fn every_channel_route_has_examples_of_what_it_takes_and_gives() {
    let document = document().await;
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/channel") {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            assert_eq!(without_example(&operation["requestBody"]), 0, "request of {method} {path}");
            for (status, answer) in operation["responses"].as_object().unwrap() {
                if status.starts_with('2') {
                    assert_eq!(without_example(answer), 0, "{status} of {method} {path}");
                }
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 12);
}

#[tokio::test]
async fn the_names_of_entities_and_operators_are_those_of_the_query_language() {
    let document = document().await;
    let names = |schema: &str| -> BTreeSet<String> {
        let list = &document["components"]["schemas"][schema]["enum"];
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("EntityName"), Entity::ALL.map(|(name, _)| name.to_owned()).into());
    let operators = Operator::ALL.iter().map(|(name, _)| *name).chain(["and", "or", "not"]);
    assert_eq!(names("OperatorName"), operators.map(str::to_owned).collect());
}
