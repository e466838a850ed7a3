mod document;
mod next_door;
mod trust;
mod walk;

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use storebox_proto::time::Timestamp;

use super::*;
use crate::config::{self, Origin, Override};
use crate::http::auth::{Door, door};
use crate::terminal::access::Kind;

/// Who may reach which documented path; a new route must be entered here on purpose.
const ROUTES: &[(&str, Door)] = &[
    ("/enrol/v1/code/proof", Door::Open),
    ("/enrol/v1/code/share", Door::Open),
    ("/enrol/v1/renewal", Door::Open),
    ("/enrol/v1/request", Door::Open),
    ("/enrol/v1/request/answer", Door::Open),
    ("/enrol/v1/request/nonce", Door::Open),
    ("/enrol/v1/root.pem", Door::Open),
    ("/enrol/v1/slip", Door::Open),
    ("/healthz", Door::Open),
    ("/metrics", Door::Watcher),
    ("/readyz", Door::Open),
    ("/sync/v1/feeds", Door::Node),
    ("/sync/v1/feeds/{feed}/head", Door::Node),
    ("/sync/v1/heartbeat", Door::Node),
    ("/sync/v1/receipt-key", Door::Node),
    ("/sync/v1/history", Door::Node),
    ("/sync/v1/objects/{name}", Door::Node),
    ("/sync/v1/mirror/{node}/copies", Door::Node),
    ("/sync/v1/mirror/{node}/keys", Door::Node),
    ("/sync/v1/mirror/{node}/release", Door::Node),
    ("/sync/v1/mirror/{node}/terminals", Door::Node),
    ("/sync/v1/mirror/{node}/terminals/asks", Door::Node),
    ("/sync/v1/next-door/{node}", Door::Node),
    ("/sync/v1/relay", Door::Node),
    ("/sync/v1/rings", Door::Node),
    ("/sync/v1/transactions", Door::Node),
    ("/sync/v1/transactions/{key}", Door::Node),
    ("/sync/v1/visit", Door::Node),
    ("/v1/adopt", Door::Operator),
    ("/v1/boxes", Door::Operator),
    ("/v1/boxes/{name}/knock", Door::Operator),
    ("/v1/boxes/{name}/look", Door::Operator),
    ("/v1/visit", Door::Operator),
    ("/v1/visit/close", Door::Operator),
    ("/v1/changes", Door::Shop),
    ("/v1/channel/push", Door::Shop),
    ("/v1/channel/push/taken", Door::Shop),
    ("/v1/channel/cash-management", Door::Shop),
    ("/v1/channel/cash-up", Door::Shop),
    ("/v1/channel/customer", Door::Shop),
    ("/v1/channel/customer-address", Door::Shop),
    ("/v1/channel/inventory", Door::Shop),
    ("/v1/channel/query", Door::Shop),
    ("/v1/channel/ticket", Door::Shop),
    ("/v1/channel/ticket-invoice", Door::Shop),
    ("/v1/channel/ticket-pay", Door::Shop),
    ("/v1/channel/ticket-ship", Door::Shop),
    ("/v1/chronicle", Door::Open),
    ("/v1/devices", Door::Shop),
    ("/v1/displays/{id}", Door::Shop),
    ("/v1/displays/{id}/lease", Door::Shop),
    ("/v1/documents/{kind}", Door::Shop),
    ("/v1/documents/{kind}/{id}", Door::Shop),
    ("/v1/drill", Door::Operator),
    ("/v1/drill/end", Door::Operator),
    ("/v1/drawers/{id}", Door::Shop),
    ("/v1/drawers/{id}/open", Door::Shop),
    ("/v1/enrolment/audit", Door::Operator),
    ("/v1/enrolment/close", Door::Operator),
    ("/v1/enrolment/code", Door::Operator),
    ("/v1/enrolment/requests", Door::Operator),
    ("/v1/enrolment/requests/{id}/approve", Door::Operator),
    ("/v1/enrolment/requests/{id}/deny", Door::Operator),
    ("/v1/enrolment/slips", Door::Operator),
    ("/v1/enrolment/strikes", Door::Operator),
    ("/v1/feeds", Door::Operator),
    ("/v1/history", Door::Operator),
    ("/v1/hooks", Door::Operator),
    ("/v1/hooks/try", Door::Operator),
    ("/v1/hooks/{id}/drop", Door::Operator),
    ("/v1/hooks/{id}/retry", Door::Operator),
    ("/v1/import", Door::Operator),
    ("/v1/import/changes", Door::Operator),
    ("/v1/import/models/{model}", Door::Operator),
    ("/v1/ledger", Door::Operator),
    ("/v1/ledger/aside", Door::Operator),
    ("/v1/ledger/refusals", Door::Operator),
    ("/v1/logins", Door::Operator),
    ("/v1/logins/hash", Door::Operator),
    ("/v1/logins/key", Door::Operator),
    ("/v1/log", Door::Operator),
    ("/v1/log/lines", Door::Operator),
    ("/v1/models", Door::Shop),
    ("/v1/models/{model}/records", Door::Shop),
    ("/v1/models/{model}/records/{id}", Door::Shop),
    ("/v1/nodes", Door::Operator),
    ("/v1/nodes/{name}", Door::Operator),
    ("/v1/outbox", Door::Operator),
    ("/v1/outbox/audit", Door::Operator),
    ("/v1/outbox/conflicts", Door::Operator),
    ("/v1/outbox/conflicts/{number}/dismiss", Door::Operator),
    ("/v1/outbox/{key}", Door::Operator),
    ("/v1/outbox/{key}/drop", Door::Operator),
    ("/v1/outbox/{key}/repair", Door::Operator),
    ("/v1/outbox/{key}/retry", Door::Operator),
    ("/v1/printers", Door::Shop),
    ("/v1/printers/{id}", Door::Shop),
    ("/v1/printers/{id}/jobs", Door::Shop),
    ("/v1/printers/{id}/jobs/{key}", Door::Shop),
    ("/v1/printers/{id}/jobs/{key}/decision", Door::Shop),
    ("/v1/printers/{id}/jobs/{key}/picture", Door::Shop),
    ("/v1/printers/{id}/preview", Door::Shop),
    ("/v1/printers/{id}/recover", Door::Shop),
    ("/v1/pushes", Door::Operator),
    ("/v1/pushes/{id}/drop", Door::Operator),
    ("/v1/pushes/{id}/retry", Door::Operator),
    ("/v1/refresh", Door::Operator),
    ("/v1/releases", Door::Operator),
    ("/v1/releases/{id}", Door::Operator),
    ("/v1/requests", Door::Operator),
    ("/v1/publish", Door::Operator),
    ("/v1/refresh", Door::Operator),
    ("/v1/refresh/from", Door::Operator),
    ("/v1/scales", Door::Shop),
    ("/v1/scales/{id}", Door::Shop),
    ("/v1/scales/{id}/events", Door::Shop),
    ("/v1/scales/{id}/lease", Door::Shop),
    ("/v1/scales/{id}/tare", Door::Shop),
    ("/v1/scales/{id}/weight", Door::Shop),
    ("/v1/scales/{id}/zero", Door::Shop),
    ("/v1/scanners/{id}/events", Door::Shop),
    ("/v1/seals", Door::Operator),
    ("/v1/seals/{site}/certificate", Door::Operator),
    ("/v1/seals/{site}/{scope}", Door::Operator),
    ("/v1/operators", Door::Operator),
    ("/v1/operators/{name}", Door::Operator),
    ("/v1/settings", Door::Operator),
    ("/v1/settings/back", Door::Operator),
    ("/v1/session", Door::Terminal),
    ("/v1/session/renew", Door::Terminal),
    ("/v1/status", Door::Open),
    ("/v1/status/events", Door::Open),
    ("/v1/terminal/boxes", Door::Terminal),
    ("/v1/terminal/config", Door::Terminal),
    ("/v1/terminal/idle", Door::Terminal),
    ("/v1/terminal/login", Door::Terminal),
    ("/v1/terminal/refreshed", Door::Terminal),
    ("/v1/terminal/rings", Door::Terminal),
    ("/v1/terminals", Door::Operator),
    ("/v1/terminals/{name}", Door::Operator),
    ("/v1/traces/{id}", Door::Operator),
    ("/v1/transactions", Door::Shop),
    ("/v1/transactions/batch", Door::Shop),
    ("/v1/transactions/have", Door::Shop),
    ("/v1/transactions/{key}", Door::Shop),
    ("/v1/whoami", Door::Open),
];

