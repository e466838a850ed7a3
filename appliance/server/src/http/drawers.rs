//! Cash drawers: opened on request, with who and why on disk before they spring open.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use storebox_proto::problem::{Code, Problem};
use tokio::sync::oneshot;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::devices::logged_in;
use super::identity::Identity;
use super::printers::taken_away;
use super::problem::Refusal;
use crate::devices::bay::Link;
use crate::devices::bay::printer::Command;
use crate::devices::spool::Entry;
use crate::devices::yard::Devices;
use crate::env;
use crate::login::Person;

/// A drawer opens within this, or not at all: later it would surprise somebody.
const KICK_MAX: Duration = Duration::from_secs(5);
/// Entries that are shown.
const ENTRIES_SHOWN: usize = 100;
/// The longest reason that is written down.
const REASON_CHARS_MAX: usize = 200;

/// The routes of this file.
pub fn routes(devices: Devices) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(open)).with_state(devices)
}

/// A drawer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct DrawerView {
    id: String,
    /// The printer that it hangs on.
    printer: String,
    /// Whether the printer can be talked to.
    reachable: bool,
    /// Whether it stands open; absent if its sensor is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<bool>,
    /// What happened to it, newest first.
    entries: Vec<Entry>,
}

/// Why it is opened.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Reason {
    /// In words, for the audit.
    reason: String,
}

/// An opening that was asked for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Kicked {
    /// The entry's number.
    entry: u64,
}

/// A drawer, whether it stands open, and what happened to it.
#[utoipa::path(get, path = "/v1/drawers/{id}", tag = "drawers", params(("id" = String, Path)),
    responses((status = 200, description = "The drawer.", body = DrawerView)))]
async fn show(
    State(devices): State<Devices>,
    Path(id): Path<String>,
) -> Result<Json<DrawerView>, Refusal> {
    let (drawer, printer, _) = devices.drawer(&id)?;
    let entries = devices.spool().entries(drawer.clone(), ENTRIES_SHOWN).await?;
    let reachable = printer.counter.link() == Link::Open;
    let open = printer.state.borrow().drawer_open.filter(|_| reachable);
    let (id, printer) = (drawer.to_string(), printer.id.to_string());
    Ok(Json(DrawerView { id, printer, reachable, open, entries }))
}

/// Opens a drawer.
#[utoipa::path(post, path = "/v1/drawers/{id}/open", tag = "drawers", params(("id" = String, Path)),
    request_body = Reason,
    responses((status = 200, description = "The printer sent the pulse.", body = Kicked)))]
async fn open(
    State(devices): State<Devices>,
    Extension(identity): Extension<Identity>,
    person: Option<Extension<Person>>,
    Path(id): Path<String>,
    Json(Reason { reason }): Json<Reason>,
) -> Result<Json<Kicked>, Refusal> {
    let (drawer, printer, pin) = devices.drawer(&id)?;
    if reason.chars().count() > REASON_CHARS_MAX {
        let detail = format!("reason may have {REASON_CHARS_MAX} characters");
        return Err(Problem::new(Code::FieldInvalid, detail).into());
    }
    if let Some(away) = printer.counter.link().away() {
        return Err(away.into());
    }
    let by = logged_in(person.as_deref(), &identity);
    let entry = devices.spool().note_kick(drawer.clone(), by.clone(), reason).await?;
    let (answer, answered) = oneshot::channel();
    let until = env::instant() + KICK_MAX;
    let given = printer.counter.give(Command::Kick { pin, entry, until, answer });
    let kicked = match given {
        Ok(()) => answered.await.unwrap_or_else(|_| Err(taken_away())),
        Err(refused) => Err(refused),
    };
    if let Err(problem) = kicked {
        devices.spool().note_failed(drawer, by, entry, problem.detail.clone()).await;
        return Err(problem.into());
    }
    Ok(Json(Kicked { entry }))
}
