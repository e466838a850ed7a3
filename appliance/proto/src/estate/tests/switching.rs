use serde::Deserialize;

use crate::estate::{Route, Routing, Switch, View};

/// The cases that `console/client/servers.js` is held against too.
const VECTORS: &str = include_str!("../vectors.json");

#[derive(Deserialize)]
struct Vectors {
    view: View,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    what: String,
    address: String,
    timeout_ms: Option<u64>,
    #[serde(default)]
    failed: Vec<(String, String, u64)>,
    #[serde(default)]
    answered: Vec<(String, String)>,
    #[serde(default)]
    now: u64,
    due: Option<Vec<(String, String)>>,
    online: Option<bool>,
    route: Route,
}

fn vectors() -> Vectors {
    serde_json::from_str(VECTORS).unwrap()
}

fn switch() -> Switch {
    Switch::new(vectors().view)
}

#[test]
fn every_case_goes_where_the_list_says() {
    for case in vectors().cases {
        let mut switch = switch();
        case.failed.iter().for_each(|(server, service, at)| switch.failed(server, service, *at));
        case.answered.iter().for_each(|(server, service)| switch.answered(server, service));
        assert_eq!(switch.route(&case.address, case.timeout_ms), case.route, "{}", case.what);
        if let Some(due) = case.due {
            assert_eq!(switch.due(case.now), due, "{}", case.what);
        }
        if let Some(online) = case.online {
            assert_eq!(switch.is_online(), online, "{}", case.what);
        }
    }
}

#[test]
fn src_06_only_the_word_of_a_main_server_settles() {
    let route = switch().route("/v1/transactions", None);
    assert_eq!(route.authoritative.as_deref(), Some("main"));
    assert_eq!(route.servers[0], "store", "which takes it and passes it on");
}

#[test]
fn src_14_the_next_server_is_asked_when_one_does_not_answer() {
    let mut switch = switch();
    assert_eq!(switch.route("/v1/models", None).servers, ["store", "main"]);
    switch.failed("store", "v1/models", 0);
    assert_eq!(switch.route("/v1/models", None).servers, ["main", "store"]);
}

#[test]
fn src_15_a_silent_server_is_looked_at_until_it_is_back() {
    let mut switch = switch();
    let (mut now, mut looks) = (0, Vec::new());
    for _ in 0..9 {
        switch.failed("store", "v1/models", now);
        let waited = (0..).find(|waited| !switch.due(now + waited).is_empty()).unwrap();
        looks.push(waited);
        now += waited;
    }
    assert_eq!(looks, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
    switch.answered("store", "v1/models");
    assert_eq!(switch.route("/v1/models", None).servers, ["store", "main"]);
}

#[test]
fn src_29_broadcasts_and_pings_go_to_silent_servers_too() {
    let mut switch = switch();
    switch.failed("store", "*", 0);
    assert_eq!(switch.route("/v1/terminal/idle", None).servers, ["store", "main"]);
    assert_eq!(switch.route("/healthz", None).servers, ["store", "main"]);
    assert_eq!(switch.route("/healthz", None).routing, Routing::Ping);
}

#[test]
fn src_31_products_come_from_here_and_partners_from_there() {
    let switch = switch();
    assert_eq!(switch.route("/v1/models/Product", None).servers[0], "store");
    assert_eq!(switch.route("/v1/models/BusinessPartner", None).servers[0], "main");
}

#[test]
fn src_34_copies_go_to_several_servers_and_one_is_authoritative() {
    let route = switch().route("/v1/transactions", None);
    assert_eq!(
        (route.copies, route.authoritative.as_deref()),
        (vec!["archive".to_owned()], Some("main"))
    );
    assert!(route.keep_first, "each has its own cursor in what is kept");
}
