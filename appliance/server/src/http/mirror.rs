//! Copies of what neighbours hold: the side of the box that keeps them.
//!
//! A box reaches its own copies only, by its name; so does the one that takes its place under that name.

use std::path::PathBuf;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use storebox_proto::ids::{Hash32, NodeId, TxKey};
use storebox_proto::limits::{BATCH_BYTES_MAX, ENVELOPE_BYTES_MAX};
use storebox_proto::problem::{Code, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::identity::Identity;
use super::problem::Refusal;
use super::settle::not_understood;
use crate::pass::Claim;
use crate::uplink::{Copies, Copy};

mod terminals;

use terminals::Lists;

/// Copies in one request, with room for their receipts.
const BODY_BYTES_MAX: usize = 4 * (BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX);

/// What the routes need.
#[derive(Clone)]
pub struct Shelf {
    copies: Copies,
    lists: Lists,
}

impl Shelf {
    /// With these copies, and the terminals of neighbours in this folder.
    pub fn new(copies: Copies, folder: PathBuf) -> Self {
        Self { copies, lists: Lists::new(folder) }
    }
}

/// The routes of a store.
pub fn routes(shelf: Shelf) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(hold, page))
        .routes(routes!(release))
        .routes(routes!(keys))
        .merge(terminals::routes(shelf.lists.clone()))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shelf)
}

/// Behind which key a page begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct After {
    /// The last key of the page before.
    after: Option<String>,
}

impl After {
    fn key(self) -> Result<Option<TxKey>, Problem> {
        self.after.map(|text| super::settle::parse_key(&text)).transpose()
    }
}

/// Keep copies; they are on the disk when the answer comes.
#[utoipa::path(post, path = "/sync/v1/mirror/{node}/copies", tag = "sync",
    params(("node" = String, Path)),
    request_body(content = Object, description = "A list of `receipt` and `envelope`."),
    responses((status = 200, description = "How many were sent.", body = u64),
              (status = 507, description = "storage_full")))]
async fn hold(
    State(shelf): State<Shelf>,
    Extension(identity): Extension<Identity>,
    claim: Option<Extension<Claim>>,
    Path(node): Path<String>,
    body: Bytes,
) -> Result<Json<u64>, Refusal> {
    let (node, copies) = own_list::<Copy>(&identity, &node, claim.as_deref(), &body)?;
    let count = copies.len() as u64;
    shelf.copies.hold(node, copies).await?;
    Ok(Json(count))
}

/// A page of the copies, by key, for the box that takes the place of the one that sold them.
#[utoipa::path(get, path = "/sync/v1/mirror/{node}/copies", tag = "sync",
    params(("node" = String, Path), After),
    responses((status = 200, description = "At most 100, each with `receipt` and `envelope`.", body = Object)))]
async fn page(
    State(shelf): State<Shelf>,
    Extension(identity): Extension<Identity>,
    Path(node): Path<String>,
    Query(after): Query<After>,
) -> Result<Json<Vec<Copy>>, Refusal> {
    let node = own(&identity, &node, None, &[])?;
    Ok(Json(shelf.copies.page(node, after.key()?).await?))
}

/// Let copies go that head office has.
#[utoipa::path(post, path = "/sync/v1/mirror/{node}/release", tag = "sync",
    params(("node" = String, Path)),
    request_body(content = Object, description = "A list of keys."),
    responses((status = 200, description = "How many were named.", body = u64)))]
async fn release(
    State(shelf): State<Shelf>,
    Extension(identity): Extension<Identity>,
    claim: Option<Extension<Claim>>,
    Path(node): Path<String>,
    body: Bytes,
) -> Result<Json<u64>, Refusal> {
    let (node, keys) = own_list::<TxKey>(&identity, &node, claim.as_deref(), &body)?;
    let count = keys.len() as u64;
    shelf.copies.release(node, keys).await?;
    Ok(Json(count))
}

/// Keys of the copies, in order.
#[utoipa::path(get, path = "/sync/v1/mirror/{node}/keys", tag = "sync",
    params(("node" = String, Path), After),
    responses((status = 200, description = "At most 2000.", body = Vec<String>)))]
async fn keys(
    State(shelf): State<Shelf>,
    Extension(identity): Extension<Identity>,
    Path(node): Path<String>,
    Query(after): Query<After>,
) -> Result<Json<Vec<TxKey>>, Refusal> {
    let node = own(&identity, &node, None, &[])?;
    Ok(Json(shelf.copies.keys(node, after.key()?).await?))
}

/// The same with the list in the body.
fn own_list<T: DeserializeOwned>(
    identity: &Identity,
    node: &str,
    claim: Option<&Claim>,
    body: &[u8],
) -> Result<(NodeId, Vec<T>), Refusal> {
    let node = own(identity, node, claim, body)?;
    Ok((node, serde_json::from_slice(body).map_err(not_understood)?))
}

/// A claim is of one body; another one was put in its place.
pub(super) fn signed(claim: Option<&Claim>, body: &[u8]) -> Result<(), Refusal> {
    match claim.is_some_and(|claim| claim.body != Hash32::of(body)) {
        true => Err(Refusal::new(Code::Unauthenticated, "the body is not the one that was signed")),
        false => Ok(()),
    }
}

/// Whose copies these are: the caller's own, and the body is the one that it signed.
fn own(
    identity: &Identity,
    node: &str,
    claim: Option<&Claim>,
    body: &[u8],
) -> Result<NodeId, Refusal> {
    signed(claim, body)?;
    match identity {
        Identity::Node(caller) if caller.as_str() == node => Ok(caller.clone()),
        Identity::Node(_) => {
            Err(Refusal::new(Code::PathUnknown, "a box reaches its own copies only"))
        }
        Identity::Terminal(_) | Identity::Operator => {
            Err(Refusal::new(Code::Forbidden, "this path is for other boxes"))
        }
    }
}
