//! A channel from head office's masterdata to a partner's program.

use anyhow::ensure;
use serde_json::{Value, json};
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, told};

/// A channel with every service, whose terminal is the till of the site.
pub(crate) fn estate() -> Vec<(&'static str, String)> {
    let names = [
        "customer",
        "customer-address",
        "inventory",
        "ticket-ship",
        "ticket-pay",
        "ticket-invoice",
        "cash-up",
        "cash-management",
    ];
    let service = |name: &&str| json!({"id": name, "channelId": "web", "type": name}).to_string();
    let mut services: Vec<String> = names.iter().map(service).collect();
    services.push(r#"{"id":"ticket","channelId":"web","type":"ticket","async":true}"#.to_owned());
    services.push(
        json!({"id": "query", "channelId": "web", "type": "query",
               "parameters": {"cacheSeconds": {"Product": 60}}})
        .to_string(),
    );
    let one = |record: Value| record.to_string();
    vec![
        ("ChannelService", services.join("\n")),
        ("Channel", one(json!({"id": "web", "name": "Web", "type": "web-shop"}))),
        ("Access", one(json!({"id": "a", "channelId": "web", "roleId": "shop", "right": "write"}))),
        ("Terminal", one(json!({"id": "till-1", "channelId": "web", "roleId": "shop"}))),
        ("Product", one(json!({"id": "P1", "barcode": "4001", "name": "Apple"}))),
        (
            "ProductPrice",
            one(json!({"id": "1", "productId": "P1", "priceListId": "L", "listPrice": "3.50"})),
        ),
        ("Warehouse", one(json!({"id": "W1", "searchKey": "front", "name": "Front"}))),
        ("BusinessPartner", one(json!({"id": "C1", "searchKey": "ADA", "name": "Ada"}))),
    ]
}

/// A site whose till belongs to that channel.
pub(crate) async fn open(folder: &std::path::Path) -> anyhow::Result<Site> {
    let site = Site::open(folder, "").await?;
    let records = estate();
    let models: Vec<_> = records.iter().map(|(model, lines)| (*model, lines.as_str())).collect();
    site.import(&models)?;
    site.await_level().await?;
    Ok(site)
}

fn by(field: &str, value: &Value) -> Value {
    json!([{"fieldName": field, "operator": "equals", "value": value}])
}

async fn ask(site: &Site, entity: &str, criteria: Value) -> anyhow::Result<Vec<Value>> {
    let question = json!({"entity": entity, "criteria": criteria});
    let (status, answer) = told(site.post("/v1/channel/query", &question)).await?;
    ensure!(status == 200, "{status} {answer}");
    Ok(answer["data"].as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_asks_and_sells_through_its_channel() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = open(folder.path()).await?;
    let question = json!({"entity": "Product", "startRow": 0, "endRow": 1, "criteria": by("barcode", &json!("4001"))});
    let request = site.post("/v1/channel/query", &question).header("storebox-correlation", "web-7");
    let response = request.send().await?;
    let head = |name: &str| response.headers()[name].to_str().unwrap_or_default().to_owned();
    assert_eq!(
        (head("cache-control"), head("storebox-correlation")),
        ("public, max-age=60".into(), "web-7".into())
    );
    let answer: Value = response.json().await?;
    assert_eq!(answer["data"][0]["price"]["listPrice"], "3.50");

    let ticket = json!({"documentNo": "W/1", "customer": "ADA", "lines": [{"product": "4001", "quantity": 2}]});
    let response = site.post("/v1/channel/ticket", &ticket).send().await?;
    assert_eq!(response.status().as_u16(), 202);
    let place = response.headers()["location"].to_str()?.to_owned();
    let made: Value = response.json().await?;
    assert_eq!(told(site.get(&place)).await?.0, 200);
    let money = json!({"ticket": "W/1", "payments": [{"amount": "7.00"}]});
    let (status, paid) = told(site.post("/v1/channel/ticket-pay?wait=settled", &money)).await?;
    assert_eq!((status, &paid["grade"]), (200, &json!("settled")), "{paid}");
    site.await_settled(2).await?;
    let found = ask(&site, "Ticket", by("customer", &json!("ADA"))).await?;
    assert_eq!((&found[0]["id"], &found[0]["grade"]), (&made["id"], &json!("settled")));
    assert_eq!(found[0]["payments"][0]["payments"][0]["amount"], "7.00");
    ensure!(site.log()?.contains("web-7"), "the log does not name the correlation id");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_born_here_gives_way_to_the_central_record_and_keeps_its_id() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let site = open(folder.path()).await?;
    let customer = json!({"name": "Eve", "searchKey": "EVE", "phone": "1"});
    let (status, made) = told(site.post("/v1/channel/customer?wait=settled", &customer)).await?;
    assert_eq!(status, 200, "{made}");
    let central = json!({"model": "BusinessPartner", "record":
        {"id": "C7", "edgeId": made["id"], "searchKey": "EVE", "name": "Eve Central"}});
    site.change(&central.to_string())?;
    wait::until("the central record alone", PATIENCE, || async {
        let found = ask(&site, "Customer", by("id", &made["id"])).await?;
        Ok(found.len() == 1 && found[0]["id"] == "C7" && found[0].get("phone").is_none())
    })
    .await?;
    let all = ask(&site, "Customer", by("searchKey", &json!("EVE"))).await?;
    assert_eq!(all.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_that_names_its_field() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = open(folder.path()).await?;
    let deep = (0..60).fold(json!([]), |inner, _| json!([{"operator": "and", "criteria": inner}]));
    let ids: Vec<u32> = (0..10_000).collect();
    let set = json!([{"fieldName": "id", "operator": "inSet", "value": ids}]);
    let evil =
        json!([{"fieldName": "name", "operator": "iContains", "value": "(a+)+$".repeat(100)}]);
    for (path, body, status, words) in [
        (
            "query",
            json!({"entity": "Product", "criteria": deep}),
            422,
            "is nested deeper than 8 levels",
        ),
        (
            "query",
            json!({"entity": "Product", "criteria": set}),
            422,
            "field criteria[0].value: has 10000 values",
        ),
        (
            "query",
            json!({"entity": "Product", "criteria": evil}),
            422,
            "field criteria[0].value: has 600 bytes",
        ),
        ("query?colour=red", json!({}), 400, "colour"),
        ("query?wait=soon", json!({}), 400, "wait must be held or settled"),
        ("query?terminal=till-2", json!({}), 403, "till-1 may not call as till-2"),
        ("hoover", json!({}), 404, "is not offered \"hoover\""),
        ("ticket", json!({"lines": [{"quantity": 1}]}), 422, "field lines[0].productId"),
    ] {
        let response = site.post(&format!("/v1/channel/{path}"), &body).send().await?;
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        ensure!(response.headers().contains_key("storebox-correlation"), "{path}");
        let problem: Value = response.json().await?;
        assert_eq!(problem["status"], status, "{problem}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains(words), "{detail:?} should contain {words:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_may_only_read_does_not_get_the_terminals_right_to_write() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let site = open(folder.path()).await?;
    let secret = json!({"password": "a secret of Rhea's"});
    let hash = site.stage.store.control("POST", "/v1/logins/hash", Some(&secret)).await?;
    let user =
        json!({"id": "u1", "searchKey": "rhea", "password": hash["hash"], "roles": ["guest"]});
    site.import(&[
        ("User", &user.to_string()),
        ("Role", r#"{"id":"guest","rights":["sell"]}"#),
        (
            "Access",
            "{\"id\":\"a\",\"channelId\":\"web\",\"roleId\":\"shop\",\"right\":\"write\"}\n\
             {\"id\":\"b\",\"channelId\":\"web\",\"roleId\":\"guest\",\"right\":\"read-only\"}",
        ),
    ])?;
    site.await_level().await?;
    let login = json!({"user": "rhea", "password": "a secret of Rhea's"});
    let (status, session) = told(site.post("/v1/session", &login)).await?;
    ensure!(status == 200, "{status} {session}");
    let token = session["token"].as_str().unwrap_or_default();
    let base = format!("http://{}/v1/channel", site.stage.store_address);
    let call = |service: &str, body: &Value| {
        site.client.post(format!("{base}/{service}")).bearer_auth(token).json(body)
    };
    let question = json!({"entity": "Product", "criteria": by("barcode", &json!("4001"))});
    let (status, answer) = told(call("query", &question)).await?;
    ensure!(status == 200 && answer["data"][0]["id"] == "P1", "{status} {answer}");
    let customer = json!({"name": "Grace", "searchKey": "GRACE"});
    let (status, answer) = told(call("customer", &customer)).await?;
    ensure!(status == 403 && answer.to_string().contains("write"), "{status} {answer}");
    let (status, answer) = told(site.post("/v1/channel/customer", &customer)).await?;
    ensure!(status == 200, "the terminal by itself may: {status} {answer}");
    Ok(())
}
