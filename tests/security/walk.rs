//! Every route of the OpenAPI document, tried by those who have no right to it: nobody, persons who may only read or
//! nothing at all, and terminals of another site, with what they have and with what they have stolen.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::Value;
use storebox::demo::process::Process;
use storebox::trust::call::Connection;
use storebox::trust::client::Way;
use storebox::trust::join::Membership;

use crate::people::{Shop, log_in};

/// Open to anybody: says nothing that a passer-by may not know, and changes nothing without a proof inside.
const OPEN: [&str; 8] = [
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/enrol/v1",
    "/v1/status",
    "/v1/chronicle",
    "/v1/whoami",
    "/metrics",
];
/// A person's own login, the till's account of itself, and services that the channel judges by itself.
const OWN: [&str; 3] = ["/v1/session", "/v1/terminal", "/v1/channel"];

type Operation = (Method, String);

/// Every documented operation, its path as a client could send it.
async fn operations(open: std::net::SocketAddr) -> anyhow::Result<Vec<Operation>> {
    let document: Value = reqwest::get(format!("http://{open}/openapi.json")).await?.json().await?;
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for method in item.as_object().context("methods")?.keys() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            found.push((method, path.replace(['{', '}'], "")));
        }
    }
    ensure!(found.len() > 100, "only {} operations are documented", found.len());
    Ok(found)
}

fn begins(path: &str, with: &[&str]) -> bool {
    with.iter().any(|start| path == *start || path.starts_with(&format!("{start}/")))
}

/// Who tries, and with what.
struct Visitor<'a> {
    name: &'static str,
    certificate: Option<&'a Membership>,
    token: Option<String>,
}

impl Visitor<'_> {
    /// The status and the code of the answer.
    async fn try_it(
        &self,
        secure: std::net::SocketAddr,
        way: &Way,
        (method, path): &Operation,
    ) -> anyhow::Result<(u16, String)> {
        let credentials = match self.certificate {
            Some(member) => Some(member.way()?.1),
            None => None,
        };
        let mut connection = Connection::open(secure, way, credentials).await?;
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        let answer = connection.send(method.clone(), path, &headers, "{}").await?;
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok((answer.status.as_u16(), problem["code"].as_str().unwrap_or_default().to_owned()))
    }
}

/// What a person could have changed.
async fn state(store: &Process) -> anyhow::Result<Value> {
    let status = store.control("GET", "/v1/status", None).await?;
    let terminals = store.control("GET", "/v1/terminals", None).await?;
    let names: Vec<_> =
        terminals.as_array().into_iter().flatten().map(|one| &one["name"]).collect();
    let outbox = &status["outbox"];
    Ok(serde_json::json!({
        "accepted": outbox["accepted"], "waiting": outbox["waiting"], "trust": status["trust"]["slipsOpen"],
        "feeds": status["feeds"], "terminals": names,
        "outbox": store.control("GET", "/v1/outbox", None).await?,
        "rings": store.control("GET", "/v1/seals", None).await?,
    }))
}

