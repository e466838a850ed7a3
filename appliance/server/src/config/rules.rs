//! Bounds of values and rules between keys; types and names were checked by parsing.

use std::fmt::Display;
use std::ops::RangeInclusive;

use storebox_proto::beacon::Pointer;
use storebox_proto::ids::{SinkId, SiteId, SourceId, TxKind};
use storebox_proto::limits;
use storebox_proto::sync::ladder::{Kind, WEIGHT_MAX};

use super::{Config, DeliverTo, Role};

/// A rule that a configuration breaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The key to change.
    pub(super) key: &'static str,
    /// What is wrong with it.
    pub(super) reason: String,
}

impl Broken {
    fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}

/// All rules, the first broken one is reported.
pub(super) fn check(config: &Config) -> Result<(), Broken> {
    check_http(config)?;
    check_tls(config)?;
    within("masterdata.overlay_max", config.masterdata.overlay_max, 100..=1_000_000)?;
    within("masterdata.cache_bytes", config.masterdata.cache_bytes, 1 << 20..=1 << 32)?;
    within("masterdata.scrub_hours", config.masterdata.scrub_hours, 0..=8760)?;
    within("masterdata.line_kb_per_s", config.masterdata.line_kb_per_s, 0..=10_000_000)?;
    within("outbox.entries_max", config.outbox.entries_max, 1..=10_000_000)?;
    within("outbox.urgent", config.outbox.urgent.len(), 0..=16)?;
    within("outbox.reserve_bytes", config.outbox.reserve_bytes, 1 << 20..=1 << 40)?;
    let page_max = u32::try_from(limits::PAGE_RECORDS_MAX).expect("a page is far below 4 billion");
    within("terminal.batch_size", config.terminal.batch_size, 1..=page_max)?;
    for (key, minutes) in [
        ("terminal.full_minutes", config.terminal.full_minutes),
        ("terminal.incremental_minutes", config.terminal.incremental_minutes),
        ("terminal.popup_minutes", config.terminal.popup_minutes),
    ] {
        within(key, minutes, 0..=527_040)?;
    }
    within("discovery.name", config.discovery.name.len(), 0..=limits::BEACON_NAME_BYTES_MAX)?;
    check_hints(config)?;
    within("login.token_minutes", config.login.token_minutes, 1..=1440)?;
    within("login.shift_hours", config.login.shift_hours, 1..=168)?;
    within("seal.max_age_s", config.seal.max_age_s, 0..=86_400)?;
    within("traces.of_1000", config.traces.of_1000, 0..=1000)?;
    let collector = &config.traces.url;
    if !collector.is_empty() && !collector.starts_with("http://") {
        let reason =
            format!("{collector:?} does not start with http://: a collector is near the box");
        return Err(Broken::new("traces.url", reason));
    }
    check_main(config)?;
    within("proxy.direct", config.proxy.direct.len(), 0..=64)?;
    check_sources(config)?;
    check_publish(config)?;
    check_peers(config)?;
    check_sinks(config)?;
    check_deliveries(config)?;
    check_intakes(config)
}

/// What cannot lead to a box is refused at the start, not passed over in silence later.
fn check_hints(config: &Config) -> Result<(), Broken> {
    let discovery = &config.discovery;
    let (boxes, names) = (&discovery.boxes, &discovery.names);
    for (key, texts) in [("discovery.boxes", boxes), ("discovery.names", names)] {
        within(key, texts.len(), 0..=limits::POINTER_PLACES_MAX)?;
        for text in texts {
            let pointer = Pointer::parse(text, discovery.port);
            pointer.map_err(|error| Broken::new(key, error.to_string()))?;
        }
    }
    within("discovery.domains", discovery.domains.len(), 0..=limits::POINTER_PLACES_MAX)?;
    within("discovery.name_servers", discovery.name_servers.len(), 0..=4)?;
    within("discovery.port", discovery.port, 1..=u16::MAX)
}

fn check_http(config: &Config) -> Result<(), Broken> {
    let http = &config.http;
    within("http.connections_max", http.connections_max, 4..=65_536)?;
    within("http.connections_per_address_max", http.connections_per_address_max, 1..=65_536)?;
    within("http.head_timeout_s", http.head_timeout_s, 1..=60)?;
    within("http.body_timeout_s", http.body_timeout_s, 1..=600)?;
    within("http.idle_timeout_s", http.idle_timeout_s, 1..=3600)?;
    within("http.write_timeout_s", http.write_timeout_s, 1..=600)?;
    within("http.requests_per_s_max", http.requests_per_s_max, 0..=1_000_000)?;
    within("http.strangers_per_s_max", http.strangers_per_s_max, 1..=1_000_000)?;
    within("http.request_timeout_s", http.request_timeout_s, 60..=3600)?;
    let body_min = limits::BATCH_BYTES_MAX;
    within("http.body_bytes_max", http.body_bytes_max, body_min..=64 * 1024 * 1024)?;
    if (1..=16).contains(&http.listen.len()) {
        Ok(())
    } else {
        Err(Broken::new("http.listen", "must have 1 to 16 addresses"))
    }
}

