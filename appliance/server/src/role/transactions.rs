//! Transactions of a node: the outbox of a shop, the ledger of head office.

use std::time::Duration;

use ed25519_dalek::SigningKey;
use storebox_proto::ids::SinkId;
use storebox_proto::sync::outbox::{Limits, Link, SinkDef, SinkStatus};
use utoipa_axum::router::OpenApiRouter;

use super::replica::path;
use super::{Basics, RoleError, believed, deliveries, mirror, token, wire};
use crate::blocking::beside;
use crate::config::{Config, Sink};
use crate::http::settle::Settling;
use crate::http::{ledger, outbox, relay, settle, transactions};
use crate::journal;
use crate::pass::Pass;
use crate::sink::Aside;
use crate::status::{LedgerStatus, LineStatus, OutboxStatus, PanelBuilder};
use crate::uplink::shipper::LineBack;
use crate::uplink::{
    Ledger, LedgerFigures, LedgerOpened, LedgerOptions, LocalDocuments, Outbox, OutboxFigures,
    OutboxOpened, OutboxOptions, Relay, Route, Routes, Shipper, ShipperOptions, Signers,
};

/// The sink that `[main]` is.
const MAIN: &str = "main";
/// The journal ends within this, or the process exits without it.
const JOURNAL_STOP_MAX: Duration = Duration::from_secs(5);

/// Starts the outbox with a shipper for each sink.
pub(super) fn start_outbox(
    basics: &Basics<'_>,
    main: Routes,
    neighbour: Option<Pass>,
    line_back: LineBack,
    panel: &mut PanelBuilder,
) -> Result<(Outbox, LocalDocuments, Vec<OpenApiRouter>), RoleError> {
    let sinks = sinks(basics.config);
    let defs =
        sinks.iter().map(|sink| SinkDef { id: sink.id.clone(), authoritative: sink.authoritative });
    let (node, key) = (basics.config.node.clone(), basics.key.clone());
    let mut options = OutboxOptions::new(path(basics, "outbox"), defs.collect(), node, key);
    let settings = &basics.config.outbox;
    options.limits = Limits { held_max: settings.entries_max, ..Limits::default() };
    options.urgent = settings.urgent.clone();
    let segment = options.journal.segment_bytes;
    let spares = usize::try_from(settings.reserve_bytes / segment).unwrap_or(usize::MAX);
    options.journal = journal::Options { spares_max: spares.max(1), ..options.journal };
    let OutboxOpened { outbox, documents, incidents, thread } = Outbox::open(options)?;
    tell(&incidents, "outbox");
    for sink in sinks {
        let routes = if sink.id.as_str() == MAIN { main.clone() } else { single(basics, &sink)? };
        if !routes.is_empty() {
            start_shipper(basics, &outbox, sink, routes, line_back.clone())?;
        }
    }
    let ending = outbox.clone();
    let stop_outbox = async move |stop: tokio_util::sync::CancellationToken| {
        stop.cancelled().await;
        ending.stop().await;
        join("outbox", thread).await;
    };
    basics.supervisor.spawn_owner("outbox", stop_outbox);
    report_outbox(outbox.clone(), basics, panel);
    let relay = Relay::new(outbox.clone(), main.clone());
    let (outbox, mut routers) = mirror::start(basics, outbox, &main, neighbour, panel)?;
    routers.extend([
        transactions::routes(outbox.clone(), documents.clone()),
        outbox::routes(outbox.clone()),
        relay::routes(relay),
    ]);
    Ok((outbox, documents, routers))
}

/// How many transactions the outbox of a box that does not run still holds.
pub async fn held_by(config: &Config, key: &SigningKey) -> Result<u64, RoleError> {
    let of = |sink: Sink| SinkDef { id: sink.id, authoritative: sink.authoritative };
    let defs = sinks(config).into_iter().map(of).collect();
    let dir = config.data_dir.join("outbox");
    let options = OutboxOptions::new(dir, defs, config.node.clone(), key.clone());
    let OutboxOpened { outbox, thread, .. } = Outbox::open(options)?;
    let figures = outbox.figures().await;
    outbox.stop().await;
    join("outbox", thread).await;
    // An outbox that does not tell may hold anything.
    Ok(figures.map_or(u64::MAX, |figures| figures.waiting))
}

/// Where transactions go; without any place they wait for one to be configured.
fn sinks(config: &Config) -> Vec<Sink> {
    let main = &config.main;
    let mut sinks = config.sinks.clone();
    if !main.url.is_empty() || sinks.is_empty() {
        let id: SinkId = MAIN.parse().expect("a literal that keeps the rule for sinks");
        let (token_file, public_key) = (main.token_file.clone(), main.public_key.clone());
        let (url, sealed, ca_file) = (main.url.clone(), main.sealed, main.ca_file.clone());
        let (authoritative, site) = (true, None);
        sinks.push(Sink { id, url, authoritative, token_file, public_key, sealed, site, ca_file });
    }
    sinks
}

fn single(basics: &Basics<'_>, sink: &Sink) -> Result<Routes, RoleError> {
    let secret = token(&sink.token_file)?;
    let site = sink.site.as_ref().unwrap_or(&basics.config.main.site);
    let line = basics.lines.open(&sink.url, believed(&sink.ca_file, site))?;
    let sealed = wire(basics, sink.sealed, &line, &secret)?;
    let pass = Pass::Token(secret.reveal().to_owned());
    let route = Route::over(line, pass, sealed).map_err(RoleError::Client)?;
    Ok(Routes::single(route.behind(basics.valve)))
}

