use serde_json::json;

use super::{Records, names};
use crate::estate::{Estate, Selection, Server, ServerType};

#[test]
fn src_01_without_preference_or_servers_there_is_nothing_to_choose() {
    assert_eq!(Estate::default().view(None), None);
    assert_eq!(Records::default().server("main", 10, "MAIN").estate().view(Some("s")), None);
    assert_eq!(Records::enabled().estate().view(Some("s")), None);
    assert!(Records::enabled().server("main", 10, "MAIN").estate().view(Some("s")).is_some());
}

#[test]
fn src_02_the_preference_counts_at_system_level_only() {
    for (field, value) in [("clientId", "c1"), ("organizationId", "o1"), ("roleId", "r1")] {
        let mut preference =
            json!({"id": "p", "property": "OBMOBC_MultiServerArchitecture", "value": "Y"});
        preference[field] = json!(value);
        let records = Records::default().server("main", 10, "MAIN").with("Preference", preference);
        assert_eq!(records.read().0.view(None), None, "{field}");
        assert!(records.broken()[0].contains("SRC-02"), "{:?}", records.broken());
    }
    let no = json!({"id": "p", "property": "OBMOBC_MultiServerArchitecture", "value": "N"});
    assert_eq!(
        Records::default().server("m", 10, "MAIN").with("Preference", no).estate().view(None),
        None
    );
}

#[test]
fn src_03_a_pilot_has_servers_for_its_stores_only() {
    let estate = Records::enabled()
        .organisation("pilot", None)
        .organisation("other", None)
        .narrow("main", 10, "MAIN", "except")
        .assign("main", "pilot")
        .estate();
    assert_eq!(names(&estate, "pilot"), ["main"]);
    assert_eq!(estate.view(Some("other")), None, "the other stores go on as before");
}

#[test]
fn src_04_priorities_ascend() {
    let records = Records::enabled().server("failover", 20, "MAIN").server("main", 10, "MAIN");
    assert_eq!(names(&records.server("b", 20, "STORE").estate(), "s"), ["main", "b", "failover"]);
}

#[test]
fn src_05_a_server_is_main_or_store_or_what_a_module_brings() {
    let read = |word: &str| {
        let record = json!({"id": "1", "name": "n", "address": "http://a", "serverType": word});
        Server::read(record.as_object().unwrap()).unwrap()
    };
    assert_eq!(read("MAIN").server_type, ServerType::Main);
    assert_eq!(read("Store").server_type, ServerType::Store);
    assert_eq!(read("LOYALTY").server_type, ServerType::Other("LOYALTY".to_owned()));
    assert!(read("main").is_main() && !read("LOYALTY").is_main());
}

#[test]
fn src_08_there_need_not_be_a_store_server() {
    let records = Records::enabled().organisation("s1", None).organisation("s2", None);
    let records = records.server("main", 10, "MAIN");
    assert_eq!(records.broken(), Vec::<String>::new());
    assert_eq!(names(&records.estate(), "s2"), ["main"]);
}

#[test]
fn src_09_a_store_server_may_stand_in_the_cloud() {
    let cloud = json!({"id": "c", "name": "cloud", "address": "https://store-7.cloud.example/pos",
        "serverType": "STORE", "allServices": "Y", "allOrganizations": "Y", "priority": 5});
    let records = Records::enabled().server("main", 10, "MAIN").with("Server", cloud);
    assert_eq!(records.broken(), Vec::<String>::new());
    assert_eq!(names(&records.estate(), "s"), ["cloud", "main"]);
}

#[test]
fn src_10_one_store_server_may_serve_several_stores() {
    let records =
        Records::enabled().server("main", 10, "MAIN").narrow("mall", 5, "STORE", "except");
    let estate = records.assign("mall", "s1").assign("mall", "s2").estate();
    assert_eq!(names(&estate, "s1"), ["mall", "main"]);
    assert_eq!(names(&estate, "s2"), ["mall", "main"]);
    assert_eq!(names(&estate, "s3"), ["main"]);
}

#[test]
fn src_17_no_secret_is_part_of_an_address() {
    for address in [
        "http://user:secret@main",
        "http://main/?token=1",
        "http://main/#t",
        "main",
        "ftp://m",
        "http://",
    ] {
        let record = json!({"id": "1", "name": "n", "address": address});
        let finding = Server::read(record.as_object().unwrap()).unwrap_err();
        assert!(finding.to_string().contains("field address"), "{finding}");
        assert!(!finding.to_string().contains("secret"), "{finding}");
    }
}

#[test]
fn src_18_one_address_may_stand_for_a_cluster() {
    let record =
        json!({"id": "1", "name": "cluster", "address": "https://balancer.example:8443/pos"});
    assert!(Server::read(record.as_object().unwrap()).is_ok());
    let estate = Records::enabled().server("cluster", 10, "MAIN").estate();
    let switch = crate::estate::Switch::new(estate.view(None).unwrap());
    let route = || switch.route("http://x/v1/models/Product", None);
    assert_eq!(route(), route(), "nothing is remembered between two requests that both succeed");
}

