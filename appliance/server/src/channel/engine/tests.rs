//! Hooks in a shop: what they change, what they refuse, and what they cannot do to the box.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::channel::Caller;
use crate::channel::peer::Peer;
use crate::channel::world::{World, estate, key};

/// Hooks whose secrets and errands are in this directory.
pub(in crate::channel) fn engine(dir: &Path) -> (Arc<Engine>, Runner, Afterwards) {
    let signer = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let webhooks = Webhooks::new(signer, dir.join("secrets")).unwrap();
    let runner = Runner::new(webhooks);
    let afterwards = Afterwards::open(&dir.join("hooks")).unwrap();
    (Arc::new(Engine::new(runner.clone(), afterwards.clone())), runner, afterwards)
}

fn with(hooks: &[Value]) -> (World, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut records = estate();
    records.extend(hooks.iter().map(|hook| ("Hook", hook.clone())));
    (World::with(&records, engine(dir.path()).0), dir)
}

fn script(id: &str, stage: &str, entity: Option<&str>, source: &str) -> Value {
    let mut hook = json!({"id": id, "channelId": "web", "type": stage,
        "implementation": "script", "script": source});
    if let Some(entity) = entity {
        hook["entity"] = json!(entity);
    }
    hook
}

#[tokio::test]
async fn hooks_change_a_call_on_its_way_in_their_order() {
    let mut second = script("a2", "before-save", Some("Customer"), "object.name += \"!\";");
    second["sequence"] = json!(2);
    let mut first = script("z1", "before-save", Some("Customer"), "object.name.make_upper();");
    first["sequence"] = json!(1);
    let on_response = script("r", "on-response", None, "object.seen = context.channel;");
    let (world, _dir) = with(&[second, first, on_response]);
    let made = world.done("customer", json!({"name": "ada"})).await;
    assert_eq!(made["seen"], "web");
    let rows = world
        .rows("Customer", json!([{"fieldName": "id", "operator": "equals", "value": made["id"]}]))
        .await;
    assert_eq!(rows[0]["name"], "ADA!");
}

#[tokio::test]
async fn a_request_is_known_again_whatever_hooks_make_of_it() {
    let trace = "object.trace = context.correlation;";
    let (world, _dir) = with(&[script("trace", "on-request", None, trace)]);
    let call = async |correlation: &str| {
        let (terminal, correlation) = ("web-1".parse().unwrap(), correlation.to_owned());
        let caller = Caller { terminal, user: None, is_operator: false, correlation };
        let context = world.channels.context(caller).unwrap();
        let request = json!({"key": key(1), "name": "Ada"});
        world.channels.execute("customer", request, &context, Default::default()).await
    };
    assert_eq!(call("first").await.unwrap(), call("second").await.unwrap());
    assert_eq!(world.outbox.figures().await.unwrap().accepted, 1);
}

