//! What a shop's box says to nonsense: one clear answer each, and nothing is damaged.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use storebox::demo::till::mint_key;
use storebox_tests::shop::TestShop;

/// A till's way to the box.
struct Caller {
    client: Client,
    base: String,
    token: String,
}

/// What is wrong with a request, and the code that has to say so.
type Case = (&'static str, RequestBuilder, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_gets_one_clear_answer_and_damages_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let executable = Path::new(env!("CARGO_BIN_EXE_storebox-under-test"));
    let mut shop = TestShop::open(executable, folder.path()).await?;
    let till = Caller {
        client: Client::new(),
        base: format!("http://{}", shop.stage.store_address),
        token: shop.stage.add_till(&"till-x".parse()?)?,
    };
    let cases = till.malformed().into_iter().chain(till.unknown());
    let mut wrong = Vec::new();
    // A number is compared with those that are held; what is settled has left the box.
    shop.stage.line.set_up(false);
    for (what, request, code) in cases.chain(till.contradicting().await?) {
        wrong.extend(expect_problem(what, request, code).await.err());
    }
    shop.stage.line.set_up(true);
    ensure!(wrong.is_empty(), "{wrong:#?}");
    let nowhere = shop.stage.main.control("GET", "/v1/nothing", None).await;
    let said = nowhere.err().context("an unknown path was answered")?.to_string();
    ensure!(said.contains("path_unknown"), "{said}");
    bad_imports_are_refused_whole(&shop, folder.path()).await?;
    shop.open_till(Duration::from_millis(5))?;
    shop.check_tills()?;
    let mut sold = shop.close().await?;
    sold.retain(|day| !day.sold.is_empty());
    let status = till.client.get(format!("{}/healthz", till.base)).send().await?.status();
    ensure!(status == 200, "after all this the box is alive");
    Ok(())
}

impl Caller {
    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    fn post(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.client.post(format!("{}/v1/transactions", self.base));
        request.bearer_auth(&self.token).header("content-type", "application/json").body(body)
    }

    /// Bodies that are no envelope.
    fn malformed(&self) -> Vec<Case> {
        let with = |field: &str, value: Value| {
            let mut sale = sale(1);
            sale[field] = value;
            sale.to_string()
        };
        let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
        let deep = sale(1).to_string().replace("\"1.00\"", &deep);
        let large = with("payload", json!({"text": "x".repeat(300 * 1024)}));
        let old = json!("2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d");
        vec![
            ("no JSON", self.post("not json"), "body_malformed"),
            ("half a JSON", self.post("{\"key\":"), "body_malformed"),
            ("bad UTF-8", self.post(vec![b'{', b'"', 0xff, b'"', b'}']), "body_malformed"),
            ("too deep", self.post(deep), "body_malformed"),
            ("an empty body", self.post(""), "body_malformed"),
            ("a wrong type", self.post(with("sequence", json!("7"))), "field_invalid"),
            ("an odd name", self.post(with("lane", json!("a b"))), "field_invalid"),
            ("an old UUID", self.post(with("key", old)), "field_invalid"),
            ("an unknown field", self.post(with("colour", json!(1))), "field_invalid"),
            ("a large envelope", self.post(large), "too_large"),
            ("another till's name", self.post(with("terminal", json!("till-y"))), "forbidden"),
        ]
    }

    /// Things that are not there.
    fn unknown(&self) -> Vec<Case> {
        let stranger = self.client.get(format!("{}/v1/models", self.base));
        let wrong = self.client.get(format!("{}/v1/models", self.base)).bearer_auth("sbt_0123");
        vec![
            ("no token", stranger, "unauthenticated"),
            ("a wrong token", wrong, "unauthenticated"),
            ("no such model", self.get("/v1/models/Nothing/records/1"), "model_unknown"),
            ("no such record", self.get("/v1/models/Product/records/none"), "record_unknown"),
            (
                "no such index",
                self.get("/v1/models/Product/records?field=packageSize&value=1"),
                "index_unknown",
            ),
            (
                "a limit beyond all",
                self.get("/v1/models/Product/records?limit=99999999"),
                "parameter_invalid",
            ),
            (
                "a limit of words",
                self.get("/v1/models/Product/records?limit=many"),
                "parameter_invalid",
            ),
            (
                "no such transaction",
                self.get(&format!("/v1/transactions/{}", mint_key())),
                "transaction_unknown",
            ),
            ("an operator's path", self.get("/v1/outbox"), "forbidden"),
        ]
    }

    /// The same key with another content.
    async fn contradicting(&self) -> anyhow::Result<Vec<Case>> {
        let mut sale = sale(1);
        let first = self.post(sale.to_string()).send().await?;
        ensure!(first.status().is_success(), "{}", first.text().await?);
        let receipt: Value = first.json().await?;
        let again: Value = self.post(sale.to_string()).send().await?.json().await?;
        ensure!(receipt == again, "the first answer again: {receipt} {again}");
        sale["payload"]["gross"] = json!("2.00");
        let other_key = {
            let mut other = sale.clone();
            other["key"] = json!(mint_key());
            other.to_string()
        };
        Ok(vec![
            ("the same key, another content", self.post(sale.to_string()), "key_conflict"),
            ("the same number, another key", self.post(other_key), "sequence_conflict"),
        ])
    }
}

fn sale(sequence: u64) -> Value {
    json!({
        "key": mint_key(), "kind": "Order", "terminal": "till-x", "epoch": 1, "sequence": sequence,
        "lane": "ticket:1", "occurredAt": "2026-11-22T10:02:00Z", "clock": "plausible",
        "payload": {"gross": "1.00"}
    })
}

async fn expect_problem(what: &str, request: RequestBuilder, code: &str) -> anyhow::Result<()> {
    let response = request.send().await.with_context(|| what.to_owned())?;
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").cloned();
    let body = response.text().await?;
    let told = format!("{what}: {status} {body}");
    ensure!(kind.is_some_and(|kind| kind == "application/problem+json"), "{told}");
    let problem: Value = serde_json::from_str(&body).with_context(|| told.clone())?;
    ensure!(problem["code"] == code, "expected {code} for {told}");
    ensure!(problem["status"] == status, "{told}");
    ensure!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{told}");
    ensure!((400..500).contains(&status), "{told}");
    Ok(())
}

/// A bad row is named by file, line and field, and nothing of its directory comes in.
async fn bad_imports_are_refused_whole(shop: &TestShop, folder: &Path) -> anyhow::Result<()> {
    let good = "{\"id\":\"B1\",\"name\":\"brand-new\"}\n";
    let cases = [
        ("no JSON", "{\"id\":\"B2\"", "Brand.ndjson"),
        ("no id", "{\"name\":\"x\"}\n", "id"),
        ("a wrong id", "{\"id\":7,\"name\":\"x\"}\n", "id"),
    ];
    for (number, (what, bad, named)) in cases.into_iter().enumerate() {
        let source = folder.join(format!("bad-{number}"));
        fs::create_dir_all(&source)?;
        fs::write(source.join("Brand.ndjson"), format!("{good}{bad}"))?;
        let result = shop.stage.main.ask(&["import", &source.to_string_lossy()]);
        let said = result.err().with_context(|| format!("{what} was imported"))?.to_string();
        ensure!(said.contains("Brand.ndjson") && said.contains('2'), "{what}: {said}");
        ensure!(said.contains(named), "{what}: {said}");
    }
    let found = shop.stage.main.control("GET", "/v1/models/Brand/records/B1", None).await;
    ensure!(found.is_err(), "a part of a bad file came in");
    Ok(())
}
