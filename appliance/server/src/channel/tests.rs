//! Who may call what, and what goes where.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use storebox_proto::estate::channel::{ChannelService, Stage, Subject};
use storebox_proto::ids::TxKey;
use storebox_proto::problem::{Code, Problem};

use super::world::{World, estate};
use super::{Caller, Context, Hooks, Point, Wish};

#[tokio::test]
async fn a_refusal_says_which_right_is_missing() {
    let world = World::open(&estate());
    let ask = json!({"entity": "Store"});
    for (terminal, service, code, words) in [
        (
            "web-2",
            "customer",
            Code::ReadOnly,
            "needs the right write; user guest at terminal web-2 has read-only",
        ),
        (
            "web-3",
            "query",
            Code::Forbidden,
            "needs the right read-only; a terminal without user and role at terminal web-3 has none",
        ),
        (
            "web-1",
            "hoover",
            Code::ServiceUnknown,
            "channel web is not offered \"hoover\"; it is offered query, ",
        ),
        (
            "kiosk-1",
            "query",
            Code::ServiceUnknown,
            "channel kiosk is not offered \"query\"; it is offered nothing",
        ),
        ("lost-1", "query", Code::ChannelUnknown, "terminal lost-1 belongs to no channel"),
        ("nobody-1", "query", Code::ChannelUnknown, "terminal nobody-1 is not in the masterdata"),
    ] {
        let problem = world.call(terminal, service, ask.clone()).await.unwrap_err();
        assert_eq!(problem.code, code, "{problem}");
        assert!(problem.detail.contains(words), "{}", problem.detail);
    }
    assert!(world.call("web-2", "query", ask).await.is_ok());
}

#[tokio::test]
async fn the_operator_may_call_in_the_place_of_a_terminal() {
    let world = World::open(&estate());
    let terminal = "web-3".parse().unwrap();
    let caller = Caller { terminal, user: None, is_operator: true, correlation: "test".to_owned() };
    let context = world.channels.context(caller).unwrap();
    let asked = world.channels.execute("query", json!({"entity": "Store"}), &context, Wish::Held);
    assert!(asked.await.is_ok());
}

#[tokio::test]
async fn who_is_logged_in_has_a_person_s_rights_and_not_the_terminal_s() {
    let world = World::open(&estate());
    let caller = Caller {
        terminal: "web-1".parse().unwrap(),
        user: Some("guest".to_owned()),
        is_operator: false,
        correlation: "test".to_owned(),
    };
    let context = world.channels.context(caller).unwrap();
    let call = |service: &'static str, request: Value| {
        world.channels.execute(service, request, &context, Wish::Held)
    };
    assert!(call("query", json!({"entity": "Store"})).await.is_ok());
    let refused = call("customer", json!({"name": "Ada"})).await.unwrap_err();
    assert!(refused.detail.contains("needs the right write; user guest"), "{refused}");
}

#[tokio::test]
async fn a_person_is_shown_without_secrets_and_cannot_be_found_by_them() {
    let world = World::open(&estate());
    let people = world.rows("User", json!([])).await;
    assert_eq!(people, [json!({"id": "guest", "name": "Guest"})]);
    let by_pin = json!([{"fieldName": "pin", "operator": "startsWith", "value": "1"}]);
    assert!(world.rows("User", by_pin).await.is_empty());
}

/// Notes where it was called, and refuses at one stage.
#[derive(Default)]
struct Witness {
    seen: Mutex<Vec<String>>,
    refuses: Option<Stage>,
}

impl Witness {
    fn note(&self, point: Point) {
        let entity = point.entity.map_or("-", |entity| entity.as_str());
        self.seen.lock().unwrap().push(format!("{} {entity}", point.stage.as_str()));
    }
}

impl Hooks for Witness {
    fn run<'a>(
        &'a self,
        _: &'a Context,
        point: Point,
        object: Value,
    ) -> BoxFuture<'a, Result<Value, Problem>> {
        self.note(point);
        let refused = self.refuses == Some(point.stage);
        Box::pin(async move {
            match refused {
                true => Err(Problem::new(Code::HookRefused, "hook h1 does not want it")),
                false => Ok(object),
            }
        })
    }

    fn serve<'a>(
        &'a self,
        _: &'a Context,
        _: &'a ChannelService,
        request: Value,
    ) -> BoxFuture<'a, Result<Value, Problem>> {
        Box::pin(async move { Ok(json!({"served": request})) })
    }

    fn prepare<'a>(
        &'a self,
        _: &'a Context,
        point: Point,
        object: &'a Value,
        _: TxKey,
    ) -> BoxFuture<'a, ()> {
        assert!(object["origin"]["channel"] == "web");
        self.note(point);
        Box::pin(std::future::ready(()))
    }

    fn completed(&self, _: TxKey) {}
}