/// A box that head office has certified, served with and without TLS.
struct Running {
    built: Built,
    supervisor: Supervisor,
    address: std::net::SocketAddr,
    secure: std::net::SocketAddr,
    _premises: Premises,
    dir: tempfile::TempDir,
}

async fn start(role: &str) -> Running {
    let dir = tempfile::tempdir().unwrap();
    trust::adopt(dir.path());
    let set = |key: &str, value: &str| Override::from_variable(key, value).unwrap();
    let secret = dir.path().join("site.secret");
    std::fs::write(&secret, "a secret of this store only").unwrap();
    let overrides = [
        set("STOREBOX_PEERS__SECRET_FILE", secret.to_str().unwrap()),
        set("STOREBOX_ROLE", role),
        set("STOREBOX_DATA_DIR", dir.path().to_str().unwrap()),
        set("STOREBOX_HTTP__LISTEN", "127.0.0.1:0"),
        set("STOREBOX_TLS__LISTEN", "[\"127.0.0.1:0\"]"),
        set("STOREBOX_BROWSER__ORIGINS", "[\"https://pos.example\"]"),
    ];
    let config = config::parse("test.toml", "", &overrides).unwrap();
    let premises = Premises::enter(&config.data_dir).unwrap();
    let supervisor = Supervisor::new();
    let origin = Origin { file: "test.toml".into(), data_dir: None };
    let settings = super::care::settings_of(&config, Book::default(), &origin, &supervisor);
    let built = build(&config, settings.as_ref(), &supervisor).await.unwrap();
    let network = premises.listen(&config.http.listen).await.unwrap();
    let address = network[0].local_addr().unwrap();
    let over_tls =
        built.trust.secure(&config, &premises, built.customer.clone()).await.unwrap().unwrap();
    let secure = over_tls.listeners[0].local_addr().unwrap();
    let server = Server {
        access: built.access.clone(),
        router: built.router.clone(),
        limits: config.http.clone(),
        traffic: built.traffic.clone(),
        sealing: built.sealing.clone(),
        logins: built.logins.clone(),
        rates: Rates::new(&config.http),
        gate: super::trust::gate(&config, &built.access),
        secure: Some(over_tls),
    };
    server.start(&supervisor, network, premises.control().unwrap());
    Running { built, supervisor, address, secure, _premises: premises, dir }
}

