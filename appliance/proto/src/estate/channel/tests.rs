use serde_json::json;

use super::*;
use crate::estate;
use crate::query::Entity;

fn fault(model: &str, record: Value) -> String {
    let fault = estate::check(model, record.as_object().unwrap()).unwrap_err();
    format!("{}: {}", fault.path, fault.what)
}

fn taken(model: &str, record: Value) {
    estate::check(model, record.as_object().unwrap()).unwrap();
}

#[test]
fn a_complete_channel_is_taken() {
    taken(
        CHANNEL,
        json!({"id": "web", "active": true, "updated": "2026-01-01T00:00:00Z",
        "searchKey": "web", "name": "Web shop", "type": "web-shop", "warehouseIds": ["w1"]}),
    );
    taken(
        CHANNEL_SERVICE,
        json!({"id": "s1", "channelId": "web", "type": "query", "log": false,
        "parameters": {"entities": ["Product"], "cacheSeconds": {"Product": 60}, "rowsMax": 100}}),
    );
    taken(
        CHANNEL_SERVICE,
        json!({"id": "s2", "channelId": "web", "type": "ticket", "async": true,
        "parameters": {"wait": "settled", "waitSeconds": 5}}),
    );
    taken(
        HOOK,
        json!({"id": "h1", "channelId": "web", "type": "before-save", "entity": "Ticket",
        "implementation": "script", "script": "object", "parameters": {"limit": 5}}),
    );
    taken(
        HOOK,
        json!({"id": "h2", "channelId": "web", "type": "after-create-payment",
        "implementation": "webhook", "webhook": {"url": "https://erp.example/paid", "secret": "erp"}}),
    );
    taken(
        PUSH_DEFINITION,
        json!({"id": "p1", "channelId": "web", "entity": "Product",
        "delivery": "sse", "where": [{"fieldName": "categoryId", "operator": "equals", "value": "C1"}]}),
    );
    taken(ACCESS, json!({"id": "a1", "channelId": "web", "roleId": "shop", "right": "write"}));
    taken(TERMINAL, json!({"id": "web-1", "channelId": "web", "anything": [1, 2]}));
    taken("Product", json!({"id": "1", "channelId": 7}));
}

fn refused(model: &str, cases: &[(Value, &str)]) {
    for (record, start) in cases {
        let said = fault(model, record.clone());
        assert!(said.starts_with(start), "{said:?} should start with {start:?}");
    }
}

#[test]
fn a_wrong_field_of_a_channel_or_its_access_is_named() {
    refused(
        CHANNEL,
        &[
            (json!({"id": "web", "type": "web-shop"}), "name: missing field"),
            (
                json!({"id": "web", "name": "Web", "type": "webshop"}),
                "type: unknown variant `webshop`",
            ),
            (
                json!({"id": "web", "name": "Web", "type": "pos", "warehouseIds": [1]}),
                "warehouseIds[0]: invalid type",
            ),
            (
                json!({"id": "web", "name": "Web", "type": "pos", "colour": 1}),
                "colour: unknown field",
            ),
        ],
    );
    refused(
        ACCESS,
        &[
            (
                json!({"id": "a", "channelId": "web", "right": "write"}),
                "roleId: or userId is needed",
            ),
            (
                json!({"id": "a", "channelId": "web", "right": "write", "roleId": "r", "userId": "u"}),
                "userId: cannot stand",
            ),
            (
                json!({"id": "a", "channelId": "web", "right": "all", "roleId": "r"}),
                "right: unknown variant",
            ),
        ],
    );
    let terminal = json!({"id": "t", "channelId": ["web", "kiosk"]});
    refused(TERMINAL, &[(terminal, "channelId: must be the id of one channel")]);
}

