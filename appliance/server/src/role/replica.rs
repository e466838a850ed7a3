//! Masterdata on every node: replicas, what is read from them, and the terminals that work by it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use storebox_proto::feed::Registry;
use storebox_proto::sync::decide::Policy;
use storebox_proto::sync::fetch::{Phase, Wish};
use utoipa_axum::router::OpenApiRouter;

use super::certificates::Certificates;
use super::{Basics, RoleError, strikes};
use crate::config::{Mode, TerminalDefaults};
use crate::db::{self, BlockCache, SegmentStore};
use crate::env;
use crate::http::feeds::operator;
use crate::http::{events, masterdata, terminal};
use crate::masterdata::Masterdata;
use crate::replica::board::Board;
use crate::replica::history::History;
use crate::replica::refresher::{Handle, Options, Refresher, Schedule};
use crate::replica::scrub::{self, Scrub};
use crate::replica::sources::Sources;
use crate::replica::till_changes::TillChanges;
use crate::status::{FeedStatus, LineStatus, NO_MASTERDATA, PanelBuilder};
use crate::terminal::desk::Desk;

/// Few segments are larger.
const SEGMENT_BYTES_USUAL: u64 = 1_000_000;

/// What the replicas of a node are fed from, and whom they believe.
pub(super) struct Feeding {
    /// Who feeds them.
    pub(super) sources: Sources,
    /// Where that is, for people; nothing for this very node or for no source at all.
    pub(super) address: Option<String>,
    /// Authors that are believed.
    pub(super) keys: Vec<VerifyingKey>,
    /// Whether the author on this node sweeps the segments.
    pub(super) author_sweeps: bool,
}

/// What stands on the disk of every node.
#[derive(Clone)]
pub(super) struct Ground {
    /// Segments, manifests and pages of runs.
    pub(super) segments: SegmentStore,
    /// Heads of what is in service.
    pub(super) board: Board,
    /// Who refreshed what.
    pub(super) history: History,
}

impl Ground {
    /// Opens the ground of a node.
    pub(super) fn open(basics: &Basics<'_>) -> Result<Self, RoleError> {
        let history = path(basics, "history.ndjson");
        Ok(Self {
            segments: SegmentStore::open(&path(basics, "segments"))?,
            board: Board::new(Registry::built_in().feeds()),
            history: History::open(&history, basics.config.node.clone())
                .map_err(|source| RoleError::File { path: history, source })?,
        })
    }
}

/// A place in the data directory.
pub(super) fn path(basics: &Basics<'_>, name: &str) -> PathBuf {
    basics.config.data_dir.join(name)
}

/// Replicas that run.
pub(super) struct Started {
    /// What readers see.
    pub masterdata: Masterdata,
    /// The refresher.
    pub refresher: Handle,
    /// Makes them look for newer masterdata at once.
    pub nudge: terminal::Nudge,
    /// What reads from them.
    pub routers: Vec<OpenApiRouter>,
}

/// Starts the replicas.
pub(super) fn start(
    basics: &Basics<'_>,
    ground: &Ground,
    feeding: Feeding,
    panel: &mut PanelBuilder,
) -> Result<Started, RoleError> {
    let Ground { segments, board, history } = ground.clone();
    let options = options(basics, &feeding);
    let (refresher, handle, readers) = Refresher::open(
        &path(basics, "feeds"),
        segments.clone(),
        feeding.sources,
        board.clone(),
        history.clone(),
        options,
    )?;
    let supervisor = basics.supervisor;
    supervisor.spawn_owner("refresher", |stop| refresher.run(stop));
    if basics.config.masterdata.scrub_hours > 0 {
        let every = Duration::from_secs(basics.config.masterdata.scrub_hours * 3600);
        let options = scrub::Options { every, ..scrub::Options::default() };
        let scrub = Scrub::new(readers.clone(), segments.clone(), handle.clone(), options);
        supervisor.spawn_owner("scrub", |stop| scrub.run(stop));
    }
    let masterdata = Masterdata::new(readers.clone()).repaired_by(handle.clone());
    basics.logins.read_from(masterdata.clone());
    supervisor.spawn_owner("listings", |stop| masterdata.clone().run(stop));
    if let Some(porch) = basics.porch {
        let (porch, estate) = (porch.clone(), masterdata.clone());
        supervisor.spawn_owner("strike list", |stop| strikes::follow(porch, estate, stop));
    }
    if let Some(certificates) = Certificates::open(basics, &masterdata) {
        supervisor.spawn_owner("sent certificate", |stop| certificates.run(stop));
    }
    report(handle.clone(), feeding.address, panel);
    let nudge = nudge(handle.clone());
    let counter = terminal::Counter {
        access: basics.access.clone(),
        desk: Desk::open(&basics.config.data_dir),
        masterdata: masterdata.clone(),
        defaults: basics.config.terminal.clone(),
        nudge: nudge.clone(),
        history: history.clone(),
    };
    let feeds = events::Feeds {
        names: Registry::built_in().feeds(),
        changes: TillChanges::new(board, segments),
        stop: supervisor.root(),
    };
    let desk = operator::Desk { refresher: handle.clone(), readers, history };
    let routers = vec![
        masterdata::routes(masterdata.clone()),
        events::routes(feeds),
        terminal::routes(counter),
        operator::routes(desk),
    ];
    Ok(Started { masterdata, refresher: handle, nudge, routers })
}

