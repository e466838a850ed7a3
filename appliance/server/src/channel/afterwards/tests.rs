use std::task::Poll;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::channel::engine::tests::engine;
use crate::channel::peer::Peer;
use crate::channel::world::{World, estate, key};
use crate::masterdata::Masterdata;
use crate::replica::readers::Readers;
use crate::supervise::Supervisor;

/// A shop with one hook after the commit.
struct Shop {
    world: World,
    runner: Runner,
    afterwards: Afterwards,
    dir: TempDir,
}

fn open(hook: Value) -> Shop {
    open_with(&[hook])
}

fn open_with(hooks: &[Value]) -> Shop {
    let dir = tempfile::tempdir().unwrap();
    let mut records = estate();
    records.extend(hooks.iter().map(|hook| ("Hook", hook.clone())));
    let (hooks, runner, afterwards) = engine(dir.path());
    Shop { world: World::with(&records, hooks), runner, afterwards, dir }
}

fn told(peer: &Peer, path: &str) -> Value {
    json!({"id": "h1", "channelId": "web", "type": "after-complete", "entity": "Customer",
        "implementation": "webhook", "webhook": {"url": peer.url(path), "timeoutMs": 500}})
}

impl Shop {
    fn start(&self) -> Supervisor {
        self.start_with(&self.world.masterdata)
    }

    fn start_with(&self, masterdata: &Masterdata) -> Supervisor {
        let supervisor = Supervisor::new();
        let book = Arc::new(Book::new(masterdata.clone()));
        let (runner, outbox) = (self.runner.clone(), self.world.outbox.clone());
        let afterwards = self.afterwards.clone();
        supervisor.spawn_owner("test", |stop| afterwards.run(runner, book, outbox, stop));
        supervisor
    }

    async fn await_count(&self, expected: (usize, usize)) {
        self.until(|afterwards| afterwards.count() == expected).await;
    }