/// Every documented operation as a method and a path that a client could send.
fn operations(document: &utoipa::openapi::OpenApi) -> Vec<(Method, String, String)> {
    let mut found = Vec::new();
    for (path, item) in &document.paths.paths {
        let sent = path.replace(['{', '}'], "");
        let methods = [
            (Method::GET, &item.get),
            (Method::PUT, &item.put),
            (Method::POST, &item.post),
            (Method::DELETE, &item.delete),
        ];
        let present = methods.into_iter().filter(|(_, operation)| operation.is_some());
        found.extend(present.map(|(method, _)| (method, path.clone(), sent.clone())));
    }
    found
}

#[tokio::test]
async fn every_route_of_every_role_lets_in_its_own_callers_only() {
    let mut seen = BTreeSet::new();
    for role in ["main", "store"] {
        let running = start(role).await;
        let now = Timestamp::from_unix_ms(1);
        let till = running.built.access.add(Kind::Terminal, "till-1", [1; 32], now).unwrap();
        let node = running.built.access.add(Kind::Node, "store-1", [2; 32], now).unwrap();
        let client = reqwest::Client::new();
        for (method, path, sent) in operations(&running.built.document) {
            let listed = ROUTES.iter().find(|(listed, _)| *listed == path);
            let (_, wanted) = listed.unwrap_or_else(|| panic!("{path} is not in the table"));
            assert_eq!(door(&sent), *wanted, "{path}");
            let url = format!("http://{}{sent}", running.address);
            let ask = |token: Option<&str>| {
                let request = client.request(method.clone(), &url);
                let request = request.timeout(Duration::from_secs(10)).body("not json");
                match token {
                    Some(token) => request.bearer_auth(token).send(),
                    None => request.send(),
                }
            };
            let shut =
                |status| status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
            let open = [Door::Open, Door::Watcher].contains(wanted);
            assert_eq!(!shut(ask(None).await.unwrap().status()), open, "nobody at {path}");
            let status = ask(Some("sbt_00")).await.unwrap().status();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "a stranger at {path}");
            let as_till = [Door::Open, Door::Terminal, Door::Shop].contains(wanted);
            assert_eq!(
                !shut(ask(Some(&till)).await.unwrap().status()),
                as_till,
                "a till at {path}"
            );
            let as_node = [Door::Open, Door::Watcher, Door::Node].contains(wanted);
            assert_eq!(
                !shut(ask(Some(&node)).await.unwrap().status()),
                as_node,
                "a node at {path}"
            );
            seen.insert(path);
        }
        assert!(running.supervisor.stop(STOP_MAX).await.is_empty());
    }
    let listed: BTreeSet<_> = ROUTES.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(listed, seen, "the table names a route that no role serves");
}

#[tokio::test]
async fn what_anybody_sees_of_the_status_names_no_client() {
    let running = start("store").await;
    let now = Timestamp::from_unix_ms(1);
    running.built.access.add(Kind::Terminal, "till-1", [1; 32], now).unwrap();
    assert_eq!(running.built.panel.status().await.clients.len(), 1);
    let url = format!("http://{}/v1/status", running.address);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(!text.contains("till-1") && text.contains("\"node\":\"storebox\""), "{text}");
    running.supervisor.stop(STOP_MAX).await;
}
