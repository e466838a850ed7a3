//! Definitions of servers that break a rule, met by a box that did not import them itself.

use serde_json::json;
use storebox_proto::estate::{Concern, TRANSACTIONS};

use super::*;

fn service(concern: Concern) -> &'static str {
    TRANSACTIONS.iter().find(|(_, of)| *of == concern).expect("one of each").0
}

#[tokio::test]
async fn a_box_names_the_rules_that_its_definitions_break() {
    let server = |id: &str, kind: &str, all: &str| {
        (
            "Server",
            json!({"id": id, "name": id, "address": format!("http://{id}:8080"), "priority": 10,
            "serverType": kind, "allOrganizations": "Y", "allServices": all, "serviceSelection": "only"}),
        )
    };
    let entry = |id: &str, name: &str| {
        ("ServerService", json!({"id": id, "serverId": "shop", "serviceId": name}))
    };
    let (customers, cash_ups) = (service(Concern::Customers), service(Concern::CashUps));
    let mut plan = Site::plan(0, Http::default());
    plan.estate = vec![
        (
            "Preference",
            json!({"id": "p", "property": "OBMOBC_MultiServerArchitecture", "value": "Y"}),
        ),
        server("main", "MAIN", "Y"),
        server("shop", "STORE", "N"),
        entry("1", customers),
        entry("2", cash_ups),
    ];
    let site = plan.open().await;
    let rules = site.masterdata.broken_rules();
    for name in ["SRC-32 customers and tickets", "SRC-33 cash-ups only where their tickets are"] {
        assert!(rules.iter().any(|rule| rule.contains(name)), "{name}: {rules:?}");
    }
    site.close().await;
}
