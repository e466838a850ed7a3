//! What a terminal asks about itself: its configuration, its login, its events, its refreshes.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use storebox_proto::ids::{FeedId, TerminalId};
use storebox_proto::problem::Code;
use storebox_proto::sync::deferral::Order;
use storebox_proto::sync::fetch::Mode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::etag::Known;
use super::identity::Identity;
use super::problem::Refusal;
use crate::blocking::beside;
use crate::config::TerminalDefaults;
use crate::env;
use crate::masterdata::{Masterdata, position_of};
use crate::replica::history::{self, History, ModelLoad};
use crate::terminal::access::Access;
use crate::terminal::desk::{Desk, Happening, Orders, Verdict, Welcome};
use crate::terminal::next_door::Served;
use crate::terminal::past::{Extent, Refresh, Report};
use crate::terminal::profile::Profile;

/// Asks the box to look for newer masterdata; called when a terminal is to refresh.
pub type Nudge = std::sync::Arc<dyn Fn() + Send + Sync>;

/// What the handlers need; cheap to clone.
#[derive(Clone)]
pub struct Counter {
    /// Who may come in.
    pub access: Access,
    /// Where terminals log in.
    pub desk: Desk,
    /// The estate.
    pub masterdata: Masterdata,
    /// For what the estate does not say.
    pub defaults: TerminalDefaults,
    /// Makes the box itself refresh.
    pub nudge: Nudge,
    /// Where head office reads who refreshed what.
    pub history: History,
}

/// A user logs in.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Login {
    /// The terminal's own copy of masterdata is gone, or it never had one.
    cache_lost: bool,
}

/// The answer to a login.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct LoggedIn {
    /// The terminal's configuration.
    profile: Profile,
    /// The refresh to run, the timers, the popup rule, the page size.
    #[serde(flatten)]
    welcome: Welcome,
    /// Where masterdata stands at the box.
    feeds: Vec<FeedPosition>,
    /// Where else it is let in.
    boxes: Boxes,
}

/// The boxes of the store that let the terminal in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Boxes {
    /// The name of the box that answers; empty before it knows where it is found itself.
    here: String,
    /// The others: what to use when this one is gone, with the same token.
    others: Vec<Served>,
}

/// Where a feed stands at the box.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FeedPosition {
    /// The feed.
    feed: String,
    /// As `epoch.revision`.
    position: String,
}

/// Something happened at the terminal.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Event {
    /// What.
    event: Happening,
}

/// The answer to a reported refresh.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Noted {
    /// `work`, or `logOut` in the compatible mode after a failed full refresh.
    then: &'static str,
}

/// The routes of this file.
pub fn routes(counter: Counter) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(config))
        .routes(routes!(boxes))
        .routes(routes!(login))
        .routes(routes!(idle))
        .routes(routes!(refreshed, refreshes))
        .with_state(counter)
}

impl Counter {
    fn profile(&self, identity: &Identity) -> Result<Profile, Refusal> {
        let terminal = terminal(identity)?;
        let epoch = self.access.epoch(terminal, env::timestamp()).ok_or_else(|| {
            Refusal::new(Code::TerminalUnknown, format!("terminal {terminal} was revoked just now"))
        })?;
        let look =
            |model: &str, field: &str, value: &str| self.masterdata.look(model, field, value);
        let profile = Profile::assemble(terminal, epoch, &look, &self.defaults);
        let servers = self.masterdata.servers_of(profile.organisation());
        Ok(Profile { servers, ..profile })
    }
}

impl Counter {
    fn boxes(&self) -> Boxes {
        let next_door = self.access.next_door();
        let here = next_door.own().map(|card| card.node.to_string()).unwrap_or_default();
        Boxes { here, others: next_door.others(env::instant()) }
    }

    /// Writes the refresh of a terminal into the history of the box, an entry for each feed.
    fn record(&self, terminal: &TerminalId, report: &Report) {
        let registry = self.masterdata.registry();
        let mut feeds: BTreeMap<FeedId, Vec<ModelLoad>> = BTreeMap::new();
        for load in &report.models {
            if let Some(def) = registry.get(&load.model) {
                let (model, records) = (load.model.clone(), load.records);
                let load = ModelLoad { model, records, pages: 1 };
                feeds.entry(def.feed.clone()).or_default().push(load);
            }
        }
        for (feed, models) in feeds {
            let generation = self.masterdata.generation(&feed);
            self.history.record(history::Refresh {
                terminal: Some(terminal.clone()),
                position: generation.map(|generation| position_of(&generation)),
                feed,
                mode: match report.extent {
                    Extent::Full => Mode::Full,
                    Extent::Incremental => Mode::Incremental,
                },
                at: env::timestamp(),
                took_ms: report.took_ms,
                error: match report.succeeded {
                    true => None,
                    false => Some(report.error.clone().unwrap_or_else(|| "failed".to_owned())),
                },
                models,
            });
        }
    }
}