#[test]
fn src_19_a_server_has_the_fields_of_the_original() {
    let record = json!({"id": "1", "name": "Main", "url": "http://main", "priority": "15", "serverType": "MAIN",
        "allOrganizations": "Y", "allServices": "N", "active": "Y"});
    let server = Server::read(record.as_object().unwrap()).unwrap();
    assert_eq!((server.name.as_str(), server.address.as_str()), ("Main", "http://main"));
    assert_eq!((server.priority, server.is_main()), (15, true));
    assert!(server.all_organisations && !server.all_services && server.active);
    let estate = Records::enabled().server("main", 10, "MAIN").estate();
    let view = serde_json::to_value(estate.view(None).unwrap()).unwrap();
    for field in ["name", "address", "online", "priority", "allServices", "mainServer", "services"]
    {
        assert!(!view["servers"][0][field].is_null(), "{field}: {view}");
    }
    let away = json!({"id": "2", "name": "old", "address": "http://old", "active": "N", "allOrganizations": "Y"});
    assert_eq!(
        names(&Records::enabled().server("main", 10, "MAIN").with("Server", away).estate(), "s"),
        ["main"]
    );
}

#[test]
fn src_20_a_server_has_the_further_fields_too() {
    let record = json!({"id": "1", "name": "n", "address": "http://a", "mobileServerKey": "K7",
        "pingService": "healthz", "triggerState": "N", "status": "ON", "offlineLog": "Y",
        "updated": "2026-11-22T10:00:00Z", "allOrganizations": true, "allServices": true});
    let server = Server::read(record.as_object().unwrap()).unwrap();
    assert_eq!(server.key.as_deref(), Some("K7"));
    assert_eq!(server.ping_service.as_deref(), Some("healthz"));
    assert_eq!((server.triggers_state, server.offline_log), (false, true));
    assert_eq!(server.status.as_deref(), Some("ON"));
    assert_eq!(server.updated.as_deref(), Some("2026-11-22T10:00:00Z"));
    let view = Records::enabled().with("Server", record).estate().view(None).unwrap();
    let view = serde_json::to_value(&view.servers[0]).unwrap();
    assert_eq!((&view["mobileServerKey"], &view["triggerState"]), (&json!("K7"), &json!(false)));
}

#[test]
fn src_21_a_server_may_be_for_all_organisations() {
    let estate = Records::enabled().server("main", 10, "MAIN").estate();
    assert_eq!(names(&estate, "any"), ["main"]);
    assert!(estate.view(None).is_some(), "a terminal whose organisation nobody knows");
}

#[test]
fn src_22_servers_and_organisations_are_many_to_many() {
    let records =
        Records::enabled().narrow("a", 1, "STORE", "except").narrow("b", 2, "STORE", "except");
    let records = records.assign("a", "s1").assign("a", "s2").assign("b", "s2").assign("b", "s3");
    let estate = records.estate();
    assert_eq!(names(&estate, "s1"), ["a"]);
    assert_eq!(names(&estate, "s2"), ["a", "b"]);
    assert_eq!(names(&estate, "s3"), ["b"]);
}

#[test]
fn src_23_a_parent_covers_its_children_and_a_circle_is_refused() {
    let records = Records::enabled()
        .organisation("chain", None)
        .organisation("north", Some("chain"))
        .organisation("s1", Some("north"))
        .organisation("s2", Some("chain"))
        .narrow("box", 1, "STORE", "except")
        .assign("box", "north");
    let estate = records.estate();
    assert_eq!(names(&estate, "s1"), ["box"]);
    assert_eq!(names(&estate, "s2"), Vec::<String>::new());
    assert_eq!(names(&estate, "chain"), Vec::<String>::new(), "a child does not cover its parent");
    let circle = Records::enabled().organisation("a", Some("b")).organisation("b", Some("a"));
    assert!(circle.broken()[0].contains("SRC-23"), "{:?}", circle.broken());
    assert_eq!(circle.read().0.organisations.lineage("a"), ["a", "b"], "and is walked once");
}

#[test]
fn src_24_a_server_may_take_all_services() {
    let estate = Records::enabled().server("main", 10, "MAIN").estate();
    assert!(
        estate.offers(&estate.servers[0], "v1/models") && estate.offers(&estate.servers[0], "new")
    );
}

#[test]
fn src_25_the_defined_services_are_taken_or_left() {
    let records =
        Records::enabled().narrow("only", 1, "STORE", "only").narrow("but", 2, "STORE", "except");
    let estate = records.define("only", "v1/models").define("but", "v1/models").estate();
    let [only, but] = &estate.servers[..] else { panic!("two servers") };
    assert_eq!((only.selection, but.selection), (Selection::Only, Selection::Except));
    assert!(estate.offers(only, "v1/models") && !estate.offers(only, "v1/documents"));
    assert!(!estate.offers(but, "v1/models") && estate.offers(but, "v1/documents"));
}

#[test]
fn src_26_services_are_listed_by_server() {
    let records = Records::enabled().narrow("a", 1, "STORE", "only").define("a", "v1/models");
    let view = records
        .define("a", "v1/documents")
        .with("ServerOrganization", json!({"id": "x", "serverId": "a", "organizationId": "s"}))
        .estate()
        .view(Some("s"));
    assert_eq!(view.unwrap().servers[0].services, ["v1/documents", "v1/models"]);
    let wrong = Records::enabled().narrow("a", 1, "STORE", "only").define("a", "nonsense");
    assert!(wrong.broken()[0].contains("not defined"), "{:?}", wrong.broken());
}