    async fn until(&self, holds: impl Fn(&Afterwards) -> bool) {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let looks = async {
            while !holds(&self.afterwards) {
                ticks.tick().await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(60), looks).await;
        assert!(done.is_ok(), "{:?} wait", self.afterwards.count());
    }
}

#[tokio::test]
async fn a_hook_after_the_commit_is_told_again_until_it_is_heard_and_the_sale_does_not_wait() {
    let peer = Peer::open().await;
    peer.answer("erp", 503, "later".to_owned());
    let shop = open(told(&peer, "erp"));
    let made = shop.world.done("customer", json!({"name": "Ada"})).await;
    assert_eq!(shop.afterwards.count(), (1, 0));
    let supervisor = shop.start();
    let first = peer.heard().await;
    assert_eq!(first.body["object"]["id"], made["id"]);
    peer.answer("erp", 200, String::new());
    let second = peer.heard().await;
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    shop.await_count((0, 0)).await;
    assert!(std::fs::read_dir(shop.dir.path().join("hooks")).unwrap().next().is_none());
    supervisor.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_hook_that_always_fails_waits_for_a_person_and_the_sale_stands() {
    let hook = json!({"id": "h1", "channelId": "web", "type": "after-complete",
        "entity": "Customer", "implementation": "script", "script": "loop {}"});
    let shop = open(hook);
    shop.world.done("customer", json!({"name": "Ada"})).await;
    let id = shop.afterwards.list(10)[0].id.clone();
    let supervisor = shop.start();
    shop.await_count((1, 1)).await;
    let waiting = shop.afterwards.list(10).remove(0);
    assert_eq!(waiting.errand.attempts, TRIES_MAX);
    assert!(waiting.errand.error.unwrap().starts_with("is stopped"));
    assert_eq!(shop.world.outbox.figures().await.unwrap().accepted, 1);
    shop.afterwards.give_up(&id).await.unwrap();
    assert_eq!(shop.afterwards.count(), (0, 0));
    assert!(shop.afterwards.retry(&id).await.is_err());
    supervisor.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn after_a_crash_what_was_committed_runs_and_what_was_not_is_forgotten() {
    let peer = Peer::open().await;
    peer.answer("erp", 200, String::new());
    let shop = open(told(&peer, "erp"));
    let made = shop.world.done("customer", json!({"name": "Ada"})).await;
    let context = shop.world.context("web-1").unwrap();
    let hook = context.definitions.hooks("web").next().unwrap().clone();
    let point = crate::channel::Point {
        stage: storebox_proto::estate::channel::Stage::AfterComplete,
        service: storebox_proto::estate::channel::ServiceType::Customer,
        entity: None,
    };
    let facts = Facts::at(&context, point);
    shop.afterwards.write_down(&hook, facts, &json!({"id": "never"}), key(9), 1).await;
    assert_eq!(shop.afterwards.count().0, 2);
    let again = Afterwards::open(&shop.dir.path().join("hooks")).unwrap();
    let shop = Shop { afterwards: again, ..shop };
    let supervisor = shop.start();
    assert_eq!(peer.heard().await.body["object"]["id"], made["id"]);
    shop.await_count((0, 0)).await;
    assert!(peer.is_quiet().await);
    supervisor.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_program_that_answers_in_its_own_words_is_told_once() {
    let peer = Peer::open().await;
    for answer in ["OK", "[]", r#"{"thanks": true}"#] {
        peer.answer("erp", 200, answer.to_owned());
        let shop = open(told(&peer, "erp"));
        shop.world.done("customer", json!({"name": "Ada"})).await;
        let supervisor = shop.start();
        peer.heard().await;
        shop.await_count((0, 0)).await;
        assert!(peer.is_quiet().await, "{answer}");
        supervisor.stop(Duration::from_secs(5)).await;
    }
    peer.answer("erp", 200, r#"{"refuse": "no"}"#.to_owned());
    let shop = open(told(&peer, "erp"));
    shop.world.done("customer", json!({"name": "Ada"})).await;
    let supervisor = shop.start();
    peer.heard().await;
    shop.until(|afterwards| afterwards.list(1)[0].errand.attempts == 1).await;
    supervisor.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn while_the_estate_cannot_be_read_nothing_is_forgotten() {
    let peer = Peer::open().await;
    peer.answer("erp", 200, String::new());
    let shop = open(told(&peer, "erp"));
    shop.world.done("customer", json!({"name": "Ada"})).await;
    let supervisor = shop.start_with(&Masterdata::new(Readers::new()));
    let rests = |slot: &Slot| matches!(slot.state, State::Due { at } if at > env::instant());
    shop.until(|afterwards| afterwards.count().0 == 0 || afterwards.slots().any(rests)).await;
    assert_eq!(shop.afterwards.count(), (1, 0));
    assert!(peer.is_quiet().await);
    supervisor.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_is_proven_to_be_committed_is_told_though_the_outbox_has_forgotten_it() {
    let peer = Peer::open().await;
    peer.answer("erp", 503, "later".to_owned());
    let shop = open(told(&peer, "erp"));
    for name in ["Ada", "Bob"] {
        shop.world.done("customer", json!({"name": name})).await;
    }
    let supervisor = shop.start();
    peer.heard().await;
    shop.until(|afterwards| afterwards.list(9).iter().all(|waiting| waiting.errand.is_proven))
        .await;
    supervisor.stop(Duration::from_secs(5)).await;
    let forgetful = open(told(&peer, "erp"));
    let afterwards = Afterwards::open(&shop.dir.path().join("hooks")).unwrap();
    let again = Shop { afterwards, ..forgetful };
    peer.answer("erp", 200, String::new());
    assert_eq!(again.afterwards.count(), (2, 0));
    while !peer.is_quiet().await {}
    let supervisor = again.start();
    let names =
        [peer.heard().await, peer.heard().await].map(|heard| heard.body["object"]["name"].clone());
    assert_eq!(BTreeSet::from(names.map(|name| name.to_string())).len(), 2);
    again.await_count((0, 0)).await;
    supervisor.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_during_the_commit_costs_its_hook_nothing() {
    let peer = Peer::open().await;
    peer.answer("erp", 200, String::new());
    let shop = open(told(&peer, "erp"));
    let context = shop.world.context("web-1").unwrap();
    let ask = json!({"name": "Ada"});
    let mut call =
        Box::pin(shop.world.channels.execute("customer", ask, &context, Default::default()));
    // Whoever looks at the outbox is answered behind what was handed in before.
    while shop.world.outbox.figures().await.unwrap().accepted == 0 {
        let polled = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "the caller was answered already");
    }
    drop(call);
    let supervisor = shop.start();
    assert_eq!(peer.heard().await.body["object"]["name"], "Ada");
    shop.await_count((0, 0)).await;
    supervisor.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_hook_that_hangs_delays_only_itself() {
    let peer = Peer::open().await;
    peer.answer("fast", 200, String::new());
    let shop = open_with(&["hangs", "fast"].map(|path| {
        let mut hook = told(&peer, path);
        (hook["id"], hook["webhook"]["timeoutMs"]) = (json!(path), json!(30_000));
        hook
    }));
    for name in ["Ada", "Bob", "Eve"] {
        shop.world.done("customer", json!({"name": name})).await;
    }
    let supervisor = shop.start();
    shop.await_count((3, 0)).await;
    let heard = [(); 4].map(|()| peer.heard());
    futures_util::future::join_all(heard).await;
    assert!(shop.afterwards.list(9).iter().all(|waiting| waiting.errand.attempts == 0));
    supervisor.stop(Duration::from_secs(5)).await;
}

#[test]
fn a_damaged_errand_is_set_aside_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.json"), b"{").unwrap();
    let afterwards = Afterwards::open(dir.path()).unwrap();
    assert_eq!(afterwards.count(), (0, 0));
    assert!(dir.path().join("x.damaged").exists());
}

#[tokio::test]
async fn a_hook_whose_target_is_dead_leaves_the_others_their_share_of_the_room() {
    let peer = Peer::open().await;
    let hooks = ["dead", "addresses"].map(|path| {
        let mut hook = told(&peer, path);
        hook["id"] = json!(path);
        hook
    });
    let shop = open_with(&hooks);
    let context = shop.world.context("web-1").unwrap();
    let point = crate::channel::Point {
        stage: storebox_proto::estate::channel::Stage::AfterComplete,
        service: storebox_proto::estate::channel::ServiceType::Customer,
        entity: Some(storebox_proto::query::Entity::Customer),
    };
    let afterwards = Afterwards::bounded(&shop.dir.path().join("few"), 40).unwrap();
    let write = async |hook: &str, number: u64| {
        let hook = context.definitions.hooks("web").find(|one| one.id == hook).unwrap();
        let defined = context.definitions.hooks_after_commit();
        let facts = Facts::at(&context, point);
        afterwards.write_down(hook, facts, &json!({}), key(number), defined).await;
    };
    for number in 0..100 {
        write("dead", number).await;
    }
    assert_eq!((afterwards.count().0, afterwards.missed()), (30, 70));
    for number in 0..20 {
        write("addresses", number).await;
    }
    assert_eq!((afterwards.count().0, afterwards.missed()), (40, 80));
    // What is written down again takes no further room, and what goes makes some.
    write("dead", 0).await;
    assert_eq!((afterwards.count().0, afterwards.missed()), (40, 80));
    afterwards.give_up(&folder::name(key(0), "dead")).await.unwrap();
    write("dead", 200).await;
    assert_eq!((afterwards.count().0, afterwards.missed()), (40, 80));
}
