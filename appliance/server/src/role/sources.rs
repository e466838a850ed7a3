//! The definition of the sources of a box, put together: tiers, ways to read, ways to settle.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use storebox_proto::feed::Registry;
use storebox_proto::ids::SourceId;
use storebox_proto::sync::ladder::{Kind, Rung, Service};

use super::{Basics, RoleError, token};
use crate::config;
use crate::env;
use crate::replica::board::Board;
use crate::replica::source::{HttpSource, Source};
use crate::replica::sources::Sources;
use crate::status::PanelBuilder;
use crate::tiers::Tiers;
use crate::uplink::shipper::Token;
use crate::uplink::{Route, Routes, client_through};

/// One object of a feed arrives within this, or is asked for again.
const OBJECT_MAX: Duration = Duration::from_secs(30);
/// The name of the source that `[main]` is.
const MAIN: &str = "main";

/// Where a store reads and settles.
pub(super) struct Definition {
    /// Where from.
    pub(super) sources: Sources,
    /// Where to, for the main sink.
    pub(super) routes: Routes,
    /// The main server itself, which hears of refreshes.
    pub(super) main: Option<HttpSource>,
}

/// Builds all that the configuration names.
pub(super) fn define(basics: &Basics<'_>) -> Result<Definition, RoleError> {
    let config = basics.config;
    let tiers = Tiers::new(u64::from_le_bytes(env::random()));
    let keys: Vec<_> = config.main.public_key.0.into_iter().collect();
    let routes = Routes::new(tiers.clone());
    if config.main.url.is_empty() && config.sources.is_empty() {
        let sources = Sources::local(Board::new(Registry::built_in().feeds()));
        return Ok(Definition { sources, routes, main: None });
    }
    let sources = Sources::new(tiers, keys);
    let mut main = None;
    if !config.main.url.is_empty() {
        let line = basics.line;
        let token_text = token(&config.main.token_file)?;
        let socket = line.socket.as_deref();
        let source = HttpSource::through(socket, &line.url, &token_text, OBJECT_MAX)?;
        let id: SourceId = MAIN.parse().expect("a literal that keeps the rule for sources");
        main = Some(source.clone());
        let through = socket.map(client_through).transpose().map_err(RoleError::Client)?;
        let (url, token) = (line.url.clone(), Token::new(token_text));
        routes.put(id.clone(), Route { url, token, through });
        sources.put(Rung::new(id, Kind::Primary), &config.main.url, Source::Http(source));
    }
    for entry in &config.sources {
        let usual = Rung::new(entry.id.clone(), entry.kind);
        let priority = entry.priority.unwrap_or(usual.priority);
        let services =
            if entry.services.is_empty() { usual.services } else { entry.services.clone() };
        if services.contains(&Service::Transactions) {
            routes.put(entry.id.clone(), route(&entry.url, &entry.token_file)?);
        }
        let rung =
            Rung { id: entry.id.clone(), kind: entry.kind, priority, services, found: false };
        sources.put(rung, &entry.url, source(entry)?);
    }
    Ok(Definition { sources, routes, main })
}

/// Looks at what does not answer, and shows all of it.
pub(super) fn keep(basics: &Basics<'_>, definition: &Definition, panel: &mut PanelBuilder) {
    let Definition { sources, routes, .. } = definition;
    let probes = BTreeMap::from([
        (Service::Feeds, sources.probe()),
        (Service::Transactions, routes.probe()),
    ]);
    let tiers = sources.tiers().clone();
    let shown = tiers.clone();
    basics.supervisor.spawn_owner("sources", |stop| tiers.run(probes, stop));
    panel.add(move |status| status.sources = shown.statuses());
}

fn source(entry: &config::Source) -> Result<Source, RoleError> {
    Ok(Source::Http(http(&entry.url, &entry.token_file)?))
}

fn http(url: &str, token_file: &Path) -> Result<HttpSource, RoleError> {
    Ok(HttpSource::new(url, &token(token_file)?, OBJECT_MAX)?)
}

fn route(url: &str, token_file: &Path) -> Result<Route, RoleError> {
    let token = Token::new(token(token_file)?);
    Ok(Route { url: url.to_owned(), token, through: None })
}
