//! The shop: replicates masterdata, serves tills, keeps their transactions until they are settled.

use std::sync::Arc;

use storebox_proto::sync::ladder::Service;
use utoipa_axum::router::OpenApiRouter;

use super::giving_way::GivingWay;
use super::replica::{self, Feeding, Ground, Started};
use super::sources::{self, Definition};
use super::{
    Basics, RoleError, channels, devices, next_door, peers, releases, rings, transactions,
};
use crate::http::feeds;
use crate::http::feeds::storage::{self, Lending};
use crate::replica::reporter::Reporter;
use crate::replica::till_changes::TillChanges;
use crate::status::PanelBuilder;

/// Starts the parts of the role.
pub(super) async fn start(
    basics: &Basics<'_>,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    rings::fetch(basics)?;
    let ground = Ground::open(basics)?;
    let neighbour = peers::pass(basics)?;
    let definition = sources::define(basics, neighbour.as_ref())?;
    sources::keep(basics, &definition, panel);
    peers::seek(basics, neighbour.clone(), &definition.sources, &definition.routes);
    let Definition { sources, routes, main } = definition;
    let mut beside = next_door::start(basics, &routes, neighbour.is_some())?;
    let (tiers, lent, near) = (sources.tiers().clone(), sources.clone(), sources.clone());
    let feeding = Feeding {
        sources,
        address: Some(basics.config.main.url.clone()).filter(|url| !url.is_empty()),
        keys: basics.config.main.public_key.0.into_iter().collect(),
        author_sweeps: false,
    };
    let Started { masterdata, refresher, nudge, mut routers } =
        replica::start(basics, &ground, feeding, panel)?;
    routers.append(&mut beside);
    if let Some(settings) = basics.settings {
        settings.read_from(masterdata.clone());
        panel.add(settings.report());
    }
    let checked = masterdata.clone();
    panel.add(move |status| status.broken_rules = checked.broken_rules());
    let Ground { segments, board, history } = ground;
    routers.push(storage::lend_routes(Lending {
        sources: lent,
        refresher,
        lines: basics.lines.clone(),
        seals: basics.seals.clone(),
        valve: basics.valve.clone(),
    }));
    let refresh = nudge.clone();
    tiers.when_back(Arc::new(move |service| {
        if service == Service::Feeds {
            refresh();
        }
    }));
    if let Some(source) = main {
        let reported = replica::path(basics, "history.reported");
        let reporter = Reporter::new(history.clone(), source, &reported);
        basics.supervisor.spawn_owner("reporter", |stop| reporter.run(stop));
    }
    let shutdown = basics.supervisor.root();
    let changes = TillChanges::new(board.clone(), segments.clone());
    let blocks = releases::blocks(basics)?;
    let lent = blocks.store();
    let sync = feeds::Sync { board, segments, releases: lent, history, shutdown };
    routers.push(feeds::routes(sync));
    let (outbox, documents, transactions) =
        transactions::start_outbox(basics, routes, neighbour, nudge, panel)?;
    releases::take(basics, blocks, near, masterdata.clone(), outbox.clone(), panel)?;
    let (catalogue, log) = (masterdata.clone(), changes.clone());
    let local = documents.clone();
    routers.extend(channels::start(basics, catalogue, log, outbox, local, panel)?);
    let giving_way = GivingWay::new(changes, masterdata.clone(), documents);
    basics.supervisor.spawn_owner("giving way", |stop| giving_way.run(stop));
    routers.extend(transactions);
    routers.extend(devices::start(basics, masterdata, panel)?);
    Ok(routers)
}