#[test]
fn a_wrong_parameter_of_a_service_is_named_by_its_path() {
    let service = |parameters: Value| json!({"id": "s", "channelId": "web", "type": "query", "parameters": parameters});
    let of_type = |kind: &str, field: &str, value: Value| {
        let mut record = json!({"id": "s", "channelId": "web", "type": kind});
        record[field] = value;
        record
    };
    refused(
        CHANNEL_SERVICE,
        &[
            (service(json!({"cacheSecond": 5})), "parameters.cacheSecond: unknown field"),
            (service(json!({"entities": ["Produkt"]})), "parameters.entities[0]: unknown variant"),
            (service(json!({"cacheSeconds": 90_000})), "parameters.cacheSeconds: must be 0 to"),
            (service(json!({"rowsMax": 0})), "parameters.rowsMax: must be 1 to"),
            (service(json!({"wait": "held"})), "parameters.wait: unknown field"),
            (of_type("query", "async", json!(true)), "async: "),
            (of_type("ticket", "implementation", json!("script")), "script: is missing"),
            (
                of_type("ticket", "parameters", json!({"waitSeconds": 0})),
                "parameters.waitSeconds: ",
            ),
        ],
    );
}

#[test]
fn a_wrong_field_of_a_hook_or_push_is_named_by_its_path() {
    let hook = |stage: &str, entity: &str| {
        json!({"id": "h", "channelId": "web", "type": stage, "entity": entity,
               "implementation": "script", "script": "1"})
    };
    refused(
        HOOK,
        &[
            (
                hook("before-save", "Product"),
                "entity: must be one of Customer, CustomerAddress, Ticket",
            ),
            (hook("before-query", "User"), "entity: must be one of Product, "),
            (hook("on-request", "Ticket"), "entity: is not for on-request"),
            (hook("after-create-invoice", "Customer"), "entity: must be one of Ticket"),
            (hook("before-sell", "Ticket"), "type: unknown variant"),
            (
                json!({"id": "h", "channelId": "web", "type": "on-request",
                       "implementation": "default"}),
                "implementation: must be script or webhook",
            ),
        ],
    );
    let push = |field: &str, value: Value| {
        let mut record = json!({"id": "p", "channelId": "web", "entity": "Product", "delivery": "webhook",
                                "webhook": {"url": "https://erp.example"}});
        record[field] = value;
        record
    };
    let like = json!([{"fieldName": "name", "operator": "like", "value": "a"}]);
    refused(
        PUSH_DEFINITION,
        &[
            (push("where", like), "where[0].operator: is none of"),
            (push("webhook", json!({"url": "ftp://x"})), "webhook.url: must begin with"),
            (
                push("webhook", json!({"url": "http://u:p@x/"})),
                "webhook.url: must hold no password",
            ),
            (
                push("webhook", json!({"url": "http://x", "timeoutMs": 0})),
                "webhook.timeoutMs: must be",
            ),
            (push("delivery", json!("sse")), "webhook: does not fit the delivery"),
        ],
    );
}

#[test]
fn a_hook_is_called_at_its_own_points_only() {
    let hook = json!({"id": "h", "channelId": "web", "type": "on-request", "service": "ticket",
                      "implementation": "script", "script": "1"});
    let hook = Hook::from_fields(hook.as_object().unwrap()).unwrap();
    assert!(hook.is_for(Stage::OnRequest, ServiceType::Ticket, Some(Entity::Ticket)));
    assert!(!hook.is_for(Stage::OnRequest, ServiceType::Query, None));
    assert!(!hook.is_for(Stage::OnResponse, ServiceType::Ticket, None));
    for (name, stage) in Stage::ALL {
        assert_eq!(serde_json::to_value(stage).unwrap(), name);
        assert_eq!(stage.as_str(), name);
    }
}

#[test]
fn parameters_are_read_by_the_type_of_their_service() {
    let record = json!({"id": "s", "channelId": "web", "type": "query",
                        "parameters": {"cacheSeconds": {"Product": 60}}});
    let service = ChannelService::from_fields(record.as_object().unwrap()).unwrap();
    let Parameters::Query(parameters) = service.parameters().unwrap() else { panic!("a query") };
    assert_eq!(parameters.cache_seconds(Entity::Product), Some(60));
    assert_eq!(parameters.cache_seconds(Entity::Customer), None);
    assert!(service.log && !service.is_async);
    for service in ServiceType::ALL {
        assert_eq!(ServiceType::find(service.as_str()), Some(*service));
    }
}
