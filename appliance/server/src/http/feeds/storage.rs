//! Published feeds: written to storage by head office, read from it by order of a person.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use storebox_proto::ids::SourceId;
use storebox_proto::problem::Code;
use storebox_proto::sync::fetch::Wish;
use storebox_proto::sync::ladder::{Kind, Rung, Service};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::db::SegmentStore;
use crate::http::identity::Identity;
use crate::http::problem::Refusal;
use crate::logging::chain;
use crate::replica::board::Board;
use crate::replica::publisher::{Publication, PublishError, Publisher};
use crate::replica::refresher::Handle;
use crate::replica::source::Source;
use crate::replica::sources::Sources;
use crate::replica::storage::{Locker, Settings, Storage};
use crate::seal::Seals;
use crate::trust::line::Lines;
use crate::valve::Valve;

/// The source that a person names for one refresh, until another is named.
const LENT: &str = "lent";

/// Storage, as a person names it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    /// Such as `file:///media/stick`, `https://host/feeds`, `davs://host/feeds`, `ftp://host/feeds` or
    /// `s3://bucket/feeds`.
    pub url: String,
    /// The user, or the id of the access key.
    #[serde(default)]
    pub user: String,
    /// A file that the box may read, with the password or the secret of the access key.
    #[serde(default)]
    pub secret_file: String,
    /// Where the bucket's service is.
    #[serde(default)]
    pub endpoint: String,
    /// The service's region.
    #[serde(default)]
    pub region: String,
    /// For TLS: a file with the authorities that vouch for the server; empty: those of this machine.
    #[serde(default)]
    pub ca_file: String,
    /// The site whose ring seals all of it; empty: it lies there as it is.
    #[serde(default)]
    pub ring: String,
}

/// A secret is a line; a file with much more is not one.
const SECRET_FILE_MAX: u64 = 4096;

impl Named {
    fn open(self, seals: &Seals, lines: &Lines) -> Result<Storage, Refusal> {
        let refuse = |detail: String| Refusal::new(Code::FieldInvalid, detail);
        let Self { url, user, secret_file, endpoint, region, ring, ca_file } = self;
        let mut locker = None;
        if !ring.is_empty() {
            let site = ring.parse().map_err(|error| refuse(format!("field ring: {error}")))?;
            locker = Some(Locker::new(seals.clone(), site));
        }
        let mut secret = String::new();
        if !secret_file.is_empty() {
            let fail = |error: std::io::Error| refuse(format!("field secretFile: {error}"));
            if std::fs::metadata(&secret_file).map_err(fail)?.len() > SECRET_FILE_MAX {
                return Err(refuse("field secretFile: too large for a secret".to_owned()));
            }
            secret = std::fs::read_to_string(&secret_file).map_err(fail)?.trim().to_owned();
        }
        let ca_file = ca_file.into();
        let settings = Settings { url, user, secret, endpoint, region, ca_file };
        let opened = Storage::open(settings, lines);
        let opened = opened.map_err(|error| refuse(format!("field url: {}", chain(&error))))?;
        Ok(opened.locked(locker))
    }
}

/// What head office publishes.
#[derive(Clone)]
pub struct Shelf {
    /// Its heads.
    pub board: Board,
    /// Its objects.
    pub segments: SegmentStore,
    /// Blocks of releases.
    pub blocks: SegmentStore,
    /// Who signs them.
    pub keys: Vec<VerifyingKey>,
    /// Who opens lines to storage.
    pub lines: Lines,
    /// What seals them, where a ring is named.
    pub seals: Seals,
}

/// The route of head office.
pub fn publish_routes(shelf: Shelf) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(publish)).with_state(shelf)
}

/// What a store reads from.
#[derive(Clone)]
pub struct Lending {
    /// Its sources.
    pub sources: Sources,
    /// Its refresher.
    pub refresher: Handle,
    /// Who opens lines to storage.
    pub lines: Lines,
    /// What opens them, where a ring is named.
    pub seals: Seals,
    /// What a drill shuts.
    pub valve: Valve,
}

/// The route of a store.
pub fn lend_routes(lending: Lending) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(refresh_from)).with_state(lending)
}

/// Publishes all feeds to storage: objects first, heads last.
#[utoipa::path(post, path = "/v1/publish", tag = "masterdata", request_body = Named,
    responses(
        (status = 200, description = "Published, or there already.", body = Publication),
        (status = 409, description = "state_conflict: a newer or a foreign publication is there"),
        (status = 422, description = "field_invalid")))]
async fn publish(
    State(shelf): State<Shelf>,
    Extension(identity): Extension<Identity>,
    Json(named): Json<Named>,
) -> Result<Json<Publication>, Refusal> {
    operator_only(&identity)?;
    let storage = named.open(&shelf.seals, &shelf.lines)?;
    let publisher = Publisher::new(storage, shelf.board, shelf.segments, shelf.keys);
    let mut publisher = publisher.with_blocks(shelf.blocks);
    let published = publisher.publish().await.map_err(|error| {
        let code = match &error {
            PublishError::Newer { .. } | PublishError::Foreign { .. } => Code::StateConflict,
            PublishError::Storage(_) => Code::SourceFailed,
            PublishError::Read { .. } | PublishError::Damaged { .. } | PublishError::Blocks(_) => {
                Code::Internal
            }
        };
        Refusal::new(code, chain(&error))
    })?;
    Ok(Json(published))
}

/// Refreshes from storage that a person names; other sources stay in use beside it.
#[utoipa::path(post, path = "/v1/refresh/from", tag = "masterdata", request_body = Named,
    responses(
        (status = 202, description = "Begun; `GET /v1/feeds` tells how far it is."),
        (status = 422, description = "field_invalid"),
        (status = 502, description = "source_failed: the storage does not answer"),
        (status = 503, description = "busy")))]
async fn refresh_from(
    State(lending): State<Lending>,
    Extension(identity): Extension<Identity>,
    Json(named): Json<Named>,
) -> Result<StatusCode, Refusal> {
    operator_only(&identity)?;
    let source = named.open(&lending.seals, &lending.lines)?;
    let source = Source::Storage(source.behind(&lending.valve));
    let failed = |error| Refusal::new(Code::SourceFailed, chain(&error));
    source.probe().await.map_err(failed)?;
    let id: SourceId = LENT.parse().expect("a literal that keeps the rule for sources");
    lending.sources.remove(&id);
    let services = vec![Service::Feeds];
    let rung = Rung { services, found: true, near: true, ..Rung::new(id, Kind::Storage) };
    let name = source.name();
    if !lending.sources.put(rung, &name, source) {
        return Err(Refusal::new(Code::Busy, "too many sources are in use"));
    }
    let refreshed = lending.refresher.refresh(None, Wish::Incremental);
    refreshed.map_err(|busy| Refusal::new(Code::Busy, busy.to_string()))?;
    Ok(StatusCode::ACCEPTED)
}

fn operator_only(identity: &Identity) -> Result<(), Refusal> {
    match identity {
        Identity::Operator => Ok(()),
        Identity::Node(_) | Identity::Terminal(_) => {
            Err(Refusal::new(Code::Forbidden, "this path is for the operator"))
        }
    }
}
