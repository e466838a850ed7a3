//! Releases: head office's shelf, and the task that brings them to a box.

use std::time::Duration;

use utoipa_axum::router::OpenApiRouter;

use super::replica::path;
use super::{Basics, RoleError, token};
use crate::http::releases::{self, Releases};
use crate::masterdata::Masterdata;
use crate::replica::office::Office;
use crate::replica::sources::Sources;
use crate::status::PanelBuilder;
use crate::trust::line::Believed;
use crate::update::{Blocks, HawkBit, Options, Shelf, Unsettled, Updater};
use crate::uplink::Outbox;

/// Between two looks at what boxes say of releases.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The blocks of this node's releases.
pub(super) fn blocks(basics: &Basics<'_>) -> Result<Blocks, RoleError> {
    Ok(Blocks::open(&path(basics, "releases"))?)
}

/// Offers releases, and halts those that fail.
pub(super) fn offer(
    basics: &Basics<'_>,
    office: Office,
    masterdata: Masterdata,
    blocks: Blocks,
) -> OpenApiRouter {
    let shelf = Shelf::new(office, masterdata, blocks);
    let (looked_after, roll) = (shelf.clone(), basics.roll.clone());
    basics.supervisor.spawn_owner("releases", |stop| async move {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let names = |release: &_| {
                let failed = releases::failed(release, &roll).into_iter();
                failed.map(|failed| format!("{} ({})", failed.name, failed.word)).collect()
            };
            looked_after.look_after(names).await;
        }
    });
    releases::routes(Releases { shelf, roll: basics.roll.clone() })
}

/// Brings releases to this box.
pub(super) fn take(
    basics: &Basics<'_>,
    blocks: Blocks,
    sources: Sources,
    masterdata: Masterdata,
    outbox: Outbox,
    panel: &mut PanelBuilder,
) -> Result<(), RoleError> {
    let (config, update) = (basics.config, &basics.config.update);
    let options = Options {
        node: config.node.clone(),
        site: config.discovery.site.clone(),
        release_file: update.release_file.clone(),
        folder: update.folder.clone(),
        slots_file: config.machine.slots_file.clone(),
        window: update.window,
        unsettled_max: update.unsettled_max,
    };
    let has_office = !config.main.url.is_empty();
    let unsettled: Unsettled = Box::new(move || {
        let outbox = outbox.clone();
        Box::pin(async move {
            // An outbox that does not tell may hold anything.
            let waiting = outbox.figures().await.map_or(u64::MAX, |figures| figures.waiting);
            has_office.then_some(waiting)
        })
    });
    let updater = Updater::new(options, blocks, sources, masterdata, unsettled);
    let updater = updater.served_by(hawkbit(basics)?);
    panel.add(updater.report());
    basics.supervisor.spawn_owner("updater", |stop| updater.run(stop));
    Ok(())
}

/// The server of the chain that takes the place of its releases, if it has one.
fn hawkbit(basics: &Basics<'_>) -> Result<Option<HawkBit>, RoleError> {
    let update = &basics.config.update;
    if update.hawkbit_url.is_empty() {
        return Ok(None);
    }
    let authorities = Believed::Authorities(&update.hawkbit_ca_file);
    let line = basics.lines.open(&update.hawkbit_url, authorities)?;
    let secret = token(&update.hawkbit_token_file)?;
    let node = &basics.config.node;
    Ok(Some(HawkBit::new(line, &update.hawkbit_tenant, node, secret)?))
}
