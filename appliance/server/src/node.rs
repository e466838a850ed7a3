//! The composition root: the one place that knows all parts of a box, builds them and takes them down.
//!
//! Start: data directory, key, clients, the role's parts, listeners, "ready".
//! Stop: no new connections, requests finish, owners close their state; after [`STOP_MAX`] the process exits
//! anyway, because everything that counts is on disk already.

use std::io;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use ed25519_dalek::SigningKey;
use futures_util::FutureExt;
use storebox_proto::settings::Book;
use utoipa_axum::router::OpenApiRouter;
use zeroize::Zeroizing;

use crate::chronicle::Keeper;
use crate::config::{Config, Origin};
use crate::discovery::{Namesake, Told};
use crate::fleet::Roll;
use crate::http::live::Live;
use crate::http::rate::Rates;
use crate::http::sealed::Sealing;
use crate::http::server::Server;
use crate::http::traffic::Traffic;
use crate::http::{
    admin, chronicle, fleet, health, log, openapi, page, persons, seals, session, whoami,
};
use crate::key::{self, KeyError};
use crate::logging;
use crate::login::{self, Logins};
use crate::metrics::{Chain, Metrics};
use crate::notify::Notifier;
use crate::replica::source::HttpSource;
use crate::role::{self, Basics, RoleError};
use crate::seal::{Seals, SealsError};
use crate::secrets::{self, Vault, VaultError};
use crate::settings::Desk;
use crate::signal::Wishes;
use crate::spans;
use crate::status::{self, Panel, PanelBuilder, Status};
use crate::supervise::{Fatal, Supervisor};
use crate::terminal::access::{Access, AccessError};
use crate::trust::customer::Customer;
use crate::trust::line::Lines;
use crate::valve::Valve;
use crate::visit;

mod beacon;
mod care;
mod premises;
mod reserve;
mod trust;

use reserve::Reserve;
use trust::{Trust, TrustError};

pub use premises::{CONTROL_SOCKET, Premises, PremisesError};

/// All of a stop takes no longer.
const STOP_MAX: Duration = Duration::from_secs(9);

