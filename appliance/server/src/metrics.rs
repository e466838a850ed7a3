//! Numbers for Prometheus, gathered when somebody asks.
//!
//! Everything that a gauge needs is in the status of the box already, so nothing is counted twice and no part
//! has to know this module.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use storebox_proto::time::ClockConfidence;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

mod boxes;

use crate::http::fleet::{BoxView, Fleet};
use crate::http::traffic::Traffic;
use crate::spans;
use crate::status::{DeliveryStatus, DeviceStatus, HookStatus, Level, Panel, PushFigures, Status};
use crate::tiers::SourceStatus;

/// The media type of the OpenMetrics text format.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the numbers are made of; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    panel: Panel,
    traffic: Traffic,
    chain: Chain,
}

/// What is known of the other boxes of the chain.
#[derive(Debug, Clone)]
pub enum Chain {
    /// This is none of head office's.
    Unknown,
    /// They tell head office.
    Live(Fleet),
    /// They are these: for documents.
    Fixed(Vec<BoxView>),
}

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge>;
type Counters = Family<Labels, Counter>;

impl Metrics {
    /// Numbers of this box.
    pub fn new(panel: Panel, traffic: Traffic) -> Self {
        Self { panel, traffic, chain: Chain::Unknown }
    }

    /// With those of all boxes of the chain, at head office.
    #[must_use]
    pub fn of(self, chain: Chain) -> Self {
        Self { chain, ..self }
    }

    /// The route of this file.
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(metrics)).with_state(self)
    }

    /// All numbers in the text format of OpenMetrics.
    pub async fn text(&self) -> String {
        let status = self.panel.status().await;
        let mut registry = Registry::with_prefix("storebox");
        add_box(&mut registry, &status);
        add_findings(&mut registry, &status);
        add_machine(&mut registry, &status);
        add_feeds(&mut registry, &status);
        add_sources(&mut registry, &status);
        add_transactions(&mut registry, &status);
        add_deliveries(&mut registry, &status);
        add_hooks(&mut registry, &status);
        add_pushes(&mut registry, &status);
        add_devices(&mut registry, &status);
        add_tasks(&mut registry, &status);
        add_trust(&mut registry, &status);
        add_traffic(&mut registry, &self.traffic);
        add_spans(&mut registry);
        match &self.chain {
            Chain::Unknown => {}
            Chain::Live(fleet) => boxes::add(&mut registry, &fleet.boxes().await, status.now),
            Chain::Fixed(known) => boxes::add(&mut registry, known, status.now),
        }
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing to a string never fails");
        text
    }
}

/// Numbers for Prometheus, for the operator, other boxes and programs on this machine.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200,
    description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], metrics.text().await).into_response()
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn gauges(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Labels, u64)>,
) {
    let family = Gauges::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
    registry.register(name, help, family);
}

fn add_box(registry: &mut Registry, status: &Status) {
    gauge(registry, "ready", "Whether the box can do its job", u64::from(status.ready));
    gauge(registry, "uptime_seconds", "Time since the start", status.uptime_s);
    let labels = vec![
        ("node", status.node.clone()),
        ("role", status.role.clone()),
        ("version", status.version.clone()),
    ];
    gauges(registry, "build", "What runs here", std::iter::once((labels, 1)));
}

fn add_findings(registry: &mut Registry, status: &Status) {
    let level = |level: Level| match level {
        Level::Good => "good",
        Level::Notice => "notice",
        Level::Bad => "bad",
    };
    let findings = status.findings.iter().map(|finding| {
        (vec![("code", finding.code.clone()), ("level", level(finding.level).to_owned())], 1)
    });
    gauges(registry, "finding", "What is to be said of the box", findings);
    let drill = u64::from(status.drill.is_some());
    gauge(registry, "drill", "Whether the line to head office is cut on purpose", drill);
    let is_wrong = u64::from(status.clock == ClockConfidence::Wrong);
    gauge(registry, "clock_wrong", "Whether the clock is known to be wrong", is_wrong);
}

