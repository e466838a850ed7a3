//! Tills, boxes and head office of different versions: those next to each other work together, others are refused by
//! name, and no sale is lost meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Of};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use storebox::demo::state::State;
use storebox_proto::skew::{API, HEADER};
use storebox_tests::wait;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::site::{PATIENCE, Site, sale, told};

/// Bodies that pass are no larger.
const BODY_BYTES_MAX: usize = 1 << 24;

/// A server of another version: it hands requests on to a real one, and says of itself that it speaks this.
#[derive(Clone)]
struct Other {
    to: String,
    client: reqwest::Client,
    /// What it says in its answers.
    speaks: Arc<AtomicU16>,
    /// What it has the real one believe of whoever asks.
    of_caller: Arc<AtomicU16>,
}

async fn pass(Of(other): Of<Other>, request: Request) -> Response {
    match other.hand_on(request).await {
        Ok(response) => response,
        Err(_) => axum::http::StatusCode::BAD_GATEWAY.into_response(),
    }
}

impl Other {
    async fn hand_on(&self, request: Request) -> anyhow::Result<Response> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().context("a path")?.as_str();
        let url = format!("{}{path}", self.to);
        let mut headers = head.headers;
        headers.remove("host");
        headers.insert(HEADER, self.of_caller.load(Ordering::Relaxed).into());
        let body = to_bytes(body, BODY_BYTES_MAX).await?;
        let sent = self.client.request(head.method, url).headers(headers).body(body).send().await?;
        let (status, mut headers) = (sent.status(), sent.headers().clone());
        headers.remove("transfer-encoding");
        headers.insert(HEADER, self.speaks.load(Ordering::Relaxed).into());
        let mut response = Response::new(Body::from(sent.bytes().await?));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// A till of this version sells.
async fn sell_as(site: &Site, number: u64, version: u16) -> anyhow::Result<(u16, Value)> {
    let request = site.post("/v1/transactions", &sale(number, "1.00"));
    told(request.header(HEADER, version.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_one_version_newer_sells_and_one_that_is_newer_still_keeps_its_sales_until_the_box_is_updated()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let request = site.get("/healthz").send().await?;
    let said = request.headers().get(HEADER).context("an answer says its version")?.to_str()?;
    ensure!(said == API.to_string(), "{said}");
    for (number, version) in [(1, API), (2, API + 1)] {
        let (status, answer) = sell_as(&site, number, version).await?;
        ensure!(status == 200, "version {version}: {answer}");
    }
    let (status, answer) = sell_as(&site, 3, API + 2).await?;
    ensure!(status == 426 && answer["code"] == "version_skew", "{status} {answer}");
    let detail = answer["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("update this box"), "{detail}");
    ensure!(detail.contains("what the other side holds waits there"), "{detail}");
    let page = site.get("/client/storebox.js").header(HEADER, (API + 2).to_string());
    ensure!(page.send().await?.status() == 200, "what a till is updated with is served");
    site.await_settled(2).await?;
    let (status, _) = sell_as(&site, 3, API + 1).await?;
    ensure!(status == 200, "the same sale, once the versions are next to each other");
    site.await_settled(3).await?;
    ensure!(State::of(&site.stage.main).await?.ledger.settled == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_holds_its_sales_while_head_office_is_two_versions_away_and_sends_each_once_afterwards()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    let (speaks, of_caller) = (Arc::new(AtomicU16::new(API)), Arc::new(AtomicU16::new(API)));
    let (to, client) = (format!("http://{}", site.stage.main_address), reqwest::Client::new());
    let other = Other { to, client, speaks: speaks.clone(), of_caller: of_caller.clone() };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    site.stage.line.set_target(listener.local_addr()?);
    let mut server = JoinSet::new();
    let router = Router::new().fallback(pass).with_state(other);
    server.spawn(async move { axum::serve(listener, router).await });
    // What has been connected to the former target ends with this.
    site.stage.line.set_up(false);
    site.stage.line.set_up(true);
    let mut sold = 0;
    // Head office is newer by one; then by two, and says so in its answers; then the box, in the eyes of head office.
    for (newer, older, fits) in [(1, 0, true), (2, 0, false), (0, 0, true), (0, 2, false)] {
        speaks.store(API + newer, Ordering::Relaxed);
        of_caller.store(API + older, Ordering::Relaxed);
        let settled = State::of(&site.stage.store).await?.outbox.settled;
        sold += 1;
        let (status, answer) = sell_as(&site, sold, API).await?;
        ensure!(status == 200, "the shop sells: {answer}");
        if fits {
            site.await_settled(sold).await?;
            continue;
        }
        wait::until("the status says what is to be done", PATIENCE, || async {
            let status = site.stage.store.control("GET", "/v1/status", None).await?;
            Ok(status["sources"].to_string().contains("update the older of the two"))
        })
        .await?;
        let state = State::of(&site.stage.store).await?;
        ensure!(state.outbox.settled == settled && state.outbox.waiting == 1, "{:?}", state.outbox);
        ensure!(state.outbox.quarantined == 0, "nothing is wrong with the sale");
        speaks.store(API, Ordering::Relaxed);
        of_caller.store(API, Ordering::Relaxed);
        // It would try again within a minute; what it holds survives a restart as well.
        site.stage.store.kill();
        site.stage.store_address = site.stage.store.start().await?;
        site.await_settled(sold).await?;
    }
    ensure!(State::of(&site.stage.main).await?.ledger.settled == sold, "each of them once");
    Ok(())
}
