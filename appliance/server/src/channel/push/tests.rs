mod clients;
mod week;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use storebox_proto::time::Timestamp;
use tempfile::TempDir;

use super::store::Store;
use super::*;
use crate::channel::peer::Peer;
use crate::channel::world::{World, estate};
use crate::db::SegmentStore;
use crate::replica::board::Board;
use crate::supervise::Supervisor;

fn at() -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000)
}

fn ids(store: &Store, push: &str) -> Vec<String> {
    store.waiting(push, 0, 100).unwrap().into_iter().map(|record| record.id).collect()
}

#[test]
fn what_changes_again_before_it_is_told_is_one_record_and_a_late_change_survives_the_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap().0;
    for id in ["1", "2", "1", "3", "1"] {
        store.note("p", id, Happened::Changed, at()).unwrap();
    }
    assert_eq!((ids(&store, "p"), store.count("p")), (vec!["2".into(), "3".into(), "1".into()], 3));
    let read = store.waiting("p", 0, 100).unwrap();
    store.note("p", "3", Happened::Removed, at()).unwrap();
    let last = Last { at: at(), number: 5, count: 3 };
    store.delivered("p", &read, last.clone()).unwrap();
    assert_eq!((ids(&store, "p"), store.count("p")), (vec!["3".to_owned()], 1));
    drop(store);
    let store = Store::open(dir.path()).unwrap().0;
    let left = store.waiting("p", 0, 100).unwrap();
    assert_eq!((left[0].event, store.count("p")), (Happened::Removed, 1));
    assert_eq!(store.course("p").unwrap().last, Some(last));
    store.note("p", "4", Happened::Changed, at()).unwrap();
    assert!(store.waiting("p", left[0].number, 100).unwrap()[0].number > left[0].number);
    store.reset("p", at()).unwrap();
    assert_eq!((ids(&store, "p"), store.count("p")), (vec![String::new()], 1));
    store.forget("p").unwrap();
    assert_eq!((store.count("p"), ids(&store, "p").len()), (0, 0));
}

/// A shop whose tickets are pushed.
struct Shop {
    world: World,
    pushes: Pushes,
    dir: TempDir,
}

fn open(definition: Value) -> Shop {
    open_at(definition, clock::real())
}

fn open_at(definition: Value, clock: Clock) -> Shop {
    open_with(&[definition], clock)
}

fn open_with(definitions: &[Value], clock: Clock) -> Shop {
    let dir = tempfile::tempdir().unwrap();
    let mut records = estate();
    records.extend(definitions.iter().map(|one| ("PushDefinition", one.clone())));
    let world = World::open(&records);
    let pushes = Pushes::open(&dir.path().join("pushes"), parts(&world, &dir, clock)).unwrap();
    Shop { world, pushes, dir }
}

fn parts(world: &World, dir: &TempDir, clock: Clock) -> Parts {
    let signer = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let segments = SegmentStore::open(&dir.path().join("segments")).unwrap();
    Parts {
        channels: world.channels.clone(),
        changes: TillChanges::new(Board::new([]), segments),
        documents: world.documents.clone(),
        webhooks: Webhooks::new(signer, dir.path().join("secrets")).unwrap(),
        clock,
    }
}

impl Shop {
    fn look(&self) {
        gather::look(&self.pushes.inner).unwrap();
    }

    async fn sell(&self, number: &str) -> Value {
        let ticket = json!({"documentNo": number, "lines": [{"productId": "1", "quantity": 1}]});
        self.world.done("ticket", ticket).await["id"].clone()
    }

    /// What a client that comes anew is told.
    fn told(&self) -> Vec<Told> {
        self.pushes.tell("web", &BTreeMap::new()).unwrap()
    }

    fn events(&self) -> Vec<(Value, Value)> {
        self.told().iter().map(|told| (json!(told.event), json!(told.id))).collect()
    }
}

#[tokio::test]
async fn a_client_hears_what_fits_and_nothing_again_that_it_has_taken() {
    let only = json!([{"fieldName": "documentNo", "operator": "startsWith", "value": "WEB"}]);
    let shop = open(json!({"id": "p1", "channelId": "web", "entity": "Ticket", "delivery": "sse",
        "content": "full", "where": only}));
    shop.look();
    assert_eq!(shop.events(), [(json!("reset"), json!(""))]);
    let (first, _) = (shop.sell("WEB/1").await, shop.sell("POS/1").await);
    let payment = json!({"ticketId": first, "payments": [{"amount": "1"}]});
    shop.world.done("ticket-pay", payment).await;
    shop.look();
    assert_eq!(shop.events(), [(json!("reset"), json!("")), (json!("changed"), first.clone())]);
    let told = shop.told();
    let object = told[1].object.as_ref().unwrap();
    assert_eq!(object["documentNo"], "WEB/1");
    assert_eq!(object["payments"][0]["payments"][0]["amount"], "1", "{object}");
    assert!(shop.pushes.tell("kiosk", &BTreeMap::new()).unwrap().is_empty());
    shop.pushes.taken("web", told[1].number).unwrap();
    assert!(shop.events().is_empty());
    let status = shop.pushes.status().unwrap();
    assert_eq!((status[0].waiting, status[0].last.as_ref().unwrap().count), (0, 2));
    shop.look();
    assert!(shop.events().is_empty());
}

