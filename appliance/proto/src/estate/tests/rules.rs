use serde_json::json;

use super::Records;
use crate::estate::{Catalogue, Routing, Switch, refresh_after_ms};

#[test]
fn src_07_exactly_one_main_server_is_authoritative_for_each_service() {
    let two = Records::enabled().server("a", 10, "MAIN").server("b", 20, "MAIN");
    assert!(two.broken()[0].contains("SRC-07"), "{:?}", two.broken());
    let switch = Switch::new(two.read().0.view(None).unwrap());
    let route = switch.route("/v1/transactions", None);
    assert_eq!(route.authoritative.as_deref(), Some("a"), "at run time the first one counts");
    let none = Records::enabled().server("box", 10, "STORE");
    assert!(none.broken()[0].contains("SRC-07"), "{:?}", none.broken());
    let apart = Records::enabled()
        .organisation("s1", None)
        .organisation("s2", None)
        .narrow("a", 10, "MAIN", "except")
        .narrow("b", 10, "MAIN", "except")
        .assign("a", "s1")
        .assign("b", "s2");
    assert_eq!(apart.broken(), Vec::<String>::new(), "one for each store is one");
}

#[test]
fn src_16_a_token_is_refreshed_for_ever_and_not_by_all_at_once() {
    assert_eq!(refresh_after_ms(None, 0, 0), 30 * 60_000);
    assert_eq!(refresh_after_ms(Some(3), 0, 0), 10 * 60_000, "never more often than that");
    assert!(refresh_after_ms(None, 0, 255) < refresh_after_ms(None, 0, 0));
    let waits: Vec<_> = (1..200).map(|failures| refresh_after_ms(None, failures, 0)).collect();
    assert!(
        waits.is_sorted() && waits[0] == 5000 && waits[198] == 30 * 60_000,
        "it never gives up"
    );
}

#[test]
fn src_27_services_come_with_the_program_and_only_their_times_are_set() {
    let record = json!({"id": "s", "name": "v1/transactions", "routing": "Broadcast"});
    let records = Records::enabled().with("Service", record);
    assert!(records.broken()[0].contains("comes with the program"), "{:?}", records.broken());
    let record = json!({"id": "s", "name": "v1/transactions", "timeout": 4000});
    let estate = Records::enabled().with("Service", record).estate();
    let service = estate.services.find("http://main/v1/transactions").unwrap();
    assert_eq!((service.routing, service.timeouts.timeout), (Routing::Transaction, Some(4000)));
    let module = json!({"id": "m", "name": "loyalty/points", "routing": "Failover"});
    let estate = Records::enabled().with("Service", module).estate();
    assert_eq!(estate.services.name_of("m"), Some("loyalty/points"));
}

#[test]
fn src_28_a_service_is_part_of_an_address_and_the_longest_wins() {
    let catalogue = Catalogue::default();
    let name = |address: &str| catalogue.find(address).map(|service| service.name.as_str());
    assert_eq!(name("http://a/v1/models/Brand/records"), Some("v1/models"));
    assert_eq!(name("http://a/v1/models/Product/records"), Some("v1/models/Product"));
    assert_eq!(name("http://a/pos/v1/models/ProductPrice"), Some("v1/models/Product"));
    assert_eq!(name("http://a/other"), None);
}

#[test]
fn src_29_there_are_four_ways_and_what_is_not_known_is_failover() {
    let words = ["Failover", "BROADCAST", "transaction", "Ping", "multicast"];
    let wanted = [
        Routing::Failover,
        Routing::Broadcast,
        Routing::Transaction,
        Routing::Ping,
        Routing::Failover,
    ];
    assert_eq!(words.map(Routing::read), wanted);
}

