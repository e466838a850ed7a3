//! Channels of a shop: the services with what they work on, their hooks, pushes and request log.

use std::sync::Arc;
use std::time::Duration;

use utoipa_axum::router::OpenApiRouter;

use super::replica::path;
use super::{Basics, RoleError};
use crate::channel::book::Book;
use crate::channel::engine::Runner;
use crate::channel::push::{self, Pushes};
use crate::channel::request_log::{CallLog, Keeping};
use crate::channel::{Afterwards, Channels, Engine, NoLog, Parts, RequestLog};
use crate::config::RequestLogging;
use crate::http::{channels, hooks, pushes, requests};
use crate::masterdata::Masterdata;
use crate::replica::till_changes::TillChanges;
use crate::uplink::{LocalDocuments, Outbox};
use crate::webhook::{SECRETS, Webhooks};

/// Starts the channels and returns their routes.
pub(super) fn start(
    basics: &Basics<'_>,
    masterdata: Masterdata,
    changes: TillChanges,
    outbox: Outbox,
    documents: LocalDocuments,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    let mut routers = Vec::new();
    let webhooks = Webhooks::new(basics.key.clone(), path(basics, SECRETS));
    let webhooks = webhooks.map_err(RoleError::Client)?;
    let runner = Runner::new(webhooks.clone());
    let folder = path(basics, "hooks");
    let afterwards = Afterwards::open(&folder)
        .map_err(|source| RoleError::File { path: folder.clone(), source })?;
    let hooks = Arc::new(Engine::new(runner.clone(), afterwards.clone()));
    let log = request_log(basics, &mut routers)?;
    let parts = Parts {
        masterdata: masterdata.clone(),
        outbox: outbox.clone(),
        documents: documents.clone(),
        hooks,
        log,
    };
    let desk = Channels::new(parts);
    let book = Arc::new(Book::new(masterdata));
    let (waiting, running, held) = (afterwards.clone(), runner.clone(), outbox.clone());
    basics
        .supervisor
        .spawn_owner("hooks after the commit", |stop| waiting.run(running, book, held, stop));
    let parts = push::Parts { channels: desk.clone(), changes, documents, webhooks };
    let pushing = Pushes::open(&path(basics, "pushes"), parts).map_err(RoleError::Pushes)?;
    let following = pushing.clone();
    basics.supervisor.spawn_owner("pushes", |stop| following.run(outbox, stop));
    let stop = basics.supervisor.root();
    routers.extend([
        channels::routes(desk.clone()),
        hooks::routes(hooks::HookDesk { channels: desk.clone(), runner, afterwards }),
        pushes::routes(pushes::PushDesk { channels: desk, pushes: pushing, stop }),
    ]);
    Ok(routers)
}

fn request_log(
    basics: &Basics<'_>,
    routers: &mut Vec<OpenApiRouter>,
) -> Result<Arc<dyn RequestLog>, RoleError> {
    let RequestLogging { megabytes, days, masked } = &basics.config.request_log;
    if *megabytes == 0 {
        return Ok(Arc::new(NoLog));
    }
    let keeping = Keeping {
        bytes_max: megabytes.saturating_mul(1024 * 1024),
        age_max: Duration::from_secs(days.saturating_mul(24 * 3600)),
        masked: masked.iter().map(|name| name.to_lowercase()).collect(),
    };
    let folder = path(basics, "requests");
    let (log, writer) = CallLog::open(&folder, keeping)
        .map_err(|source| RoleError::File { path: folder.clone(), source })?;
    basics.supervisor.spawn_owner("request log", |stop| writer.run(stop));
    routers.push(requests::routes(log.clone()));
    Ok(Arc::new(log))
}