fn options(basics: &Basics<'_>, feeding: &Feeding) -> Options {
    let mut options = Options::new(feeding.keys.clone());
    options.schedule = match basics.config.masterdata.mode {
        Mode::Follow => Schedule::Follow,
        Mode::Scheduled => Schedule::Timed(policy(&basics.config.terminal)),
    };
    if feeding.author_sweeps {
        options.grace = None;
    }
    let bytes_per_s = basics.config.masterdata.line_kb_per_s * 1000;
    if let Some(seconds) = (3 * SEGMENT_BYTES_USUAL).checked_div(bytes_per_s) {
        // What waits for its turn on a narrow line is not late.
        options.in_flight_max = 2;
        options.page_timeout += Duration::from_secs(seconds);
    }
    if !feeding.author_sweeps {
        let config = basics.config;
        options.member = Some((config.node.clone(), config.discovery.site.clone()));
    }
    options.seed = u64::from_le_bytes(env::random());
    let masterdata = &basics.config.masterdata;
    options.store = db::Options {
        cache: BlockCache::new(masterdata.cache_bytes),
        overlay_max: masterdata.overlay_max,
    };
    options
}

/// The box itself refreshes by the rules of its terminals.
fn policy(defaults: &TerminalDefaults) -> Policy {
    Policy {
        full_minutes: defaults.full_minutes.try_into().ok(),
        incremental_minutes: defaults.incremental_minutes.try_into().ok(),
        no_auto_incremental_at_login: defaults.no_auto_incremental_at_login,
    }
}

/// A terminal that refreshes wants the box to be up to date first; one wish that waits is enough.
fn nudge(handle: Handle) -> terminal::Nudge {
    Arc::new(move || {
        if let Err(busy) = handle.refresh(None, Wish::Incremental) {
            tracing::debug!(error = %busy, "a refresh was wished for already");
        }
    })
}

fn report(handle: Handle, address: Option<String>, panel: &mut PanelBuilder) {
    panel.add(move |status| {
        let statuses = handle.statuses();
        for (feed, state) in &statuses {
            let Some(position) = state.position else { continue };
            let error = state.last.as_ref().and_then(|last| last.error.clone());
            status.feeds.push(FeedStatus {
                feed: feed.to_string(),
                epoch: position.epoch,
                revision: position.revision,
                published: state.published.unwrap_or(status.now),
                records: state.records,
                excerpt: state.excerpt.clone(),
                state: doing(state),
                last_error: error,
            });
        }
        let Some(address) = &address else { return };
        let up = statuses.values().any(|state| state.source_answers);
        status.lines.push(LineStatus {
            to: address.clone(),
            service: "masterdata".to_owned(),
            up,
            detail: String::new(),
            is_refused: false,
            since: None,
        });
        if status.feeds.is_empty() {
            status.not_ready(NO_MASTERDATA);
        }
    });
}

fn doing(state: &crate::replica::status::FeedStatus) -> String {
    match (state.phase, &state.progress) {
        (Phase::Resting, _) => "up to date".to_owned(),
        (Phase::Asking, _) => "following".to_owned(),
        (Phase::Fetching, Some(progress)) => {
            format!("fetching {} of {}", progress.objects, progress.objects_total)
        }
        (Phase::Fetching, None) => "fetching".to_owned(),
        (Phase::Loading, _) => "verifying".to_owned(),
        (Phase::Waiting, _) => "waiting before the next attempt".to_owned(),
    }
}
