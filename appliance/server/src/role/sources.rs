//! The definition of the sources of a box, put together: tiers, ways to read, ways to settle.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use storebox_proto::feed::Registry;
use storebox_proto::ids::SourceId;
use storebox_proto::sync::ladder::{Kind, Rung, Service};

use super::{Basics, RoleError, believed, token, wire};
use crate::config;
use crate::pass::Pass;
use crate::replica::board::Board;
use crate::replica::source::{HttpSource, Source};
use crate::replica::sources::{Sources, Thrift};
use crate::replica::storage::{Locker, Settings, Storage};
use crate::secrets::SecretText;
use crate::status::PanelBuilder;
use crate::tiers::Tiers;
use crate::trust::line::Line;
use crate::uplink::{Route, Routes};
use crate::valve::Valve;

/// A source of which nothing comes for so long is not waited for.
const SILENCE_MAX: Duration = Duration::from_secs(30);
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
pub(super) fn define(
    basics: &Basics<'_>,
    neighbour: Option<&Pass>,
) -> Result<Definition, RoleError> {
    let config = basics.config;
    // The lot of a box stays over restarts, so that its sources keep knowing it.
    let lot =
        *blake3::hash(config.node.as_str().as_bytes()).as_bytes().first_chunk().expect("32 bytes");
    let tiers = Tiers::new(u64::from_le_bytes(lot));
    let keys: Vec<_> = config.main.public_key.0.into_iter().collect();
    let routes = Routes::new(tiers.clone());
    let masterdata = &config.masterdata;
    let thrift =
        Thrift { bytes_per_s: masterdata.line_kb_per_s * 1000, window: masterdata.line_window };
    let sources = Sources::new(tiers, keys).with(&thrift);
    if config.main.url.is_empty() && config.sources.is_empty() {
        let nothing = Source::Local(Board::new(Registry::built_in().feeds()));
        let id: SourceId = "local".parse().expect("a literal that keeps the rule for sources");
        sources.put(Rung::new(id, Kind::Local), &nothing.name(), nothing);
    }
    let mut main = None;
    if !config.main.url.is_empty() {
        let (main_config, line) = (&config.main, basics.line);
        let token = token(&main_config.token_file)?;
        let sealed = wire(basics, main_config.sealed, line, &token)?;
        let pass = Pass::Token(token.reveal().to_owned());
        let source = HttpSource::over(line, pass.clone(), SILENCE_MAX)?;
        let source = source.sealed(sealed.clone()).behind(basics.valve);
        let id: SourceId = MAIN.parse().expect("a literal that keeps the rule for sources");
        main = Some(source.clone());
        let route = Route::over(line.clone(), pass, sealed).map_err(RoleError::Client)?;
        routes.put(id.clone(), route.behind(basics.valve));
        sources.put(Rung::new(id, Kind::Primary), &main_config.url, Source::Http(source));
    }
    for entry in &config.sources {
        let usual = Rung::new(entry.id.clone(), entry.kind);
        let priority = entry.priority.unwrap_or(usual.priority);
        let services =
            if entry.services.is_empty() { usual.services } else { entry.services.clone() };
        let source = if entry.kind == Kind::Storage {
            storage(basics, entry)?
        } else {
            let site = entry.site.as_ref().unwrap_or(&config.main.site);
            let line = basics.lines.open(&entry.url, believed(&entry.ca_file, site))?;
            if services.contains(&Service::Transactions) {
                routes.put(entry.id.clone(), route(basics, entry, &line, neighbour)?);
            }
            server(basics, entry, &line, neighbour)?
        };
        let near = usual.near || matches!(&source, Source::Storage(storage) if storage.is_here());
        let rung = Rung {
            priority,
            services,
            near,
            weight: entry.weight,
            ..Rung::new(entry.id.clone(), entry.kind)
        };
        let name = match &source {
            Source::Storage(_) => source.name(),
            Source::Http(_) | Source::Local(_) => entry.url.clone(),
        };
        sources.put(rung, &name, source);
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
    let (looks, valve) = (tiers.clone(), basics.valve.clone());
    basics.supervisor.spawn_owner("sources", |stop| tiers.run(probes, stop));
    basics.supervisor.spawn_owner("line", |stop| looks.follow(valve, stop));
    panel.add(move |status| status.sources = shown.statuses());
}

/// How transactions go to a server.
fn route(
    basics: &Basics<'_>,
    entry: &config::Source,
    line: &Line,
    neighbour: Option<&Pass>,
) -> Result<Route, RoleError> {
    let sealed = wire(basics, entry.sealed, line, &token_of(&entry.token_file)?)?;
    let route = Route::over(line.clone(), pass(entry, neighbour)?, sealed);
    Ok(route.map_err(RoleError::Client)?.behind(&valve_of(basics, entry)))
}

/// How feeds are read from a server.
fn server(
    basics: &Basics<'_>,
    entry: &config::Source,
    line: &Line,
    neighbour: Option<&Pass>,
) -> Result<Source, RoleError> {
    let wire = wire(basics, entry.sealed, line, &token_of(&entry.token_file)?)?;
    let source = HttpSource::over(line, pass(entry, neighbour)?, SILENCE_MAX)?;
    Ok(Source::Http(source.sealed(wire).behind(&valve_of(basics, entry))))
}

fn storage(basics: &Basics<'_>, entry: &config::Source) -> Result<Source, RoleError> {
    let settings = Settings {
        url: entry.url.clone(),
        user: entry.user.clone(),
        secret: secret(&entry.secret_file)?,
        endpoint: entry.endpoint.clone(),
        region: entry.region.clone(),
        ca_file: entry.ca_file.clone(),
    };
    let storage = Storage::open(settings, basics.lines)?;
    let storage = storage.locked(locker(basics, &entry.ring));
    Ok(Source::Storage(storage.behind(basics.valve)))
}

/// A drill cuts all that is beyond the shop; a neighbour is not.
fn valve_of(basics: &Basics<'_>, entry: &config::Source) -> Valve {
    match entry.kind {
        Kind::Peer => Valve::default(),
        Kind::Primary | Kind::Additional | Kind::Hosted | Kind::Storage | Kind::Local => {
            basics.valve.clone()
        }
    }
}

/// A neighbour without a token of its own is shown the secret of the store.
fn pass(entry: &config::Source, neighbour: Option<&Pass>) -> Result<Pass, RoleError> {
    match neighbour {
        Some(pass) if entry.kind == Kind::Peer && entry.token_file.as_os_str().is_empty() => {
            Ok(pass.clone())
        }
        Some(_) | None => Ok(Pass::Token(token(&entry.token_file)?.reveal().to_owned())),
    }
}

/// A token that may be missing where the secret of the store takes its place.
fn token_of(file: &Path) -> Result<SecretText, RoleError> {
    secret(file).map(SecretText::new)
}

/// What seals a storage, if a ring is named.
pub(super) fn locker(basics: &Basics<'_>, ring: &str) -> Option<Locker> {
    let site = ring.parse().ok()?;
    Some(Locker::new(basics.seals.clone(), site))
}

/// A secret that is not named is none.
pub(super) fn secret(file: &Path) -> Result<String, RoleError> {
    match file.as_os_str().is_empty() {
        true => Ok(String::new()),
        false => Ok(token(file)?.reveal().to_owned()),
    }
}