#[test]
fn src_30_times_come_from_the_override_then_the_administrator_then_the_module_then_the_caller() {
    let mut record = json!({"id": "s", "name": "x/y", "overrideTimeout": "Y", "timeoutOverride": 1,
        "timeout": 2, "defaultTimeout": 3});
    let mut seen = Vec::new();
    for field in ["overrideTimeout", "timeout", "defaultTimeout", "name"] {
        let estate = Records::enabled().with("Service", record.clone()).estate();
        seen.push(estate.services.find("/x/y").unwrap().timeouts.choose(Some(4)));
        record.as_object_mut().unwrap().remove(field).unwrap();
    }
    assert_eq!(seen, [Some(1), Some(2), Some(3), Some(4)]);
}

#[test]
fn src_32_customers_and_tickets_go_to_the_same_servers() {
    let records = Records::enabled().server("main", 10, "MAIN").narrow("box", 5, "STORE", "only");
    let records = records
        .with("ServerOrganization", json!({"id": "x", "serverId": "box", "organizationId": "s"}));
    let records = records.organisation("s", None).define("box", "retail.posterminal.OrderLoader");
    let broken = records.broken();
    assert!(
        broken.iter().any(|text| text.contains("SRC-32") && text.contains("CustomerLoader")),
        "{broken:?}"
    );
    let whole = records
        .define("box", "retail.posterminal.CancelLayawayLoader")
        .define("box", "retail.posterminal.CustomerLoader")
        .define("box", "retail.posterminal.CustomerAddrLoader");
    assert_eq!(whole.broken(), Vec::<String>::new());
}

#[test]
fn src_33_a_cash_up_goes_only_where_its_tickets_are() {
    let records = Records::enabled()
        .server("main", 10, "MAIN")
        .organisation("s", None)
        .narrow("box", 5, "STORE", "only")
        .assign("box", "s")
        .define("box", "retail.posterminal.ProcessCashClose");
    let broken = records.broken();
    assert!(
        broken.iter().any(|text| text.contains("SRC-33") && text.contains("\"box\"")),
        "{broken:?}"
    );
}

mod odd {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use crate::estate::{Estate, MODELS, Switch};

    const FIELDS: [&str; 16] = [
        "id",
        "name",
        "address",
        "priority",
        "serverType",
        "allServices",
        "allOrganizations",
        "parentId",
        "serverId",
        "serviceId",
        "organizationId",
        "property",
        "value",
        "routing",
        "timeout",
        "serviceSelection",
    ];

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("a"),
            Just("b"),
            Just("Y"),
            Just("MAIN"),
            Just("http://a"),
            Just("except"),
            Just("OBMOBC_MultiServerArchitecture"),
            Just("v1/models"),
            Just("7"),
            Just(""),
        ];
        prop_oneof![
            4 => text.prop_map(|text| json!(text)),
            1 => any::<i32>().prop_map(|number| json!(number)),
            1 => any::<bool>().prop_map(|truth| json!(truth)),
            1 => Just(json!(null)),
            1 => Just(json!([1])),
        ]
    }

    fn record() -> impl Strategy<Value = (&'static str, Map<String, Value>)> {
        let field = prop::sample::select(&FIELDS[..]).prop_map(str::to_owned);
        let fields = prop::collection::btree_map(field, value(), 0..12);
        let fields = fields.prop_map(|fields| fields.into_iter().collect());
        (prop::sample::select(&MODELS[..]), fields)
    }

    proptest! {
        #[test]
        fn any_records_never_panic_and_route_to_known_servers(
            records in prop::collection::vec(record(), 0..24), address in "\\PC{0,40}",
        ) {
            let (mut estate, _) = Estate::read(records.iter().map(|(model, fields)| (*model, fields)));
            estate.enabled = true;
            estate.lint();
            if let Some(view) = estate.view(Some("a")) {
                let known: Vec<_> = view.servers.iter().map(|server| server.name.clone()).collect();
                let route = Switch::new(view).route(&address, None);
                prop_assert!(route.servers.iter().all(|server| known.contains(server)));
            }
        }
    }
}
