//! All devices of the box on one page, and what goes over their lines for whoever repairs them.

use std::convert::Infallible;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use storebox_proto::order::person;
use tokio_stream::wrappers::BroadcastStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::ALIVE_EVERY;
use super::identity::Identity;
use super::problem::Refusal;
use crate::blocking::beside;
use crate::devices::bay::Link;
use crate::devices::trace::{Piece, Way};
use crate::devices::yard::{Devices, Post};
use crate::login::Person;

/// The routes of this file.
pub fn routes(devices: Devices) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(trace)).with_state(devices)
}

/// Whether a device can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// Its name.
    pub id: String,
    /// `printer`, `scale`, `display` or `scanner`.
    pub kind: String,
    /// Where it is looked for.
    pub at: String,
    /// `starting`, `away` or `open`.
    pub link: String,
    /// Why it is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A definition that is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedView {
    /// What it is called.
    pub id: String,
    /// Where it stands.
    pub from: String,
    /// Why it is not used.
    pub why: String,
}

/// Something that is plugged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluggedView {
    /// The kernel's name for it.
    pub name: String,
    /// What to write for `at`.
    pub at: String,
}

/// Devices, definitions that are not used, and what is plugged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceList {
    /// By name.
    pub devices: Vec<DeviceView>,
    /// Named and left out.
    pub refused: Vec<RefusedView>,
    /// On USB, configured or not; nothing is opened to find this out.
    pub plugged: Vec<PluggedView>,
}

impl DeviceView {
    /// What is to be said of a device.
    pub fn of(post: &Post) -> Self {
        let definition = &post.definition;
        let (link, why) = match post.link() {
            Link::Starting => ("starting", None),
            Link::Away { why } => ("away", Some(why)),
            Link::Open => ("open", None),
        };
        Self {
            id: definition.id.to_string(),
            kind: definition.what.kind().to_owned(),
            at: definition.place.to_string(),
            link: link.to_owned(),
            why,
        }
    }
}

/// Who acts, for what is written down.
pub(super) fn name_of(identity: &Identity) -> String {
    match identity {
        Identity::Terminal(terminal) => terminal.to_string(),
        Identity::Node(node) => node.to_string(),
        Identity::Operator => "operator".to_owned(),
    }
}

/// Who acts: the person who is logged in and where, else whoever calls.
pub(super) fn logged_in(person: Option<&Person>, identity: &Identity) -> String {
    match person {
        Some(person) => format!("{} at {}", person.user, name_of(identity)),
        None => name_of(identity),
    }
}

/// Who acts: the person that the call names, else whoever calls.
pub(super) fn person_of(by: Option<String>, identity: &Identity) -> String {
    person(&named(by, identity))
}

/// The same as it was given, for what judges it.
pub(super) fn named(by: Option<String>, identity: &Identity) -> String {
    by.unwrap_or_else(|| name_of(identity))
}

/// All devices.
#[utoipa::path(get, path = "/v1/devices", tag = "devices",
    responses((status = 200, description = "All devices.", body = DeviceList)))]
async fn list(State(devices): State<Devices>) -> Result<Json<DeviceList>, Refusal> {
    let roll = devices.roll();
    // The kernel's directories are read: quick, but not the runtime's business.
    let plugged = beside(move || devices.plugged()).await.into_iter();
    let refused = roll.refused.iter().cloned();
    Ok(Json(DeviceList {
        devices: roll.posts.values().map(DeviceView::of).collect(),
        refused: refused
            .map(|refused| RefusedView { id: refused.id, from: refused.from, why: refused.why })
            .collect(),
        plugged: plugged
            .map(|plugged| PluggedView { at: plugged.place().to_string(), name: plugged.name })
            .collect(),
    }))
}

/// The bytes on a device's line as they go; for the operator, because receipts are private.
#[utoipa::path(get, path = "/v1/traces/{id}", tag = "devices", params(("id" = String, Path)),
    responses((status = 200, description = "Events until the connection ends.", body = String,
               content_type = "text/event-stream")))]
async fn trace(
    State(devices): State<Devices>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let pieces = BroadcastStream::new(devices.post(&id)?.tap.listen());
    let events =
        pieces.map(|heard| Ok(heard.map_or_else(|lost| missed(&lost), |piece| told(&piece))));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)))
}

fn told(piece: &Piece) -> Event {
    let way = match piece.way {
        Way::Sent => "sent",
        Way::Received => "received",
    };
    let data = serde_json::json!({"at": piece.at, "way": way, "bytes": hex::encode(&piece.bytes)});
    Event::default().event(way).data(data.to_string())
}

fn missed(lost: &impl std::fmt::Display) -> Event {
    Event::default().event("missed").data(lost.to_string())
}