/// How often whom met which code.
type Met = BTreeMap<(&'static str, String), u32>;

/// Lets everybody try every operation.
async fn walk(
    shop: &Shop,
    way: &Way,
    strangers: &[Visitor<'_>],
    bounded: &[Visitor<'_>],
) -> anyhow::Result<Met> {
    let mut met = Met::new();
    for operation in operations(shop.open).await? {
        let (method, path) = &operation;
        let is_safe = *method == Method::GET;
        for who in strangers {
            let (status, code) = who.try_it(shop.secure, way, &operation).await?;
            let name = who.name;
            if begins(path, &OPEN) {
                ensure!(is_safe || !(200..300).contains(&status), "{name} {method} {path}");
                continue;
            }
            ensure!([401, 403].contains(&status), "{name} at {method} {path}: {status} {code}");
            *met.entry((name, code)).or_insert(0) += 1;
        }
        for who in bounded {
            let (status, code) = who.try_it(shop.secure, way, &operation).await?;
            if is_safe || begins(path, &OPEN) || begins(path, &OWN) {
                continue;
            }
            ensure!(status == 403, "{} at {method} {path}: {status} {code}", who.name);
            *met.entry((who.name, code)).or_insert(0) += 1;
        }
    }
    Ok(met)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_lets_in_who_has_no_right_and_who_may_only_read_changes_nothing()
-> anyhow::Result<()> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let ours = Shop::open(folders[0].path(), "0007", "").await?;
    // Another head office with a site and till of the same names, and a token that its box has signed.
    let theirs = Shop::open(folders[1].path(), "0007", "").await?;
    let till = ours.chain.join_by_slip(&ours.store, ours.secure, "till-1")?;
    let second = ours.chain.join_by_slip(&ours.store, ours.secure, "till-2")?;
    let foreign = theirs.chain.join_by_slip(&theirs.store, theirs.secure, "till-1")?;
    let way = till.way()?.0;
    let mut connection = till.connect(ours.secure).await?;
    let reader = log_in(&mut connection, "web").await?;
    let guest = log_in(&mut connection, "nil").await?;
    let manager = log_in(&mut connection, "ann").await?;
    let of_theirs = log_in(&mut foreign.connect(theirs.secure).await?, "ann").await?;
    let visitor = |name, certificate, token: Option<&String>| Visitor {
        name,
        certificate,
        token: token.cloned(),
    };
    let strangers = [
        visitor("nobody", None, None),
        visitor("a foreign till", Some(&foreign), None),
        visitor("a foreign token", None, Some(&of_theirs)),
        visitor("a foreign till with its token", Some(&foreign), Some(&of_theirs)),
        visitor("a stolen token in the open", None, Some(&manager)),
        visitor("a stolen token at a foreign till", Some(&foreign), Some(&manager)),
        visitor("a stolen token at another till", Some(&second), Some(&manager)),
    ];
    let bounded = [
        visitor("a reader", Some(&till), Some(&reader)),
        visitor("a guest", Some(&till), Some(&guest)),
    ];
    let before = state(&ours.store).await?;
    let codes = walk(&ours, &way, &strangers, &bounded).await?;
    ensure!(state(&ours.store).await? == before, "somebody has changed something");
    let told: Vec<_> =
        codes.iter().map(|((who, code), count)| format!("{who}: {code} {count}")).collect();
    eprintln!("{}", told.join("\n"));
    let has = |who: &str, code: &str| codes.keys().any(|known| *known == (who, code.to_owned()));
    ensure!(has("nobody", "unauthenticated") && has("a foreign till", "certificate_invalid"));
    ensure!(has("a foreign token", "token_foreign"));
    ensure!(has("a stolen token in the open", "token_foreign"));
    ensure!(has("a stolen token at another till", "token_foreign"));
    ensure!(has("a reader", "read_only") && has("a guest", "right_missing"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_may_only_read_asks_a_channel_and_orders_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let shop = Shop::open(folder.path(), "0007", "").await?;
    let till = shop.chain.join_by_slip(&shop.store, shop.secure, "till-1")?;
    let mut connection = till.connect(shop.secure).await?;
    let before = state(&shop.store).await?;
    for (user, customer) in [("web", 403), ("ann", 200)] {
        let bearer = format!("Bearer {}", log_in(&mut connection, user).await?);
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let question = r#"{"entity": "Product", "criteria": []}"#;
        let asked = connection.send(Method::POST, "/v1/channel/query", &headers, question).await?;
        ensure!(asked.status == 200, "{user}: {}", String::from_utf8_lossy(&asked.body));
        let order = r#"{"id": "C1", "name": "Ada", "searchKey": "ADA"}"#;
        let made = connection.send(Method::POST, "/v1/channel/customer", &headers, order).await?;
        let said = String::from_utf8_lossy(&made.body).into_owned();
        match customer {
            403 => {
                ensure!(
                    made.status == 403
                        && said.contains("\"read_only\"")
                        && said.contains("needs the right write"),
                    "{user}: {said}"
                );
                ensure!(state(&shop.store).await? == before, "a reader has changed something");
            }
            _ => ensure!(made.status != 403, "{user}: {said}"),
        }
    }
    Ok(())
}