fn check_tls(config: &Config) -> Result<(), Broken> {
    let tls = &config.tls;
    if tls.listen.len() > 16 {
        return Err(Broken::new("tls.listen", "must have at most 16 addresses"));
    }
    let files = [&tls.certificate_file, &tls.key_file];
    if files.iter().filter(|file| file.as_os_str().is_empty()).count() == 1 {
        let reason =
            "certificate_file and key_file go together; without both, head office sends them";
        return Err(Broken::new("tls.certificate_file", reason));
    }
    let browser = &config.browser;
    if browser.origins.len() > 32 || browser.hosts.len() > 32 {
        return Err(Broken::new("browser", "has lists of at most 32 entries"));
    }
    let is_origin = |origin: &str| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '*', ' ']))
    };
    match browser.origins.iter().find(|origin| !is_origin(origin)) {
        Some(origin) => {
            let reason = format!("{origin:?} is not an origin such as https://pos.example");
            Err(Broken::new("browser.origins", reason))
        }
        None => Ok(()),
    }
}

fn within<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Broken> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = range.into_inner();
    Err(Broken::new(key, format!("{value} is not within {low} and {high}")))
}

fn check_main(config: &Config) -> Result<(), Broken> {
    let main = &config.main;
    if main.url.is_empty() {
        return Ok(());
    }
    if config.role == Role::Main {
        return Err(Broken::new("main.url", "a box of role \"main\" has no main server"));
    }
    check_url("main.url", &main.url)?;
    // Whoever shows a certificate of the chain needs no token; an authority of the company knows no boxes.
    let is_known = main.url.starts_with("https://") && main.ca_file.as_os_str().is_empty();
    if main.public_key.0.is_none() {
        let reason = "needed with main.url: `storebox key` prints it on the main server";
        return Err(Broken::new("main.public_key", reason));
    }
    if main.token_file.as_os_str().is_empty() && !is_known {
        let reason = "needed unless main.url is https without ca_file: holds what `storebox node add` printed there";
        return Err(Broken::new("main.token_file", reason));
    }
    Ok(())
}

fn check_sinks(config: &Config) -> Result<(), Broken> {
    for sink in &config.sinks {
        check_url("sink", &sink.url)?;
    }
    let has_main = usize::from(!config.main.url.is_empty());
    let places = config.sinks.len() + has_main;
    let authoritative = config.sinks.iter().filter(|sink| sink.authoritative).count() + has_main;
    if places > 0 && authoritative != 1 {
        let reason = format!("{authoritative} places are authoritative, exactly one must be");
        return Err(Broken::new("sink", reason));
    }
    if has_main == 1 && config.sinks.iter().any(|sink| sink.id.as_str() == "main") {
        return Err(Broken::new("sink", "the id main is taken by [main]"));
    }
    once("sink", config.sinks.iter().map(|sink| &sink.id))
}

fn check_deliveries(config: &Config) -> Result<(), Broken> {
    if config.role != Role::Main && !config.deliveries.is_empty() {
        let reason = "only a box of role \"main\" has settled transactions to deliver";
        return Err(Broken::new("deliver", reason));
    }
    for deliver in &config.deliveries {
        let starts: &[&str] = match deliver.to {
            DeliverTo::Postgres => &["postgresql://", "postgres://", "host="],
            DeliverTo::Nats => &["nats://", "tls://"],
            DeliverTo::Http => &["https://", "http://"],
            DeliverTo::Files => &["/"],
        };
        if !starts.iter().any(|start| deliver.url.starts_with(start)) {
            let (url, starts) = (&deliver.url, starts.join(" or "));
            let reason = format!("{}: {url:?} does not start with {starts}", deliver.id);
            return Err(Broken::new("deliver", reason));
        }
        if deliver.to != DeliverTo::Postgres && deliver.url.contains('@') {
            let reason = format!("{}: a secret belongs into secret_file", deliver.id);
            return Err(Broken::new("deliver", reason));
        }
        if let Some(kind) = deliver.kinds.iter().find(|kind| !TxKind::allows(kind)) {
            return Err(Broken::new("deliver", format!("{}: {kind:?} is no kind", deliver.id)));
        }
        within("deliver.rotate_bytes", deliver.rotate_bytes, 1024..=1 << 40)?;
        within("deliver.rotate_minutes", deliver.rotate_minutes, 1..=527_040)?;
        let is_word = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            (1..=64).contains(&text.len()) && text.bytes().all(allowed)
        };
        if !is_word(&deliver.stream) || !deliver.prefix.split('.').all(is_word) {
            let reason =
                format!("{}: stream and prefix are letters, digits, '_' and '-'", deliver.id);
            return Err(Broken::new("deliver", reason));
        }
    }
    once("deliver", config.deliveries.iter().map(|deliver| &deliver.id))
}

