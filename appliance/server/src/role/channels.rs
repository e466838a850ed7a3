//! Channels of a shop: the services with what they work on, their hooks, pushes and request log.

use std::sync::Arc;
use std::time::Duration;

use storebox_proto::time::Timestamp;
use utoipa_axum::router::OpenApiRouter;

use super::replica::path;
use super::{Basics, RoleError};
use crate::channel::book::Book;
use crate::channel::engine::Runner;
use crate::channel::push::{self, Figure, Pushes};
use crate::channel::request_log::{CallLog, Keeping};
use crate::channel::tally::Runs;
use crate::channel::{Afterwards, Channels, Engine, NoLog, Parts, RequestLog};
use crate::config::RequestLogging;
use crate::env;
use crate::http::{channels, hooks, pushes, requests};
use crate::masterdata::Masterdata;
use crate::replica::till_changes::TillChanges;
use crate::status::{ChannelsStatus, HookStatus, PanelBuilder, PushFigures};
use crate::uplink::{LocalDocuments, Outbox};
use crate::webhook::{SECRETS, Webhooks};

/// Starts the channels and returns their routes.
pub(super) fn start(
    basics: &Basics<'_>,
    masterdata: Masterdata,
    changes: TillChanges,
    outbox: Outbox,
    documents: LocalDocuments,
    panel: &mut PanelBuilder,
) -> Result<Vec<OpenApiRouter>, RoleError> {
    let mut routers = Vec::new();
    let webhooks = Webhooks::new(basics.key.clone(), path(basics, SECRETS));
    let webhooks = webhooks.map_err(RoleError::Client)?;
    let webhooks = webhooks
        .over(basics.lines.clone(), basics.config.webhooks.ca_file.clone())
        .behind(basics.valve);
    let runner = Runner::new(webhooks.clone());
    let folder = path(basics, "hooks");
    let afterwards = Afterwards::open(&folder)
        .map_err(|source| RoleError::File { path: folder.clone(), source })?;
    let hooks = Arc::new(Engine::new(runner.clone(), afterwards.clone()));
    let kept = request_log(basics, &mut routers)?;
    let log: Arc<dyn RequestLog> = match &kept {
        Some(log) => Arc::new(log.clone()),
        None => Arc::new(NoLog),
    };
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
    let clock = push::clock::real();
    let parts = push::Parts { channels: desk.clone(), changes, documents, webhooks, clock };
    let pushing = Pushes::open(&path(basics, "pushes"), parts).map_err(RoleError::Pushes)?;
    let following = pushing.clone();
    basics.supervisor.spawn_owner("pushes", |stop| following.run(outbox, stop));
    report(panel, runner.clone(), afterwards.clone(), pushing.clone(), kept);
    let stop = basics.supervisor.root();
    routers.extend([
        channels::routes(desk.clone()),
        hooks::routes(hooks::HookDesk { channels: desk.clone(), runner, afterwards }),
        pushes::routes(pushes::PushDesk { channels: desk, pushes: pushing, stop }),
    ]);
    Ok(routers)
}

/// Says how hooks and pushes do.
fn report(
    panel: &mut PanelBuilder,
    runner: Runner,
    afterwards: Afterwards,
    pushes: Pushes,
    log: Option<CallLog>,
) {
    panel.add(move |status| {
        let now = env::timestamp().unix_ms();
        let age =
            |at: Timestamp| u64::try_from(now.saturating_sub(at.unix_ms()) / 1000).unwrap_or(0);
        let (waiting, dead) = afterwards.count();
        let hook = |(name, runs): (String, Runs)| HookStatus {
            name,
            runs: runs.count,
            failures: runs.failures,
            took_us: u64::try_from(runs.took.as_micros()).unwrap_or(u64::MAX),
            last_error: runs.last_error,
        };
        let push = |figure: Figure| PushFigures {
            id: figure.id,
            channel_id: figure.channel_id,
            delivery: figure.delivery.as_str().to_owned(),
            waiting: figure.waiting,
            oldest_s: figure.oldest.map(age),
            dead: figure.dead,
            last: figure.last,
            failing_since: figure.failing_since,
            error: figure.error,
        };
        status.channels = Some(ChannelsStatus {
            hooks_waiting: waiting as u64,
            hooks_dead: dead as u64,
            hooks_oldest_s: afterwards.oldest().map(age),
            hooks_missed: afterwards.missed(),
            requests_missed: log.as_ref().map_or(0, CallLog::missed),
            hooks: runner.tally().all().into_iter().map(hook).collect(),
            pushes: pushes.figures().into_iter().map(push).collect(),
        });
    });
}

/// The request log, if one is kept.
fn request_log(
    basics: &Basics<'_>,
    routers: &mut Vec<OpenApiRouter>,
) -> Result<Option<CallLog>, RoleError> {
    let RequestLogging { megabytes, days, masked } = &basics.config.request_log;
    if *megabytes == 0 {
        return Ok(None);
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
    Ok(Some(log))
}
