//! Devices of a shop: the spool, a bay for each device, the slip of the first start.

use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;

use super::replica::path;
use super::{Basics, RoleError};
use crate::blocking::beside;
use crate::devices::slip::Slip;
use crate::devices::spool::{Spool, SpoolOpened};
use crate::devices::yard::{Devices, Station, Trouble, Yard};
use crate::http::devices::DeviceView;
use crate::http::{devices, displays, drawers, jobs, printers, scales, scanners};
use crate::masterdata::Masterdata;
use crate::status::{DeviceStatus, DeviceTrouble, PanelBuilder};

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
    let (yard, handle) =
        Yard::new(&config.devices, config.node.clone(), masterdata.clone(), spool.clone());
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
    let slip = Slip {
        node: config.node.clone(),
        role: config.role.as_str(),
        main: config.main.url.clone(),
        masterdata: masterdata.clone(),
        done: folder.join("first-slip"),
        addresses: path(basics, "http.addr"),
    };
    let of_slip = handle.clone();
    basics.supervisor.spawn_owner("first slip", |stop| slip.run(of_slip, stop));
    report(&handle, panel);
    Ok(routers(handle))
}

/// What the devices are like, with the papers that wait or are in doubt.
fn report(devices: &Devices, panel: &mut PanelBuilder) {
    let devices = devices.clone();
    panel.ask(
        "the spool of print jobs does not answer",
        move || look(devices.clone()),
        |status, seen| status.devices = seen,
    );
}

async fn look(devices: Devices) -> Option<Vec<DeviceStatus>> {
    let roll = devices.roll();
    let mut seen = Vec::new();
    for (id, post) in &roll.posts {
        let view = DeviceView::of(post);
        let trouble = post.trouble();
        let state = match (view.link.as_str(), &view.why, &trouble) {
            ("open", _, None) => "works".to_owned(),
            ("open", _, Some(trouble)) => trouble.words.clone(),
            (link, Some(why), _) => format!("{link}: {why}"),
            (link, None, _) => link.to_owned(),
        };
        let trouble = trouble.map(|Trouble { code, words }| DeviceTrouble { code, words });
        let (mut waiting, mut in_doubt) = (0, 0);
        if matches!(post.station, Station::Printer { .. }) {
            let figures = devices.spool().figures(id.clone()).await.ok()?;
            (waiting, in_doubt) = (figures.0 as u64, figures.1 as u64);
        }
        let DeviceView { id, kind, link, .. } = view;
        let till = post.definition.till.clone();
        seen.push(DeviceStatus { id, till, kind, link, state, trouble, waiting, in_doubt });
    }
    seen.extend(roll.refused.iter().map(|refused| DeviceStatus {
        id: refused.id.clone(),
        kind: "definition".to_owned(),
        link: "unused".to_owned(),
        state: format!("not used ({}): {}", refused.from, refused.why),
        ..DeviceStatus::default()
    }));
    Some(seen)
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
    let joined = beside(move || thread.join());
    if tokio::time::timeout(SPOOL_STOP_MAX, joined).await.is_err() {
        tracing::warn!(task = "spool", "did not end in time");
    }
}