/// What the machine does not tell is not there.
fn add_machine(registry: &mut Registry, status: &Status) {
    let machine = &status.machine;
    let mut known = |name: &str, help: &str, value: Option<u64>| {
        if let Some(value) = value {
            gauge(registry, name, help, value);
        }
    };
    known("disk_free_bytes", "Free bytes of the data's disk", machine.disk_free_bytes);
    known("disk_bytes", "Bytes of the data's disk", machine.disk_total_bytes);
    known(
        "disk_wear_percent",
        "Used part of the flash's life",
        machine.wear_percent.map(u64::from),
    );
    let degrees = machine.temperature_c.map(|degrees| u64::try_from(degrees).unwrap_or(0));
    known("temperature_celsius", "The hottest sensor", degrees);
    known("memory_bytes", "Memory of the service", machine.memory_bytes);
    known("vault_locked", "Whether the vault does not open", Some(machine.vault_locked.into()));
}

fn add_feeds(registry: &mut Registry, status: &Status) {
    let of = |feed: &str| vec![("feed", feed.to_owned())];
    let revisions = status.feeds.iter().map(|feed| (of(&feed.feed), feed.revision));
    gauges(registry, "feed_revision", "Revision that readers see", revisions);
    let records = status.feeds.iter().map(|feed| (of(&feed.feed), feed.records));
    gauges(registry, "feed_records", "Records of a feed", records);
    let published = status
        .feeds
        .iter()
        .map(|feed| (of(&feed.feed), u64::try_from(feed.published.unix_ms() / 1000).unwrap_or(0)));
    let help = "When the author published what readers see, in seconds since 1970";
    gauges(registry, "feed_published_timestamp_seconds", help, published);
    let failed =
        status.feeds.iter().map(|feed| (of(&feed.feed), u64::from(feed.last_error.is_some())));
    gauges(registry, "feed_failed", "Whether the last refresh failed", failed);
    let lines = status.lines.iter().map(|line| {
        (vec![("to", line.to.clone()), ("service", line.service.clone())], u64::from(line.up))
    });
    gauges(registry, "line_up", "Whether another server answers", lines);
}

fn add_sources(registry: &mut Registry, status: &Status) {
    let labels = |source: &SourceStatus| {
        let (id, kind) = (source.id.clone(), source.kind.clone());
        vec![("source", id), ("kind", kind), ("service", source.service.clone())]
    };
    let up = status.sources.iter().map(|source| (labels(source), u64::from(source.up)));
    gauges(registry, "source_up", "Whether a source may be used", up);
    let chosen = status.sources.iter().map(|source| (labels(source), u64::from(source.chosen)));
    gauges(registry, "source_chosen", "Whether a source is the one in use", chosen);
    let family = Counters::default();
    for source in &status.sources {
        family.get_or_create(&labels(source)).inc_by(source.opened);
    }
    registry.register("source_opened", "How often a source was given up", family);
}

fn add_devices(registry: &mut Registry, status: &Status) {
    let of =
        |device: &DeviceStatus| vec![("device", device.id.clone()), ("kind", device.kind.clone())];
    let used = || status.devices.iter().filter(|device| device.link != "unused");
    let does = |device: &DeviceStatus| device.link == "open" && device.trouble.is_none();
    let works = used().map(|device| (of(device), u64::from(does(device))));
    gauges(registry, "device_works", "Whether a device can do its work", works);
    let printers = || used().filter(|device| device.kind == "printer");
    let waiting = printers().map(|device| (of(device), device.waiting));
    gauges(registry, "print_jobs_waiting", "Jobs that wait for a printer", waiting);
    let in_doubt = printers().map(|device| (of(device), device.in_doubt));
    gauges(registry, "print_jobs_in_doubt", "Jobs that a person must decide about", in_doubt);
    let unused = status.devices.len() - used().count();
    gauge(registry, "devices_unused", "Definitions of devices that make no sense", unused as u64);
}