#[tokio::test]
async fn a_target_that_was_away_gets_everything_once_and_what_it_refuses_waits_for_a_person() {
    let peer = Peer::open().await;
    peer.answer("erp", 503, "later".to_owned());
    let shop = open(json!({"id": "p1", "channelId": "web", "entity": "Ticket",
        "delivery": "webhook", "webhook": {"url": peer.url("erp")}, "parameters": {"shop": 7}}));
    let supervisor = Supervisor::new();
    let (pushes, outbox) = (shop.pushes.clone(), shop.world.outbox.clone());
    supervisor.spawn_owner("test", |stop| pushes.run(outbox, stop));
    let first = peer.heard().await;
    assert_eq!(first.body["events"][0]["event"], "reset");
    assert_eq!(first.body["parameters"]["shop"], 7);
    let (one, two) = (shop.sell("WEB/1").await, shop.sell("WEB/2").await);
    peer.answer("erp", 200, String::new());
    let mut told: Vec<String> = Vec::new();
    while !told.iter().any(|id| json!(id) == two) {
        let events = peer.heard().await.body["events"].clone();
        let each = events.as_array().unwrap().iter();
        told.extend(each.map(|event| event["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(told.iter().filter(|id| json!(id) == one).count(), 1, "{told:?}");
    peer.answer("erp", 422, "no such article".to_owned());
    let refused = shop.sell("WEB/3").await;
    let status = await_dead(&shop).await;
    assert_eq!(json!(status.dead[0].0.id), refused);
    assert!(status.dead[0].1.contains("no such article"), "{:?}", status.dead);
    while !peer.is_quiet().await {}
    peer.answer("erp", 200, String::new());
    assert_eq!(shop.pushes.retry("p1").unwrap(), 1);
    assert_eq!(peer.heard().await.body["events"][0]["id"], refused);
    supervisor.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_target_that_answers_in_its_own_words_has_taken_everything_once() {
    let peer = Peer::open().await;
    peer.answer("erp", 200, "OK".to_owned());
    let shop = open(json!({"id": "p1", "channelId": "web", "entity": "Ticket",
        "delivery": "webhook", "webhook": {"url": peer.url("erp")}}));
    shop.look();
    let inner = &shop.pushes.inner;
    let push = courier::due(inner, inner.now(), &Default::default()).await.remove(0);
    courier::deliver_one(inner, &push).await.unwrap();
    assert_eq!(peer.heard().await.body["events"][0]["event"], "reset");
    assert!(peer.is_quiet().await, "it is told once");
    let status = shop.pushes.status().unwrap().remove(0);
    assert_eq!((status.waiting, status.dead, status.error), (0, vec![], None));
}

#[tokio::test]
async fn a_target_that_is_slow_keeps_nobody_else_waiting() {
    let peer = Peer::open().await;
    peer.answer("fast", 200, String::new());
    let to = |id: &str| {
        json!({"id": id, "channelId": "web", "entity": "Ticket", "delivery": "webhook",
            "webhook": {"url": peer.url(id), "timeoutMs": 30_000}})
    };
    let live = json!({"id": "live", "channelId": "web", "entity": "Ticket", "delivery": "sse"});
    let shop = open_with(&[to("a-hangs"), to("fast"), live], clock::real());
    let supervisor = Supervisor::new();
    let (pushes, outbox) = (shop.pushes.clone(), shop.world.outbox.clone());
    supervisor.spawn_owner("test", |stop| pushes.run(outbox, stop));
    while peer.heard().await.body["push"] != "a-hangs" {}
    let sold = shop.sell("WEB/1").await;
    let has = |heard: Value| heard.as_array().unwrap().iter().any(|event| event["id"] == sold);
    while !has(peer.heard().await.body["events"].clone()) {}
    assert!(shop.events().iter().any(|(_, id)| *id == sold));
    let hanging = shop.pushes.inner.store.course("a-hangs").unwrap();
    assert_eq!(hanging.error, None, "its call is still under way");
    supervisor.stop(Duration::from_secs(5)).await;
}

async fn await_dead(shop: &Shop) -> PushStatus {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let looks = async {
        loop {
            let status = shop.pushes.status().unwrap().remove(0);
            if !status.dead.is_empty() {
                return status;
            }
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looks).await.unwrap()
}

#[tokio::test]
async fn a_definition_that_is_gone_leaves_nothing_and_a_crash_repeats_rather_than_leaves_out() {
    let shop = open(json!({"id": "p1", "channelId": "web", "entity": "Ticket", "delivery": "sse",
        "frequency": 5}));
    shop.look();
    let number = shop.told()[0].number;
    shop.pushes.taken("web", number).unwrap();
    shop.sell("WEB/1").await;
    shop.look();
    assert_eq!(shop.pushes.status().unwrap()[0].waiting, 1);
    assert!(shop.events().is_empty(), "five minutes are not over");
    shop.pushes.inner.store.amend("p1", |course| course.documents = 0).unwrap();
    shop.look();
    assert_eq!(shop.pushes.status().unwrap()[0].waiting, 1);
    shop.pushes.inner.store.note("old", "1", Happened::Changed, at()).unwrap();
    shop.pushes.inner.store.amend("old", |_| {}).unwrap();
    shop.look();
    assert_eq!(shop.pushes.inner.store.count("old"), 0);
    assert_eq!(Arc::strong_count(&shop.pushes.inner), 1);
}
