//! Boxes tell how they are, and the operator of head office sees all of them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use storebox_proto::feed::Position;
use storebox_proto::heartbeat::{Heartbeat, behind};
use storebox_proto::ids::NodeId;
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use crate::env;
use crate::fleet::{EVERY, Heard, Roll};
use crate::status::Panel;
use crate::terminal::access::{Access, Kind, Listed};

/// A box that missed so many heartbeats is away.
const MISSED_MAX: i64 = 3;

/// What the handlers need; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// What boxes said.
    pub roll: Roll,
    /// Which boxes there are.
    pub access: Access,
    /// Where masterdata stands here.
    pub panel: Panel,
}

/// The routes of this file.
pub fn routes(fleet: Fleet) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(hear)).routes(routes!(list)).with_state(fleet)
}

/// A box as head office knows it; what is not known is absent.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoxView {
    /// Its name.
    pub name: String,
    /// `here`, `away` (it spoke, but not lately), `unknown` (it never spoke) or `revoked`.
    pub contact: &'static str,
    /// When it spoke last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub last_contact: Option<Timestamp>,
    /// What it said then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub said: Option<Heartbeat>,
    /// By how many revisions its feeds were behind; a feed of another life or one that it lacks is not listed.
    pub feeds: Vec<Lag>,
}

/// How far a feed of a box is behind.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Lag {
    /// The feed.
    pub feed: String,
    /// Revisions behind; absent if nobody can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
}

/// A box tells how it is.
#[utoipa::path(post, path = "/sync/v1/heartbeat", tag = "boxes", request_body = Object,
    responses((status = 204, description = "Heard.")))]
async fn hear(
    State(fleet): State<Fleet>,
    Extension(identity): Extension<Identity>,
    Json(heartbeat): Json<Heartbeat>,
) -> Result<StatusCode, Refusal> {
    let Identity::Node(node) = identity else {
        return Err(Refusal::new(Code::Forbidden, "only a box tells how it is"));
    };
    heartbeat.check().map_err(|unfit| Refusal::new(Code::FieldInvalid, unfit.to_string()))?;
    fleet.roll.hear(node, heartbeat, env::timestamp());
    Ok(StatusCode::NO_CONTENT)
}

/// All boxes of the chain by name, each with what it said last.
#[utoipa::path(get, path = "/v1/boxes", tag = "boxes",
    responses((status = 200, description = "All boxes.", body = Vec<BoxView>)))]
async fn list(State(fleet): State<Fleet>) -> Json<Vec<BoxView>> {
    Json(fleet.boxes().await)
}

impl Fleet {
    /// All boxes of the chain by name.
    pub async fn boxes(&self) -> Vec<BoxView> {
        let feeds = self.panel.status().await.feeds;
        let author: Vec<_> = feeds
            .into_iter()
            .map(|feed| (feed.feed, Position { epoch: feed.epoch, revision: feed.revision }))
            .collect();
        let now = env::timestamp();
        let nodes = self.access.list(Kind::Node, now).into_iter();
        nodes.map(|node| view(&self.roll, node, &author, now)).collect()
    }
}

fn view(roll: &Roll, node: Listed, author: &[(String, Position)], now: Timestamp) -> BoxView {
    let heard = node.name.parse::<NodeId>().ok().and_then(|name| roll.of(&name));
    let contact = match (&heard, node.revoked) {
        (_, Some(_)) => "revoked",
        (None, None) => "unknown",
        (Some(heard), None) if is_late(heard, now) => "away",
        (Some(_), None) => "here",
    };
    let said = heard.as_ref().map(|heard| &heard.heartbeat);
    let lag = |(feed, author): &(String, Position)| {
        let own = said?.feeds.iter().find(|own| own.feed.as_str() == feed);
        let behind = own.and_then(|own| behind(*author, own.position));
        Some(Lag { feed: feed.clone(), behind })
    };
    let feeds = author.iter().filter_map(lag).collect();
    // Any use of its token shows that a box lives, also one whose program does not send heartbeats.
    let last_contact = heard.as_ref().map(|heard| heard.at).max(node.last_seen);
    BoxView { name: node.name, contact, last_contact, said: heard.map(|h| h.heartbeat), feeds }
}

fn is_late(heard: &Heard, now: Timestamp) -> bool {
    let every = i64::try_from(EVERY.as_millis()).unwrap_or(i64::MAX);
    now.unix_ms().saturating_sub(heard.at.unix_ms()) > every.saturating_mul(MISSED_MAX)
}
