//! A second node for what this box holds, and this box as that of others.

use std::sync::Arc;
use std::time::Duration;

use storebox_proto::ids::SourceId;
use utoipa_axum::router::OpenApiRouter;

use super::replica::path;
use super::{Basics, RoleError};
use crate::config::Require;
use crate::http::adopt::{self, Heir};
use crate::http::mirror::{self, Shelf};
use crate::pass::Pass;
use crate::status::{LineStatus, PanelBuilder};
use crate::uplink::{Copies, CopiesOpened, Mirror, Outbox, Routes};

/// Starts what the configuration wants of it; gives the outbox back, mirrored if it is to be.
pub(super) fn start(
    basics: &Basics<'_>,
    outbox: Outbox,
    routes: &Routes,
    neighbour: Option<Pass>,
    panel: &mut PanelBuilder,
) -> Result<(Outbox, Vec<OpenApiRouter>), RoleError> {
    let Some(pass) = neighbour else { return Ok((outbox, Vec::new())) };
    let outbox = mirrored(basics, outbox, routes, panel)?;
    let folder = path(basics, "copies");
    std::fs::create_dir_all(&folder)
        .map_err(|source| RoleError::File { path: folder.clone(), source })?;
    let CopiesOpened { copies, incidents, thread } = Copies::open(&folder.join("journal"))?;
    for incident in incidents {
        tracing::error!(error = incident, of = "copies", "something was wrong on the disk");
    }
    let ending = copies.clone();
    basics.supervisor.spawn_owner("copies", |stop| async move {
        stop.cancelled().await;
        ending.stop().await;
        super::transactions::join("copies", thread).await;
    });
    let heir = Heir {
        node: basics.config.node.clone(),
        pass,
        access: basics.access.clone(),
        outbox: outbox.clone(),
    };
    Ok((outbox, vec![mirror::routes(Shelf::new(copies, folder)), adopt::routes(heir)]))
}

fn mirrored(
    basics: &Basics<'_>,
    outbox: Outbox,
    routes: &Routes,
    panel: &mut PanelBuilder,
) -> Result<Outbox, RoleError> {
    let config = &basics.config.mirror;
    let Ok(peer) = config.peer.parse::<SourceId>() else { return Ok(outbox) };
    let wait = match config.require {
        Require::Mirrored => Some(Duration::from_millis(config.wait_ms)),
        Require::Held => None,
    };
    let access = basics.access.clone();
    let terminals = Arc::new(move || {
        serde_json::to_vec(&access.terminals()).expect("names, numbers and hashes are JSON")
    });
    let (mirror, task) = Mirror::new(outbox.clone(), routes.clone(), peer, wait, terminals)
        .map_err(RoleError::Client)?;
    basics.supervisor.spawn_owner("mirror", |stop| task.run(stop));
    let (shown, to) = (mirror.clone(), config.peer.clone());
    panel.add(move |status| {
        let up = shown.state().up;
        let detail = if up { "" } else { "tickets are on this box alone" };
        status.lines.push(LineStatus {
            to: to.clone(),
            service: "mirror".to_owned(),
            up,
            detail: detail.to_owned(),
            is_refused: false,
            since: None,
        });
    });
    Ok(outbox.mirrored_by(mirror))
}
