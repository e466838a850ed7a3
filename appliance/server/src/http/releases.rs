//! Releases at head office, for the operator: offer one, let it come further, stop it, see how the boxes do.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use storebox_proto::heartbeat::ReleaseAt;
use storebox_proto::problem::Code;
use storebox_proto::release::Release;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use crate::fleet::Roll;
use crate::logging;
use crate::replica::import::ImportError;
use crate::replica::office::OfficeError;
use crate::update::{BlocksError, Change, NewRelease, Shelf, ShelfError};

/// What the handlers need; cheap to clone.
#[derive(Clone)]
pub struct Releases {
    /// The releases.
    pub shelf: Shelf,
    /// What boxes said.
    pub roll: Roll,
}

/// The routes of this file.
pub fn routes(releases: Releases) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(change)).with_state(releases)
}

/// A release, and how the boxes do with it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseView {
    /// What head office offers.
    #[schema(value_type = Object)]
    pub release: Release,
    /// Boxes that run it.
    pub running: Vec<String>,
    /// Boxes that are about to get it, each with what it is doing.
    pub coming: Vec<BoxWord>,
    /// Boxes on which it failed, each with why.
    pub failed: Vec<BoxWord>,
}

/// A box, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BoxWord {
    /// Its name.
    pub name: String,
    /// What is to be said.
    pub word: String,
}

/// A release that was taken in.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Added {
    /// What is offered.
    #[schema(value_type = Object)]
    pub release: Release,
    /// Bytes that no earlier release has: what it costs a box that has the one before.
    pub new_bytes: u64,
}

/// All releases on offer, the newest first, with what the boxes say of them.
#[utoipa::path(get, path = "/v1/releases", tag = "releases",
    responses((status = 200, description = "The releases.", body = Vec<ReleaseView>)))]
async fn list(State(releases): State<Releases>) -> Json<Vec<ReleaseView>> {
    let Releases { shelf, roll } = releases;
    Json(shelf.list().into_iter().map(|release| view(release, &roll)).collect())
}

/// Offers a bundle of this node's disk to a ring.
#[utoipa::path(post, path = "/v1/releases", tag = "releases", request_body = NewRelease,
    responses(
        (status = 201, description = "It is on offer.", body = Added),
        (status = 409, description = "state_conflict: there is another one of this version"),
        (status = 422, description = "field_invalid")))]
async fn add(
    State(releases): State<Releases>,
    Json(new): Json<NewRelease>,
) -> Result<(StatusCode, Json<Added>), Refusal> {
    let (release, new_bytes) = releases.shelf.add(new).await.map_err(refuse)?;
    Ok((StatusCode::CREATED, Json(Added { release, new_bytes })))
}

/// Lets a release come further, halts it, lets it go on, or takes it away.
#[utoipa::path(post, path = "/v1/releases/{id}", tag = "releases", request_body = Change,
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "As it is now.", body = Object),
        (status = 404, description = "release_unknown")))]
async fn change(
    State(releases): State<Releases>,
    Path(id): Path<String>,
    Json(change): Json<Change>,
) -> Result<Json<Release>, Refusal> {
    releases.shelf.change(&id, change).await.map(Json).map_err(refuse)
}

fn view(release: Release, roll: &Roll) -> ReleaseView {
    let version = release.version.to_string();
    let (mut running, mut coming) = (Vec::new(), Vec::new());
    for (name, at) in at(roll, &release.board) {
        if at.running == version {
            running.push(name);
        } else if at.wanted.as_deref() == Some(&version) {
            let word = match at.why.is_empty() {
                true => at.state,
                false => format!("{}: {}", at.state, at.why),
            };
            coming.push(BoxWord { name, word });
        }
    }
    let failed = failed(&release, roll);
    ReleaseView { release, running, coming, failed }
}

/// The boxes on which a release failed, each with why.
pub fn failed(release: &Release, roll: &Roll) -> Vec<BoxWord> {
    let version = release.version.to_string();
    let mut failed = Vec::new();
    for (name, at) in at(roll, &release.board) {
        if let Some(one) = at.failed.into_iter().find(|one| one.version == version) {
            failed.push(BoxWord { name, word: format!("{}: {}", one.event, one.why) });
        }
    }
    failed
}

fn at(roll: &Roll, board: &str) -> Vec<(String, ReleaseAt)> {
    let said = roll.all().into_iter();
    let said = said.filter_map(|(node, heard)| Some((node.to_string(), heard.heartbeat.release?)));
    said.filter(|(_, at)| at.board == board).collect()
}

fn refuse(error: ShelfError) -> Refusal {
    let code = match &error {
        ShelfError::Path | ShelfError::Field(_) | ShelfError::Ring { .. } => Code::FieldInvalid,
        ShelfError::Blocks(BlocksError::Size { .. }) => Code::TooLarge,
        ShelfError::Blocks(BlocksError::File { .. } | BlocksError::Cut { .. }) => {
            Code::FieldInvalid
        }
        ShelfError::Blocks(_) => Code::StorageFailed,
        ShelfError::Unknown { .. } => Code::ReleaseUnknown,
        ShelfError::Taken { .. } | ShelfError::Full | ShelfError::Last { .. } => {
            Code::StateConflict
        }
        ShelfError::Office(OfficeError::Busy) | ShelfError::NotVisible => Code::Busy,
        ShelfError::Office(OfficeError::Import(ImportError::Refused(_))) => Code::FieldInvalid,
        ShelfError::Office(_) => Code::Internal,
    };
    Refusal::new(code, logging::chain(&error))
}