#[tokio::test]
async fn hooks_are_called_in_their_order() {
    let witness = Arc::new(Witness::default());
    let world = World::with(&estate(), witness.clone());
    let ticket = json!({"lines": [{"productId": "1", "quantity": 1}]});
    let id = world.done("ticket", ticket).await["id"].clone();
    world.done("ticket-pay", json!({"ticketId": id, "payments": [{"amount": "1"}]})).await;
    world.done("query", json!({"entity": "Ticket"})).await;
    let seen = witness.seen.lock().unwrap().join(", ");
    let expected = "on-request -, before-save Ticket, on-save Ticket, after-save Ticket, \
        after-complete Ticket, on-response -, on-request -, before-create-payment Ticket, \
        after-create-payment Ticket, on-response -, on-request -, before-query Ticket, \
        after-query Ticket, on-response -";
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn every_stage_is_reached_for_everything_that_it_is_about() {
    let witness = Arc::new(Witness::default());
    let world = World::with(&estate(), witness.clone());
    let customer = world.done("customer", json!({"name": "Ada"})).await["id"].clone();
    let address = json!({"businessPartnerId": customer, "city": "Paris"});
    world.done("customer-address", address).await;
    let ticket = json!({"lines": [{"productId": "1", "quantity": 1}]});
    let made = world.done("ticket", ticket).await;
    let line = json!([{"id": made["lines"][0]["id"], "quantity": 1}]);
    world.done("ticket-ship", json!({"ticketId": made["id"], "lines": line})).await;
    world.done("ticket-pay", json!({"ticketId": made["id"], "payments": [{"amount": 1}]})).await;
    world.done("ticket-invoice", json!({"ticketId": made["id"]})).await;
    let asked = Subject::Asked.entities();
    assert_eq!(asked.len(), 10);
    for entity in asked {
        world.done("query", json!({"entity": entity})).await;
    }
    let mut expected = vec!["on-request -".to_owned(), "on-response -".to_owned()];
    for entity in asked {
        expected.extend(["before", "after"].map(|at| format!("{at}-query {entity}")));
    }
    for entity in Subject::Saved.entities() {
        let stages = ["before-save", "on-save", "after-save", "after-complete"];
        expected.extend(stages.map(|stage| format!("{stage} {entity}")));
    }
    for what in ["shipment", "payment", "invoice"] {
        expected.extend(["before", "after"].map(|at| format!("{at}-create-{what} Ticket")));
    }
    let seen: BTreeSet<String> = witness.seen.lock().unwrap().iter().cloned().collect();
    assert_eq!(seen, expected.into_iter().collect());
}

#[tokio::test]
async fn a_hook_that_refuses_before_the_commit_leaves_nothing_behind() {
    for stage in [Stage::OnRequest, Stage::BeforeSave, Stage::OnSave, Stage::AfterSave] {
        let witness = Witness { refuses: Some(stage), ..Witness::default() };
        let world = World::with(&estate(), Arc::new(witness));
        let problem = world.call("web-1", "customer", json!({"name": "Ada"})).await.unwrap_err();
        assert_eq!(problem.code, Code::HookRefused);
        assert_eq!(world.outbox.figures().await.unwrap().accepted, 0);
    }
}

#[tokio::test]
async fn without_an_engine_a_hook_is_refused_and_never_passed_over() {
    let mut records = estate();
    records.push((
        "Hook",
        json!({"id": "h1", "channelId": "web", "type": "before-query",
        "entity": "Store", "implementation": "script", "script": "1"}),
    ));
    records.push(("Hook", json!({"id": "h2", "channelId": "web", "type": "from-the-future"})));
    let world = World::open(&records);
    let problem = world.call("web-1", "query", json!({"entity": "Store"})).await.unwrap_err();
    assert_eq!(problem.code, Code::HookFailed);
    assert!(world.call("web-1", "query", json!({"entity": "User"})).await.is_ok());
}

#[tokio::test]
async fn a_service_of_the_chain_stands_in_the_place_of_the_box() {
    let mut records = estate();
    records.retain(|(_, record)| record["id"] != "web-inventory");
    records.push((
        "ChannelService",
        json!({"id": "own", "channelId": "web", "type": "inventory",
        "implementation": "script", "script": "1"}),
    ));
    let world = World::with(&records, Arc::new(Witness::default()));
    assert_eq!(world.done("inventory", json!(5)).await, json!({"served": 5}));
}