#[tokio::test]
async fn a_hook_before_the_commit_refuses_by_its_name_and_nothing_is_stored() {
    let refusing = "if object.name == \"Bob\" { refuse(\"no Bobs\") }";
    let (world, _dir) = with(&[script("no-bobs", "on-save", Some("Customer"), refusing)]);
    let problem = world.call("web-1", "customer", json!({"name": "Bob"})).await.unwrap_err();
    assert_eq!((problem.code, problem.status), (Code::HookRefused, 422));
    assert_eq!(problem.detail, "hook no-bobs refuses: no Bobs");
    assert_eq!(world.outbox.figures().await.unwrap().accepted, 0);
    world.done("customer", json!({"name": "Ada"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_runs_away_is_stopped_and_others_are_served_meanwhile() {
    let (world, _dir) = with(&[script("endless", "before-query", Some("Store"), "loop {}")]);
    let world = Arc::new(world);
    let context = world.context("web-1").unwrap();
    let endless = || {
        let ask = json!({"entity": "Store"});
        world.channels.execute("query", ask, &context, Default::default())
    };
    let others = async {
        let begun = env::instant();
        world.done("query", json!({"entity": "User"})).await;
        begun.elapsed()
    };
    let (first, second, third, took) = tokio::join!(endless(), endless(), endless(), others);
    for stopped in [first, second, third] {
        let problem = stopped.unwrap_err();
        assert_eq!(problem.code, Code::HookFailed);
        assert!(problem.detail.starts_with("hook endless is stopped: "), "{}", problem.detail);
    }
    assert!(took < crate::channel::script::TIME_MAX * 10, "{took:?}");
    let steps = context.steps();
    assert_eq!(steps.len(), 3);
    assert!(steps.iter().all(|step| step.error.is_some() && step.stage == "before-query"));
}

fn webhook(peer: &Peer, path: &str) -> Value {
    json!({"id": path, "channelId": "web", "type": "before-save", "entity": "Customer",
        "implementation": "webhook", "parameters": {"limit": 5},
        "webhook": {"url": peer.url(path), "timeoutMs": 300, "secret": "erp"}})
}

#[tokio::test]
async fn another_program_changes_a_call_and_sees_who_asks() {
    let peer = Peer::open().await;
    peer.answer("change", 200, json!({"object": {"name": "Grace"}}).to_string());
    let (world, dir) = with(&[webhook(&peer, "change")]);
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    std::fs::write(dir.path().join("secrets/erp"), "shared\n").unwrap();
    let made = world.done("customer", json!({"name": "Ada"})).await;
    let criteria = json!([{"fieldName": "id", "operator": "equals", "value": made["id"]}]);
    assert_eq!(world.rows("Customer", criteria).await[0]["name"], "Grace");
    let heard = peer.heard().await;
    assert_eq!(heard.body["object"], json!({"name": "Ada"}));
    let call = &heard.body["context"];
    assert_eq!((&call["channel"], &call["terminal"]), (&json!("web"), &json!("web-1")));
    assert_eq!((&call["stage"], &call["parameters"]["limit"]), (&json!("before-save"), &json!(5)));
    let signer = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let now = heard.header("webhook-timestamp").parse().unwrap();
    let id = heard.header("webhook-id");
    let expected = crate::webhook::sign(&signer, Some(b"shared"), id, now, &heard.bytes);
    assert_eq!(heard.header("webhook-signature"), expected);
}

#[tokio::test]
async fn a_webhook_that_refuses_hangs_lies_or_has_no_secret_refuses_the_call() {
    let peer = Peer::open().await;
    peer.answer("refuse", 200, json!({"refuse": "not today"}).to_string());
    peer.answer("final", 422, "no such street".to_owned());
    peer.answer("broken", 500, "oh".to_owned());
    peer.answer("nonsense", 200, "<html>".to_owned());
    peer.answer("long", 200, "x".repeat(crate::webhook::ANSWER_BYTES_MAX + 1));
    for (path, code, words) in [
        ("refuse", Code::HookRefused, "hook refuse refuses: not today"),
        ("final", Code::HookRefused, "no such street"),
        ("broken", Code::HookFailed, "500"),
        ("nonsense", Code::HookFailed, "not JSON"),
        ("long", Code::HookFailed, "longer than"),
        ("hang", Code::HookFailed, "no answer within 300 ms"),
    ] {
        let mut hook = webhook(&peer, path);
        hook["webhook"].as_object_mut().unwrap().remove("secret");
        let (world, _dir) = with(&[hook]);
        let problem = world.call("web-1", "customer", json!({"name": "A"})).await.unwrap_err();
        assert_eq!(problem.code, code, "{problem}");
        assert!(problem.detail.contains(words), "{}", problem.detail);
    }
    let (world, _dir) = with(&[webhook(&peer, "refuse")]);
    let problem = world.call("web-1", "customer", json!({"name": "A"})).await.unwrap_err();
    assert!(problem.detail.contains("read the secret erp"), "{}", problem.detail);
}

#[tokio::test]
async fn a_service_can_be_a_script() {
    let dir = tempfile::tempdir().unwrap();
    let mut records = estate();
    records.retain(|(_, record)| record["id"] != "web-inventory");
    let own = json!({"id": "own", "channelId": "web", "type": "inventory",
        "implementation": "script", "script": "object = #{twice: object.n * 2};"});
    records.push(("ChannelService", own));
    let world = World::with(&records, engine(dir.path()).0);
    assert_eq!(world.done("inventory", json!({"n": 21})).await, json!({"twice": 42}));
}
