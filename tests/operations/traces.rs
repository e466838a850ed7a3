//! Traces, told to a collector: one sale from its till to head office, decoded as OTLP says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use serde_json::Value;
use storebox::demo::process::Process;
use storebox_tests::company::Company;
use storebox_tests::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::lines::Balancer;
use crate::site::{PATIENCE, Site, at, executable, key, sale, told};

/// A collector of OTLP over HTTP: keeps what it is posted, and fails as often as it is told to.
#[derive(Clone, Default)]
struct Collector {
    bodies: Arc<Mutex<Vec<Value>>>,
    failures: Arc<Mutex<u32>>,
}

impl Collector {
    async fn open(failures: u32) -> anyhow::Result<(Self, SocketAddr)> {
        let collector = Self { failures: Arc::new(Mutex::new(failures)), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let own = collector.clone();
        start(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                start(async move {
                    // A box that closes its connection is no failure of the collector.
                    let _ = own.converse(stream).await;
                });
            }
        });
        Ok((collector, address))
    }

    async fn converse(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        loop {
            let (head, body) = request(&mut stream).await?;
            ensure!(head.starts_with("POST /v1/traces "), "{head}");
            let fails = {
                let mut left = self.failures.lock().expect("no holder panics");
                let fails = *left > 0;
                *left = left.saturating_sub(1);
                fails
            };
            if !fails {
                let body = serde_json::from_slice(&body)?;
                self.bodies.lock().expect("no holder panics").push(body);
            }
            let status = if fails { "503 Service Unavailable" } else { "200 OK" };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
            );
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    /// All spans, each with who told it.
    fn spans(&self) -> Vec<(String, Value)> {
        let bodies = self.bodies.lock().expect("no holder panics");
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut spans = Vec::new();
        for resource in bodies.iter().flat_map(|body| list(&body["resourceSpans"])) {
            let who = attribute(&resource["resource"], "service.instance.id");
            for scope in list(&resource["scopeSpans"]) {
                spans.extend(list(&scope["spans"]).into_iter().map(|span| (who.clone(), span)));
            }
        }
        spans
    }
}

#[expect(clippy::disallowed_methods, reason = "the collector of a test")]
fn start(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

async fn request(stream: &mut TcpStream) -> anyhow::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let length: usize = length.context("a length")?;
            if bytes.len() >= end + 4 + length {
                return Ok((head, bytes[end + 4..end + 4 + length].to_vec()));
            }
        }
        ensure!(stream.read_buf(&mut bytes).await? > 0, "closed");
    }
}