/// Why a box does not run (any more).
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory or a listener cannot be used.
    #[error(transparent)]
    Premises(#[from] PremisesError),
    /// The box has no key.
    #[error("open the key of the box")]
    Key(#[from] KeyError),
    /// The box's papers cannot be used.
    #[error("use the papers of this box")]
    Trust(#[from] TrustError),
    /// The clients cannot be read.
    #[error("read who may come in")]
    Access(#[from] AccessError),
    /// The vault cannot be used.
    #[error("open the vault")]
    Vault(#[from] VaultError),
    /// The sealing keys cannot be read.
    #[error("read the sealing keys")]
    Seals(#[from] SealsError),
    /// A part of the role does not start.
    #[error("start the role")]
    Role(#[from] RoleError),
    /// The chronicle's file cannot be used.
    #[error("open the chronicle")]
    Chronicle(#[source] io::Error),
    /// The collector of traces cannot be addressed.
    #[error("address the collector of traces")]
    Traces(#[from] spans::StartError),
    /// Signals cannot be heard.
    #[error("listen for signals")]
    Signals(#[source] io::Error),
    /// A task that must live has ended.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// How a box ended that had no reason to complain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was told to stop.
    Stopped,
    /// It is to begin again, with other settings.
    Again,
}

/// Runs a box until it is told to stop, has to begin again or cannot go on.
///
/// `book` holds the settings that the configuration was read with.
pub async fn run(config: Config, book: Book, origin: Origin) -> Result<Ending, NodeError> {
    let mut wishes = Wishes::listen().map_err(NodeError::Signals)?;
    let premises = Premises::enter(&config.data_dir)?;
    let reserve = Reserve::give(&config.data_dir);
    let supervisor = Supervisor::new();
    let settings = care::settings_of(&config, book, &origin, &supervisor);
    let notifier = Notifier::from_environment();
    let task = (&supervisor, &notifier);
    let house = (&premises, &reserve);
    let outcome = serve(&config, &origin, settings.as_ref(), house, task, &mut wishes).await;
    // It may not have got as far as to serve, and will start again.
    if outcome.is_err() {
        reserve.keep();
    }
    // Whoever was told to stop does not begin again, whatever is found out while it stops.
    let begins_again = settings.is_some_and(|settings| settings.begins_again());
    match outcome.is_ok() && supervisor.fatal().is_none() {
        true if begins_again => notifier.again(),
        true => notifier.stopping(),
        // Whoever started the box may still begin again with other settings.
        false => {}
    }
    let late = supervisor.stop(STOP_MAX).await;
    if !late.is_empty() {
        tracing::warn!(
            tasks = late.join(", "),
            "stopped without waiting for these tasks any longer"
        );
    }
    outcome?;
    if let Some(fatal) = supervisor.fatal() {
        return Err(fatal.into());
    }
    tracing::info!("stopped");
    Ok(match begins_again {
        true => Ending::Again,
        false => Ending::Stopped,
    })
}

/// A box whose parts run and whose routes are known, before it listens.
struct Built {
    key: SigningKey,
    access: Access,
    router: Router,
    panel: Panel,
    told: Told,
    traffic: Traffic,
    sealing: Sealing,
    logins: Logins,
    trust: Trust,
    customer: Option<Customer>,
    visited: Option<(visit::Desk, HttpSource)>,
    #[cfg(test)]
    document: utoipa::openapi::OpenApi,
}

/// The vault, and who may log in with what is inside.
fn secrets_of(config: &Config, key: &SigningKey) -> Result<(Vault, Logins), NodeError> {
    let vault = Vault::open(&config.data_dir, &config.secrets.key_file)?;
    tracing::info!(guard = vault.guard().as_str(), locked = vault.is_locked(), "the vault");
    let logins = Logins::new(login::Settings {
        data_dir: &config.data_dir,
        node: config.node.clone(),
        site: config.discovery.site.clone(),
        key,
        pepper: pepper(&config.login.pepper_file, &vault)?,
        times: config.login.clone(),
    });
    Ok((vault, logins))
}

async fn build(
    config: &Config,
    settings: Option<&Desk>,
    supervisor: &Supervisor,
) -> Result<Built, NodeError> {
    let key = key::open_to_serve(&config.data_dir)?;
    let (mut panel, told) = panel_of(config, &key, supervisor);
    let (vault, logins) = secrets_of(config, &key)?;
    let (access, trust) = (Access::open(&config.data_dir)?, Trust::open(config, &vault)?);
    let (is_vault_locked, seals) = (vault.is_locked(), Seals::open(vault.clone())?);
    supervisor.spawn_owner("seals", |stop| seals.clone().run(stop));
    let customer = trust::customer(config, supervisor);
    let (lines, valve) = (trust.lines(config), Valve::default());
    let (line, roll) = (role::open_line(config, &lines)?, Roll::open(&config.data_dir));
    tell_spans(config, &lines, supervisor)?;
    let basics = Basics {
        config,
        key: &key,
        access: &access,
        seals: &seals,
        logins: &logins,
        line: &line,
        lines: &lines,
        porch: trust.porch(),
        valve: &valve,
        customer: customer.as_ref(),
        vault: &vault,
        settings,
        roll: &roll,
        supervisor,
    };
    let mut routers = role::start(&basics, &mut panel).await?;
    admin::report(&access, &mut panel);
    trust.report(config, &lines, &mut panel);
    report_machine(config, is_vault_locked, &mut panel);
    let (drills, visits) =
        (care::drills(config, &valve, &mut panel), care::visits(config, &mut panel));
    let (panel, traffic) = (panel.finish(), Traffic::default());
    let (fleet, source) = (role::start_fleet(&basics, &panel)?, role::source_for_visits(&basics)?);
    routers.push(care::visit_routes(visits.as_ref()));
    let chain = fleet.clone().map_or(Chain::Unknown, Chain::Live);
    let metrics = Metrics::new(panel.clone(), traffic.clone()).of(chain);
    routers.extend(fleet.map(fleet::routes));
    routers.extend(settings.map(|desk| care::start_settings(desk, &panel, supervisor)));
    routers.extend(drills.map(|drills| care::start_drills(drills, &panel, &traffic, supervisor)));
    routers.extend([
        keep_chronicle(config, &panel, &traffic, supervisor)?,
        go_live(&panel, supervisor),
        health::routes(panel.clone()),
        metrics.routes(),
    ]);
    routers.extend(doors(&access, &seals, &logins));
    routers.extend(trust.routes(&access, &seals, config));
    let (router, _document) = openapi::assemble(routers);
    Ok(Built {
        key,
        access,
        router,
        panel,
        told,
        traffic,
        sealing: Sealing::new(seals.clone(), &config.seal),
        logins,
        trust,
        customer,
        visited: visits.zip(source),
        #[cfg(test)]
        document: _document,
    })
}

/// The panel, and what the election tells it.
fn panel_of(config: &Config, key: &SigningKey, supervisor: &Supervisor) -> (PanelBuilder, Told) {
    let (public_key, told) = (key::public_text(key), Told::default());
    let (node, supervisor) = (config.node.clone(), supervisor.clone());
    let mut panel = PanelBuilder::new(node, config.role, public_key, supervisor);
    let namesake = told.namesake.subscribe();
    panel.add(move |status| {
        let address = |namesake: &Namesake| namesake.address.to_string();
        status.namesake = namesake.borrow().as_ref().map(address);
    });
    (panel, told)
}

fn report_machine(config: &Config, is_vault_locked: bool, panel: &mut PanelBuilder) {
    panel.add(status::report_machine(&config.data_dir, &config.machine));
    panel.add(move |status| status.machine.vault_locked = is_vault_locked);
}

fn go_live(panel: &Panel, supervisor: &Supervisor) -> OpenApiRouter {
    let live = Live::new(panel.clone(), supervisor.root());
    supervisor.spawn_owner("live", |stop| live.clone().run(stop));
    live.routes()
}

/// Who comes in, and what everybody may see.
fn doors(access: &Access, seals: &Seals, logins: &Logins) -> [OpenApiRouter; 7] {
    [
        whoami::routes(),
        admin::routes(access.clone()),
        seals::routes(seals.clone()),
        session::routes(logins.clone()),
        persons::routes(logins.clone()),
        log::routes(),
        page::routes(),
    ]
}

fn tell_spans(config: &Config, lines: &Lines, supervisor: &Supervisor) -> Result<(), NodeError> {
    let exporter = spans::start(&config.traces, lines, &config.node, config.role.as_str())?;
    if let Some(exporter) = exporter {
        supervisor.spawn_owner("spans", |stop| exporter.run(stop));
    }
    Ok(())
}

fn keep_chronicle(
    config: &Config,
    panel: &Panel,
    traffic: &Traffic,
    supervisor: &Supervisor,
) -> Result<OpenApiRouter, NodeError> {
    let waits = traffic.waits().clone();
    let opened = Keeper::open(&config.data_dir, panel.clone(), waits);
    let (keeper, pages) = opened.map_err(NodeError::Chronicle)?;
    supervisor.spawn_owner("chronicle", |stop| keeper.run(stop));
    Ok(chronicle::routes(pages))
}

async fn serve(
    config: &Config,
    origin: &Origin,
    settings: Option<&Desk>,
    (premises, reserve): (&Premises, &Reserve),
    (supervisor, notifier): (&Supervisor, &Notifier),
    wishes: &mut Wishes,
) -> Result<(), NodeError> {
    let built = build(config, settings, supervisor).await?;
    care::start_visits(&built, config, origin, supervisor);
    let Built { key, access, router, panel, told, traffic, .. } = built;
    let Built { sealing, logins, trust, customer, .. } = built;
    let network = premises.listen(&config.http.listen).await?;
    let secure = trust.secure(config, premises, customer).await?;
    let over_tls = secure.as_ref().map_or(&[][..], |secure| &secure.listeners);
    access.next_door().serve(premises::card(config, &key, &network, over_tls));
    let (public_key, listeners) = (key.verifying_key(), [&network[..], over_tls]);
    let (porch, public_key) = (trust.porch(), public_key.as_bytes());
    beacon::start(config, public_key, panel.clone(), listeners, porch, told, supervisor);
    let control = premises.control()?;
    let addresses = premises.announce(&network)?;
    let (limits, gate, rates) =
        (config.http.clone(), trust::gate(config, &access), Rates::new(&config.http));
    let server = Server { access, router, limits, traffic, sealing, logins, rates, gate, secure };
    server.start(supervisor, network, control);
    if let Some(levels) = logging::levels() {
        supervisor.spawn_owner("log levels", |stop| levels.keep(stop));
    }
    notifier.ready(&format!("serving on {addresses}"));
    tracing::info!(node = %config.node, role = config.role.as_str(), addresses, "serving");
    let reserve = reserve.clone();
    supervisor.spawn_owner("reserve", |stop| reserve.run(stop));
    let line = move || {
        let panel = panel.clone();
        async move { summary(&panel.status().await) }.boxed()
    };
    let watchdog = notifier.clone().run(supervisor.clone(), line, supervisor.root());
    supervisor.spawn_owner("watchdog", |_| watchdog);
    wait(supervisor, wishes).await;
    Ok(())
}

/// The pepper of the site, else one of this box alone; none if the vault that would hold it is locked.
fn pepper(file: &Path, vault: &Vault) -> Result<Option<Zeroizing<[u8; 32]>>, VaultError> {
    if !file.as_os_str().is_empty() {
        return secrets::read_key(file).map(Some);
    }
    match vault.is_locked() {
        true => Ok(None),
        false => vault.key("login.pepper").map(Some),
    }
}

/// One line for `systemctl status`.
fn summary(status: &Status) -> String {
    let waiting = status.outbox.as_ref().map_or(0, |outbox| outbox.waiting);
    match status.reasons.first() {
        Some(reason) => format!("not ready: {reason}"),
        None if waiting > 0 => format!("serving, {waiting} transactions wait for head office"),
        None => "serving".to_owned(),
    }
}

async fn wait(supervisor: &Supervisor, wishes: &mut Wishes) {
    let root = supervisor.root();
    if let Some(signal) = root.run_until_cancelled(wishes.next()).await {
        tracing::info!(signal, "stopping");
    }
}

/// Where commands of this box's operator go.
pub fn control_socket(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join(CONTROL_SOCKET)
}

#[cfg(test)]
mod tests;