fn add_transactions(registry: &mut Registry, status: &Status) {
    if let Some(outbox) = &status.outbox {
        gauge(registry, "outbox_waiting", "Transactions not yet settled", outbox.waiting);
        gauge(registry, "outbox_room", "As many may wait", outbox.held_max);
        let failed = u64::from(outbox.failed);
        gauge(registry, "outbox_failed", "Whether the disk refuses transactions", failed);
        let oldest = outbox.oldest_s.unwrap_or(0);
        gauge(registry, "outbox_oldest_seconds", "Age of the oldest of them", oldest);
        let quarantined = outbox.quarantined;
        gauge(registry, "outbox_quarantined", "Transactions that wait for a person", quarantined);
        counter(registry, "outbox_accepted", "Transactions accepted", outbox.accepted);
        counter(registry, "outbox_settled", "Transactions settled", outbox.settled);
        counter(registry, "outbox_given_up", "Transactions given up", outbox.given_up);
        let conflicts = outbox.conflicts;
        gauge(registry, "outbox_conflicts", "Contradictions that wait for a person", conflicts);
    }
    if let Some(ledger) = &status.ledger {
        counter(registry, "ledger_settled", "Transactions in the ledger", ledger.settled);
        counter(registry, "ledger_refused", "Transactions refused", ledger.refused);
        let failed = u64::from(ledger.failed || ledger.index_failed);
        gauge(registry, "ledger_failed", "Whether the disk keeps the ledger from settling", failed);
    }
}

fn add_deliveries(registry: &mut Registry, status: &Status) {
    let all = |value: fn(&DeliveryStatus) -> u64| {
        let row = move |one: &DeliveryStatus| (vec![("sink", one.id.clone())], value(one));
        status.deliveries.iter().map(row)
    };
    gauges(registry, "delivery_position", "Last position at the sink", all(|one| one.position));
    gauges(registry, "delivery_behind", "Settled transactions to go", all(|one| one.behind));
    gauges(
        registry,
        "delivery_aside",
        "Transactions for a person: refused by the sink, or not readable in the ledger",
        all(|one| one.aside),
    );
    let failing = all(|one| u64::from(one.failing.is_some()));
    gauges(registry, "delivery_failing", "Whether the last attempt failed", failing);
}

fn add_hooks(registry: &mut Registry, status: &Status) {
    let Some(channels) = &status.channels else { return };
    let (runs, failures, took) = (Counters::default(), Counters::default(), Counters::default());
    for HookStatus { name, runs: count, failures: failed, took_us, .. } in &channels.hooks {
        let labels = vec![("hook", name.clone())];
        runs.get_or_create(&labels).inc_by(*count);
        failures.get_or_create(&labels).inc_by(*failed);
        took.get_or_create(&labels).inc_by(*took_us);
    }
    registry.register("hook_runs", "Runs of a hook or of a service of the chain", runs);
    registry.register("hook_failures", "Runs that refused, failed or were stopped", failures);
    registry.register("hook_microseconds", "How long all runs took together", took);
    let waiting = channels.hooks_waiting;
    gauge(registry, "hooks_waiting", "Hooks after the commit that have not succeeded", waiting);
    let oldest = channels.hooks_oldest_s.unwrap_or(0);
    gauge(registry, "hooks_oldest_seconds", "Age of the oldest of them", oldest);
    let dead = channels.hooks_dead;
    gauge(registry, "hooks_dead", "Hooks after the commit that wait for a person", dead);
    counter(registry, "hooks_missed", "Hooks that could not be kept", channels.hooks_missed);
    let missed = channels.requests_missed;
    counter(registry, "requests_missed", "Calls that came too fast for their log", missed);
}

fn add_pushes(registry: &mut Registry, status: &Status) {
    let Some(channels) = &status.channels else { return };
    let all = |value: fn(&PushFigures) -> u64| {
        let row = move |push: &PushFigures| {
            let labels = vec![("channel", push.channel_id.clone()), ("push", push.id.clone())];
            (labels, value(push))
        };
        channels.pushes.iter().map(row)
    };
    gauges(registry, "push_waiting", "Changes that wait for a target", all(|push| push.waiting));
    let oldest = all(|push| push.oldest_s.unwrap_or(0));
    gauges(registry, "push_oldest_seconds", "Age of the oldest of them", oldest);
    gauges(registry, "push_dead", "Changes that a target refused", all(|push| push.dead));
    let failing = all(|push| u64::from(push.failing_since.is_some()));
    gauges(registry, "push_failing", "Whether a target takes nothing", failing);
}

fn add_tasks(registry: &mut Registry, status: &Status) {
    let family = Counters::default();
    for task in &status.tasks {
        family.get_or_create(&vec![("task", task.name.clone())]).inc_by(task.restarts);
    }
    registry.register("task_restarts", "Restarts of a task", family);
}