fn start_shipper(
    basics: &Basics<'_>,
    outbox: &Outbox,
    sink: Sink,
    routes: Routes,
    line_back: LineBack,
) -> Result<(), RoleError> {
    let name = format!("shipper {}", sink.id);
    let further = basics.config.sources.iter().filter(|_| sink.id.as_str() == MAIN);
    let further = further.filter_map(|source| source.public_key.0);
    let options = ShipperOptions {
        sink: sink.id.clone(),
        authoritative: sink.authoritative,
        routes,
        node: basics.config.node.clone(),
        trusted: sink.public_key.0.into_iter().chain(further).collect(),
        line_back,
    };
    let shipper = Shipper::new(outbox.clone(), options).map_err(RoleError::Client)?;
    basics.supervisor.spawn_owner(name, |stop| shipper.run(stop));
    Ok(())
}

fn report_outbox(outbox: Outbox, basics: &Basics<'_>, panel: &mut PanelBuilder) {
    let urls: Vec<_> = sinks(basics.config).into_iter().map(|sink| (sink.id, sink.url)).collect();
    let held_max = u64::try_from(basics.config.outbox.entries_max).unwrap_or(u64::MAX);
    panel.ask(
        "the outbox does not answer",
        move || figures(outbox.clone()),
        move |status, figures: OutboxFigures| {
            let age = |since: storebox_proto::time::Timestamp| {
                let ms = status.now.unix_ms().saturating_sub(since.unix_ms());
                u64::try_from(ms / 1000).unwrap_or(0)
            };
            status.outbox = Some(OutboxStatus {
                waiting: figures.waiting,
                oldest_s: figures.oldest.map(age),
                quarantined: figures.quarantined,
                accepted: figures.accepted,
                settled: figures.settled,
                given_up: figures.given_up,
                conflicts: figures.conflicts,
                passed_on: figures.guests,
                held_max,
                failed: figures.usage.failed,
            });
            for (id, url) in urls.iter().filter(|(_, url)| !url.is_empty()) {
                let sink = figures.sinks.iter().find(|sink| sink.id == *id);
                status.lines.extend(sink.map(|sink| line(sink, url)));
            }
        },
    );
}

async fn figures(outbox: Outbox) -> Option<OutboxFigures> {
    outbox.figures().await.ok()
}

fn line(sink: &SinkStatus, url: &str) -> LineStatus {
    let (up, is_refused, word) = match &sink.link {
        Link::Up => (true, false, String::new()),
        Link::Waiting { .. } => (false, false, "tried again".to_owned()),
        Link::Paused { .. } => (false, true, "it does not let this box in".to_owned()),
    };
    let count = |number: u64, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let parts = [
        Some(word).filter(|word| !word.is_empty()),
        count(sink.behind as u64, "to go"),
        count(sink.refused, "refused there"),
        count(sink.left, "left behind: it will never get them"),
    ];
    let detail = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let (to, service) = (url.to_owned(), "transactions".to_owned());
    LineStatus { to, service, up, detail, is_refused, since: None }
}

/// Starts the ledger of head office.
pub(super) fn start_ledger(
    basics: &Basics<'_>,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    let (node, key) = (basics.config.node.clone(), basics.key.clone());
    let options = LedgerOptions::new(path(basics, "ledger"), node, key);
    let LedgerOpened { ledger, incidents, thread } = Ledger::open(options)?;
    tell(&incidents, "ledger");
    let ending = ledger.clone();
    let stop_ledger = async move |stop: tokio_util::sync::CancellationToken| {
        stop.cancelled().await;
        ending.stop().await;
        join("ledger", thread).await;
    };
    basics.supervisor.spawn_owner("ledger", stop_ledger);
    let asked = ledger.clone();
    panel.ask(
        "the ledger does not answer",
        move || {
            let ledger = asked.clone();
            async move { ledger.figures().await.ok() }
        },
        |status, figures| {
            let LedgerFigures { settled, refused, index_failed, usage } = figures;
            let failed = usage.failed;
            status.ledger = Some(LedgerStatus { settled, refused, failed, index_failed });
        },
    );
    deliveries::start(basics, &ledger, panel)?;
    let folder = &basics.config.data_dir;
    let signers = Signers::open(folder)
        .map_err(|source| RoleError::File { path: folder.join("receipt-keys.json"), source })?;
    let (books, access) = (ledger.clone(), basics.access.clone());
    let settling = Settling { ledger: books, access, signers };
    let sinks = basics.config.deliveries.iter().map(|deliver| deliver.id.clone()).collect();
    let aside = Aside::new(path(basics, "deliver"), sinks);
    Ok(vec![settle::routes(settling), ledger::routes(ledger), ledger::aside_routes(aside)])
}

fn tell(incidents: &[String], of: &str) {
    for incident in incidents {
        tracing::error!(error = incident, of, "something was wrong on the disk");
    }
}

pub(super) async fn join(name: &str, thread: std::thread::JoinHandle<()>) {
    let joined = beside(move || thread.join());
    if tokio::time::timeout(JOURNAL_STOP_MAX, joined).await.is_err() {
        tracing::warn!(task = name, "did not end in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_was_left_behind_says_so_in_the_status() {
        let mut sink = SinkStatus {
            id: "archive".parse().unwrap(),
            authoritative: false,
            link: Link::Up,
            behind: 20,
            refused: 1,
            left: 30,
        };
        let status = line(&sink, "http://archive.example");
        assert!(status.up);
        let words = "20 to go, 1 refused there, 30 left behind: it will never get them";
        assert_eq!(status.detail, words);
        (sink.behind, sink.refused, sink.left) = (0, 0, 0);
        assert_eq!(line(&sink, "http://archive.example").detail, "");
    }
}