fn attribute(holder: &Value, name: &str) -> String {
    let all = holder["attributes"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|one| one["key"] == name);
    found.map_or(String::new(), |one| text(&one["value"]["stringValue"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sale_is_one_trace_from_its_till_to_head_office() -> anyhow::Result<()> {
    // The collector is away at first: what is told meanwhile waits.
    let (collector, address) = Collector::open(2).await?;
    let folder = tempfile::tempdir()?;
    let extra = format!("[traces]\nurl = \"http://{address}\"\n");
    let site = Site::open(folder.path(), &extra).await?;
    site.sell(&sale(1, "12.30")).await?;
    site.await_settled(1).await?;
    let trace = key(1).replace('-', "");
    let of_sale = || {
        let all = collector.spans().into_iter();
        let own = all.filter(|(_, span)| text(&span["traceId"]) == trace);
        own.map(|(who, span)| (text(&span["name"]), (who, span))).collect::<BTreeMap<_, _>>()
    };
    wait::until("four steps", PATIENCE, || async { Ok(of_sale().len() == 4) }).await?;
    let steps = of_sale();
    let id = |name: &str| text(&steps[name].1["spanId"]);
    let parent = |name: &str| text(&steps[name].1["parentSpanId"]);
    let who = |name: &str| steps[name].0.clone();
    ensure!(parent("sell").is_empty());
    ensure!(parent("take") == id("sell") && parent("send") == id("take"), "{steps:?}");
    ensure!(parent("settle") == id("send"), "the parent is at another box: {steps:?}");
    ensure!(who("take") == "store-367" && who("send") == "store-367", "{steps:?}");
    ensure!(who("settle") == "head-office", "{steps:?}");
    ensure!(attribute(&steps["take"].1, "storebox.till") == "till-1");
    ensure!(attribute(&steps["take"].1, "storebox.grade") == "held");
    for (_, span) in steps.values() {
        let time = |name: &str| text(&span[name]).parse::<u64>();
        ensure!(time("startTimeUnixNano")? <= time("endTimeUnixNano")?, "{span}");
        ensure!(text(&span["spanId"]).len() == 16, "{span}");
        ensure!(!span.to_string().contains("12.30"), "what was sold is in {span}");
    }
    let (_, metrics) = told(at(&site.client, site.stage.store_address, "/metrics")).await?;
    let metrics = text(&metrics);
    ensure!(metrics.contains("storebox_spans_dropped_total 0"), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_that_answers_selling_goes_on_as_fast() -> anyhow::Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let folder = tempfile::tempdir()?;
    let extra = format!("[traces]\nurl = \"http://{nobody}\"\n");
    let site = Site::open(folder.path(), &extra).await?;
    for number in 1..=20 {
        site.sell(&sale(number, "1.00")).await?;
    }
    site.await_settled(20).await?;
    let refused = "[traces]\nurl = \"ftp://collector.example\"\n";
    let broken = Site::open(&folder.path().join("other"), refused).await;
    let said = broken.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("traces.url"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_behind_tls_is_believed_by_the_companys_authority() -> anyhow::Result<()> {
    let (collector, address) = Collector::open(0).await?;
    let folder = tempfile::tempdir()?;
    let company = Company::found(&folder.path().join("company"))?;
    let balancer = Balancer::open(&folder.path().join("nginx"), &company, address).await?;
    let Some(balancer) = balancer else { return Ok(()) };
    let (url, authority) = (balancer.address, company.authority());
    let extra = format!("[traces]\nurl = \"https://{url}\"\nca_file = {authority:?}\n");
    let site = Site::open(folder.path(), &extra).await?;
    site.sell(&sale(1, "12.30")).await?;
    site.await_settled(1).await?;
    wait::until("the sale is told", PATIENCE, || async {
        Ok(collector.spans().iter().any(|(_, span)| text(&span["name"]) == "settle"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_ends_where_the_companys_system_has_the_sale() -> anyhow::Result<()> {
    let (collector, address) = Collector::open(0).await?;
    let folder = tempfile::tempdir()?;
    let out = serde_json::json!(folder.path().join("out").to_string_lossy());
    let settings = format!(
        "role = \"main\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[traces]\nurl = \"http://{address}\"\n\
         [[deliver]]\nid = \"erp\"\nto = \"files\"\nurl = {out}\n"
    );
    let mut main = Process::lay_out(executable(), folder.path(), "head-office", &settings)?;
    let office = main.start().await?;
    let token = main.ask(&["node", "add", "store-1"])?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let body = serde_json::json!({"node": "store-1", "envelopes": [sale(1, "12.30")]});
    let url = format!("http://{office}/sync/v1/transactions");
    let (status, answer) = told(client.post(url).bearer_auth(token).json(&body)).await?;
    ensure!(status == 200, "{answer}");
    let step = |name: &str| {
        let named = |(_, span): &(String, Value)| text(&span["name"]) == name;
        collector.spans().into_iter().find(named).map(|(_, span)| span)
    };
    wait::until("delivered", PATIENCE, || async { Ok(step("deliver").is_some()) }).await?;
    let (settle, deliver) = (step("settle").context("settled")?, step("deliver").context("told")?);
    ensure!(deliver["parentSpanId"] == settle["spanId"], "{deliver} {settle}");
    ensure!(deliver["traceId"] == settle["traceId"] && deliver["kind"] == 3, "{deliver}");
    ensure!(attribute(&deliver, "storebox.sink") == "erp", "{deliver}");
    Ok(())
}