fn add_trust(registry: &mut Registry, status: &Status) {
    let Some(trust) = &status.trust else { return };
    gauge(registry, "strike_list", "Number of the list of what was struck off", trust.strike_list);
    let waiting = u64::try_from(trust.requests_waiting).unwrap_or(u64::MAX);
    gauge(registry, "enrolment_waiting", "Newcomers that wait for a person", waiting);
    counter(registry, "enrolment_enrolled", "Members that were let in", trust.enrolled);
    counter(registry, "enrolment_refused", "Newcomers that were refused", trust.refused);
}

fn add_spans(registry: &mut Registry) {
    let counts = spans::counts();
    counter(registry, "spans_sent", "Spans that the collector has", counts.sent);
    counter(registry, "spans_dropped", "Spans that it did not take in time", counts.dropped);
}

fn add_traffic(registry: &mut Registry, traffic: &Traffic) {
    let family = Counters::default();
    for (class, count) in traffic.answers() {
        family.get_or_create(&vec![("status", class.to_owned())]).inc_by(count);
    }
    registry.register("http_answers", "Answers by class of status", family);
    let family = Counters::default();
    for (code, count) in traffic.refusals() {
        family.get_or_create(&vec![("code", code.to_string())]).inc_by(count);
    }
    registry.register("http_refusals", "Refusals by code", family);
    let family = Counters::default();
    for (why, count) in traffic.disbeliefs() {
        family.get_or_create(&vec![("reason", why.to_owned())]).inc_by(count);
    }
    registry.register("http_disbelieved", "Callers that were not believed, by reason", family);
    let refused = traffic.refused_connections();
    counter(registry, "http_refused_connections", "Connections beyond the limit", refused);
    let odd = traffic.odd_connections();
    counter(registry, "http_odd_connections", "Connections on which no HTTP came", odd);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;
    use crate::status::{ChannelsStatus, FeedStatus, OutboxStatus, PanelBuilder};
    use crate::supervise::Supervisor;
    use storebox_proto::time::Timestamp;

    #[tokio::test]
    async fn the_numbers_are_open_metrics() {
        let node = "store-1".parse().unwrap();
        let mut panel = PanelBuilder::new(node, Role::Store, String::new(), Supervisor::new());
        panel.add(|status| {
            status.outbox = Some(OutboxStatus { waiting: 14, ..OutboxStatus::default() });
            status.channels = Some(ChannelsStatus {
                hooks_dead: 2,
                hooks: vec![HookStatus {
                    name: "hook no-bobs".to_owned(),
                    runs: 9,
                    failures: 4,
                    ..HookStatus::default()
                }],
                pushes: vec![PushFigures {
                    id: "prices".to_owned(),
                    channel_id: "web".to_owned(),
                    waiting: 5,
                    oldest_s: Some(604_800),
                    ..PushFigures::default()
                }],
                ..ChannelsStatus::default()
            });
            status.devices.push(DeviceStatus {
                id: "till-printer".to_owned(),
                kind: "printer".to_owned(),
                link: "open".to_owned(),
                waiting: 3,
                in_doubt: 1,
                ..DeviceStatus::default()
            });
            status.feeds.push(FeedStatus {
                feed: "catalogue".to_owned(),
                epoch: 1,
                revision: 7,
                published: Timestamp::from_unix_ms(0),
                excerpt: None,
                records: 92_331,
                state: "following".to_owned(),
                last_error: None,
            });
        });
        let text = Metrics::new(panel.finish(), Traffic::default()).text().await;
        assert!(text.contains("storebox_outbox_waiting 14\n"), "{text}");
        assert!(text.contains("storebox_feed_revision{feed=\"catalogue\"} 7\n"), "{text}");
        let of_printer = "{device=\"till-printer\",kind=\"printer\"}";
        for figure in ["device_works", "print_jobs_waiting", "print_jobs_in_doubt"] {
            assert!(text.contains(&format!("storebox_{figure}{of_printer}")), "{text}");
        }
        assert!(text.contains("storebox_devices_unused 0\n"), "{text}");
        for line in [
            "hook_runs_total{hook=\"hook no-bobs\"} 9",
            "hook_failures_total{hook=\"hook no-bobs\"} 4",
            "hooks_dead 2",
            "push_waiting{channel=\"web\",push=\"prices\"} 5",
            "push_oldest_seconds{channel=\"web\",push=\"prices\"} 604800",
        ] {
            assert!(text.contains(&format!("storebox_{line}\n")), "{line}: {text}");
        }
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
