//! What a hook costs: scripts in their sandbox, and another program on loopback.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use ed25519_dalek::SigningKey;
use serde_json::{Map, Value, json};
use storebox_proto::estate::channel::{Definition, Hook, Script, ServiceType};

use super::Error;
use super::table::{row, spread};
use crate::channel::engine::{Chain, Facts, Runner};
use crate::channel::script::{OPERATIONS_MAX, Sandbox};
use crate::env;
use crate::supervise::Supervisor;
use crate::webhook::{SECRETS, Webhooks};

/// Runs of each kind.
const RUNS: usize = 2000;
/// Lines of the ticket that hooks are given.
const LINES: usize = 20;
/// A hook as chains write them: a sum over the lines, a limit, a field.
const SUM: &str = r#"
    let sum = parse_decimal("0");
    for line in object.lines { sum += parse_decimal(line.listPrice) * line.quantity; }
    if sum > context.parameters.limit { refuse("too much") }
    object.checked = sum.to_string();
"#;

/// Measures scripts, what stops them, and webhooks.
pub(super) async fn measure(dir: &Path) -> Result<(), Error> {
    let system = |source| Error::System { what: "open a port", source };
    let webhooks = Webhooks::new(SigningKey::from_bytes(&[7; 32]), dir.join(SECRETS));
    let webhooks = webhooks.map_err(|error| system(std::io::Error::other(error)))?;
    let runner = Runner::new(webhooks);
    let parameters = Map::from_iter([("limit".to_owned(), json!(1000))]);
    for (what, source) in [("a script that does nothing", ""), ("a script over 20 lines", SUM)] {
        let script = Script(source.to_owned());
        measure_one(what, &runner, Chain::of_script(&script, &parameters)).await?;
    }
    let begun = env::instant();
    let stopped = Sandbox::default().run("loop {}", &json!({}), json!({}));
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let why = stopped.err().map_or_else(String::new, |fault| fault.to_string());
    row("an endless script", &format!("ends after {took:.1} ms ({OPERATIONS_MAX} steps): {why}"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(system)?;
    let address = listener.local_addr().map_err(system)?;
    let router = Router::new().route("/", post(async || ""));
    let supervisor = Supervisor::new();
    supervisor.spawn_short(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "the webhook of the measurement ended");
        }
    });
    let hook = json!({"id": "h", "channelId": "c", "type": "on-request",
        "implementation": "webhook", "webhook": {"url": format!("http://{address}/")}});
    let fields = hook.as_object().cloned().unwrap_or_default();
    let hook = Hook::from_fields(&fields).map_err(|fault| Error::Wrong(fault.to_string()))?;
    measure_one("a webhook on loopback, signed", &runner, Chain::of_hook("hook h", &hook)).await
}

async fn measure_one(what: &str, runner: &Runner, chain: Chain<'_>) -> Result<(), Error> {
    let facts = Facts {
        stage: None,
        service: ServiceType::Ticket,
        entity: None,
        channel: "web".to_owned(),
        terminal: "web-1".to_owned(),
        user: None,
        roles: BTreeSet::new(),
        correlation: "bench".to_owned(),
    };
    let object = ticket();
    let mut times: Vec<Duration> = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let (given, begun) = (object.clone(), env::instant());
        let ran = runner.run(chain, &facts, "bench", given).await;
        times.push(begun.elapsed());
        ran.map_err(|fault| Error::Wrong(fault.to_string()))?;
    }
    row(what, &spread(&mut times));
    Ok(())
}

fn ticket() -> Value {
    let line = |number: usize| {
        json!({"id": number.to_string(), "productId": "25671", "quantity": 2,
            "listPrice": "3.49", "taxId": "T1"})
    };
    json!({"documentNo": "WEB/1", "customer": "ADA", "lines": (0..LINES).map(line).collect::<Vec<_>>()})
}