fn terminal(identity: &Identity) -> Result<&TerminalId, Refusal> {
    match identity {
        Identity::Terminal(terminal) => Ok(terminal),
        Identity::Node(_) | Identity::Operator => {
            Err(Refusal::new(Code::Forbidden, "only a terminal has these"))
        }
    }
}

/// All that the terminal needs to work, always in full.
#[utoipa::path(get, path = "/v1/terminal/config", tag = "terminal",
    responses((status = 200, description = "Its configuration.", body = Profile),
              (status = 304, description = "It has it.")))]
async fn config(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
    known: Known,
) -> Result<Response<Body>, Refusal> {
    let profile = counter.profile(&identity)?;
    let etag = HeaderValue::from_str(&profile.etag()).expect("hexadecimal digits in quotes");
    if known.has(&etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Ok(([(header::ETAG, etag)], Json(profile)).into_response())
}

/// A user logs in: which refresh to run first, and when to ask again.
#[utoipa::path(post, path = "/v1/terminal/login", tag = "terminal", request_body = Login,
    responses((status = 200, description = "The plan.", body = LoggedIn)))]
async fn login(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
    Json(login): Json<Login>,
) -> Result<Json<LoggedIn>, Refusal> {
    let profile = counter.profile(&identity)?;
    let mut feeds = Vec::new();
    for (feed, generation) in counter.masterdata.feeds() {
        match generation {
            Some(generation) => feeds.push(FeedPosition {
                feed: feed.to_string(),
                position: position_of(&generation).to_string(),
            }),
            None if profile.refuse_login_after_failed_full => {
                let detail = format!("feed {feed} was not replicated yet");
                return Err(Refusal::new(Code::RefreshRequired, detail));
            }
            None => {}
        }
    }
    let now = (env::timestamp(), env::instant());
    let welcome = counter.desk.login(&profile, login.cache_lost, now.0, now.1);
    (counter.nudge)();
    let boxes = counter.boxes();
    Ok(Json(LoggedIn { profile, welcome, feeds, boxes }))
}

/// The other boxes of the store that let this terminal in with its token, should this one be gone.
#[utoipa::path(get, path = "/v1/terminal/boxes", tag = "terminal",
    responses((status = 200, description = "Those that have answered of late.", body = Boxes)))]
async fn boxes(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Boxes>, Refusal> {
    terminal(&identity)?;
    Ok(Json(counter.boxes()))
}

/// The terminal has a moment, its timer ran, or its user cancelled: what to show or do now.
#[utoipa::path(post, path = "/v1/terminal/idle", tag = "terminal", request_body = Event,
    responses((status = 200, description = "What to do.", body = Orders)))]
async fn idle(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
    Json(event): Json<Event>,
) -> Result<Json<Orders>, Refusal> {
    let profile = counter.profile(&identity)?;
    let orders = counter.desk.event(&profile, event.event, env::timestamp(), env::instant());
    if orders.orders.contains(&Order::Run) {
        (counter.nudge)();
    }
    Ok(Json(orders))
}

/// The terminal reports a refresh of its own copy.
#[utoipa::path(post, path = "/v1/terminal/refreshed", tag = "terminal", request_body = Report,
    responses((status = 200, description = "Noted.", body = Noted)))]
async fn refreshed(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
    Json(report): Json<Report>,
) -> Result<Json<Noted>, Refusal> {
    report.check().map_err(|rule| Refusal::new(Code::FieldInvalid, rule))?;
    let profile = counter.profile(&identity)?;
    counter.record(&profile.terminal, &report);
    let note = move || counter.desk.refreshed(&profile, report, env::timestamp());
    match beside(note).await {
        Ok(Verdict::Work) => Ok(Json(Noted { then: "work" })),
        Ok(Verdict::LogOut) => Ok(Json(Noted { then: "logOut" })),
        Err(error) => {
            tracing::error!(%error, "cannot note the refresh of a terminal");
            Err(Refusal::new(Code::Internal, "the refresh could not be noted"))
        }
    }
}

/// The refreshes of the terminal, newest first.
#[utoipa::path(get, path = "/v1/terminal/refreshed", tag = "terminal",
    responses((status = 200, description = "Newest first.", body = Vec<Refresh>)))]
async fn refreshes(
    State(counter): State<Counter>,
    Extension(identity): Extension<Identity>,
) -> Result<Json<Vec<Refresh>>, Refusal> {
    Ok(Json(counter.desk.refreshes(terminal(&identity)?)))
}
