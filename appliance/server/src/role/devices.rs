//! Devices of a shop: the spool, a bay for each device, the slip of the first start.

use std::thread::JoinHandle;
use std::time::Duration;

use storebox_proto::problem::Problem;
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;

use super::replica::path;
use super::{Basics, RoleError};
use crate::devices::definition::What;
use crate::devices::slip::Slip;
use crate::devices::spool::{Spool, SpoolOpened};
use crate::devices::yard::{Devices, Health, Yard};
use crate::http::{devices, displays, drawers, jobs, printers, scales, scanners};
use crate::masterdata::Masterdata;
use crate::status::{DeviceStatus, PanelBuilder};

/// The spool's thread ends within this, or the process exits without it.
const SPOOL_STOP_MAX: Duration = Duration::from_secs(2);

/// Starts the devices and returns their routes.
pub(super) fn start(
    basics: &Basics<'_>,
    masterdata: Masterdata,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    let folder = path(basics, "devices");
    std::fs::create_dir_all(&folder)
        .map_err(|source| RoleError::File { path: folder.clone(), source })?;
    let SpoolOpened { spool, incidents, thread } = Spool::open(&folder.join("spool"))?;
    for incident in incidents {
        tracing::error!(error = incident, of = "spool", "something was wrong on the disk");
    }
    let config = basics.config;
    let (yard, handle) = Yard::new(&config.devices, config.node.clone(), masterdata, spool.clone());
    let (ended, bays_ended) = oneshot::channel();
    basics.supervisor.spawn_owner("devices", |stop| async move {
        yard.run(stop).await;
        let _ = ended.send(());
    });
    basics.supervisor.spawn_owner("spool", |stop| async move {
        stop.cancelled().await;
        // What printers say to the end is still written down.
        let _ = bays_ended.await;
        close(spool, thread).await;
    });
    report(handle.clone(), panel);
    let slip = Slip {
        node: config.node.clone(),
        role: config.role.as_str(),
        done: folder.join("first-slip"),
        addresses: path(basics, "http.addr"),
    };
    let of_slip = handle.clone();
    basics.supervisor.spawn_owner("first slip", |stop| slip.run(of_slip, stop));
    Ok(routers(handle))
}

fn report(handle: Devices, panel: &mut PanelBuilder) {
    let ask = move || {
        let handle = handle.clone();
        async move { states(&handle).await.ok() }
    };
    panel.ask("the spool of print jobs does not answer", ask, |status, devices| {
        status.devices = devices;
    });
}

/// Every device in words, and the definitions that are not used.
async fn states(devices: &Devices) -> Result<Vec<DeviceStatus>, Problem> {
    let roll = devices.roll();
    let mut states = Vec::new();
    for (id, post) in &roll.posts {
        let kind = post.definition.what.kind().to_owned();
        let Health { works, words } = post.health();
        let mut state = DeviceStatus {
            id: id.to_string(),
            kind,
            works,
            state: words,
            waiting: None,
            in_doubt: None,
        };
        if matches!(post.definition.what, What::Printer { .. }) {
            let (waiting, in_doubt) = devices.spool().figures(id.clone()).await?;
            (state.waiting, state.in_doubt) = (Some(waiting as u64), Some(in_doubt as u64));
        }
        states.push(state);
    }
    let refused = roll.refused.iter().map(|refused| DeviceStatus {
        id: refused.id.clone(),
        kind: "unused".to_owned(),
        works: false,
        state: format!("not used ({}): {}", refused.from, refused.why),
        waiting: None,
        in_doubt: None,
    });
    states.extend(refused);
    Ok(states)
}

fn routers(handle: Devices) -> Vec<OpenApiRouter> {
    vec![
        devices::routes(handle.clone()),
        printers::routes(handle.clone()),
        jobs::routes(handle.clone()),
        scales::routes(handle.clone()),
        drawers::routes(handle.clone()),
        displays::routes(handle.clone()),
        scanners::routes(handle),
    ]
}

async fn close(spool: Spool, thread: JoinHandle<()>) {
    spool.stop().await;
    let joined = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(SPOOL_STOP_MAX, joined).await.is_err() {
        tracing::warn!(task = "spool", "did not end in time");
    }
}