fn check_intakes(config: &Config) -> Result<(), Broken> {
    if config.role != Role::Main && !config.intakes.is_empty() {
        return Err(Broken::new("intake", "only a box of role \"main\" authors masterdata"));
    }
    for intake in &config.intakes {
        within("intake.every_s", intake.every_s, 1..=86_400)?;
        within("intake.overlap_s", intake.overlap_s, 0..=604_800)?;
        within("intake.reconcile_s", intake.reconcile_s, 1..=31_622_400)?;
        let mut models: Vec<_> = intake.tables.iter().map(|table| &table.model).collect();
        models.sort_unstable();
        if let Some(pair) = models.windows(2).find(|pair| pair[0] == pair[1]) {
            let reason = format!("{}: the model {} has two tables", intake.id, pair[0]);
            return Err(Broken::new("intake", reason));
        }
    }
    once("intake", config.intakes.iter().map(|intake| &intake.id))
}

fn once<'a>(key: &'static str, ids: impl Iterator<Item = &'a SinkId>) -> Result<(), Broken> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Broken::new(key, format!("the id {} is used twice", pair[0]))),
        None => Ok(()),
    }
}

fn check_sources(config: &Config) -> Result<(), Broken> {
    let broken = |reason: String| Err(Broken::new("source", reason));
    let sources = &config.sources;
    if sources.is_empty() {
        return Ok(());
    }
    let room = limits::SOURCES_MAX - limits::SOURCES_FOUND_MAX - 1;
    if config.role == Role::Main {
        return broken("a box of role \"main\" is its own source".to_owned());
    }
    if sources.len() > room {
        return broken(format!("{} sources, at most {room} may be named", sources.len()));
    }
    if config.main.public_key.0.is_none() {
        let reason = "needed with [[source]]: whose masterdata is believed";
        return Err(Broken::new("main.public_key", reason));
    }
    for source in sources {
        let id = &source.id;
        if matches!(source.kind, Kind::Primary | Kind::Local) {
            let kind = source.kind.as_str();
            return broken(format!("{id}: kind {kind:?} is not for [[source]]"));
        }
        if let Some(service) = source.services.iter().find(|s| !source.kind.can_serve(**s)) {
            let (kind, service) = (source.kind.as_str(), service.as_str());
            return broken(format!("{id}: a source of kind {kind:?} cannot serve {service:?}"));
        }
        within("source.weight", source.weight, 0..=WEIGHT_MAX)?;
        if source.kind != Kind::Storage {
            check_url("source", &source.url)?;
        }
        if source.kind != Kind::Storage && !source.ring.is_empty() {
            return broken(format!("{id}: ring is for storage; a box is asked with sealed = true"));
        }
        check_ring("source", &source.ring)?;
        let taken = id.as_str() == "main" || sources.iter().filter(|s| s.id == *id).count() > 1;
        if taken {
            return broken(format!("the id {id} is used twice"));
        }
    }
    Ok(())
}

fn check_peers(config: &Config) -> Result<(), Broken> {
    let needed = config.peers.discover && config.peers.secret_file.as_os_str().is_empty();
    if needed {
        let reason = "needed with peers.discover: holds what all boxes of the store share";
        return Err(Broken::new("peers.secret_file", reason));
    }
    let mirror = &config.mirror;
    if !mirror.peer.is_empty() && config.peers.secret_file.as_os_str().is_empty() {
        let reason = "needed with mirror.peer: holds what all boxes of the store share";
        return Err(Broken::new("peers.secret_file", reason));
    }
    if !mirror.peer.is_empty() && mirror.peer.parse::<SourceId>().is_err() {
        return Err(Broken::new("mirror.peer", "is not the name of a source"));
    }
    within("mirror.wait_ms", mirror.wait_ms, 10..=5000)?;
    if config.peers.discover && config.main.public_key.0.is_none() {
        let reason = "needed with peers.discover: whose masterdata is believed";
        return Err(Broken::new("main.public_key", reason));
    }
    Ok(())
}

fn check_publish(config: &Config) -> Result<(), Broken> {
    if !config.publish.is_empty() && config.role != Role::Main {
        return Err(Broken::new("publish", "only a box of role \"main\" publishes"));
    }
    for publish in &config.publish {
        check_ring("publish", &publish.ring)?;
    }
    let mut ids: Vec<_> = config.publish.iter().map(|publish| &publish.id).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Broken::new("publish", format!("the id {} is used twice", pair[0]))),
        None => Ok(()),
    }
}

fn check_ring(key: &'static str, ring: &str) -> Result<(), Broken> {
    match ring.is_empty() || ring.parse::<SiteId>().is_ok() {
        true => Ok(()),
        false => Err(Broken::new(key, format!("ring: {ring:?} is not the name of a site"))),
    }
}

fn check_url(key: &'static str, url: &str) -> Result<(), Broken> {
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(());
    }
    Err(Broken::new(key, format!("{url:?} does not start with http:// or https://")))
}
