//! Copies of what neighbours hold: the side of the box that keeps them.
//!
//! A box reaches its own copies only, by its name; so does the one that takes its place under that name.

use std::collections::BTreeSet;
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
use crate::blocking::beside;
use crate::files;
use crate::pass::Claim;
use crate::uplink::{Copies, Copy};

/// Copies in one request, with room for their receipts.
const BODY_BYTES_MAX: usize = 4 * (BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX);
/// What a box says of its terminals.
const TERMINALS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the routes need.
#[derive(Clone)]
pub struct Shelf {
    /// The copies.
    pub copies: Copies,
    /// Where terminals of neighbours are remembered.
    pub folder: PathBuf,
}

/// The routes of a store.
pub fn routes(shelf: Shelf) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(hold, page))
        .routes(routes!(release))
        .routes(routes!(keys))
        .routes(routes!(put_terminals, terminals))
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

/// Remember the terminals of a box: names and hashes of their tokens, never a token.
///
/// No box drops a name from its book. Those that a list does not name are of the box before it, whose place it took and
/// whose terminals it has not adopted yet: they stay.
#[utoipa::path(put, path = "/sync/v1/mirror/{node}/terminals", tag = "sync",
    params(("node" = String, Path)),
    request_body(content = Object, description = "The box's own list."),
    responses((status = 200, description = "Its length in bytes.", body = u64)))]
async fn put_terminals(
    State(shelf): State<Shelf>,
    Extension(identity): Extension<Identity>,
    claim: Option<Extension<Claim>>,
    Path(node): Path<String>,
    body: Bytes,
) -> Result<Json<u64>, Refusal> {
    let node = own(&identity, &node, claim.as_deref(), &body)?;
    if body.len() > TERMINALS_BYTES_MAX {
        return Err(Refusal::new(Code::TooLarge, "more terminals than a box has"));
    }
    let length = body.len() as u64;
    let path = shelf.folder.join(format!("{node}.terminals"));
    let write = move || {
        let list = with_unnamed(&body, std::fs::read(&path).unwrap_or_default());
        files::replace(&path, list.as_deref().unwrap_or(&body), files::PRIVATE)
    };
    match beside(write).await {
        Ok(()) => Ok(Json(length)),
        Err(error) => Err(Refusal::new(Code::StorageFull, error.to_string())),
    }
}

/// A list with those of the one before that it does not name, if there are any and it has room for them.
fn with_unnamed(list: &[u8], before: Vec<u8>) -> Option<Vec<u8>> {
    let read = |bytes: &[u8]| serde_json::from_slice::<Vec<serde_json::Value>>(bytes).ok();
    let (mut list, before) = (read(list)?, read(&before)?);
    let name = |entry: &serde_json::Value| entry["name"].as_str().unwrap_or_default().to_owned();
    let named: BTreeSet<String> = list.iter().map(name).collect();
    let told = list.len();
    list.extend(before.into_iter().filter(|entry| !named.contains(&name(entry))));
    let bytes = serde_json::to_vec(&list).expect("what was read as JSON is JSON");
    (list.len() > told && bytes.len() <= TERMINALS_BYTES_MAX).then_some(bytes)
}

/// The terminals of a box, for the one that takes its place.
#[utoipa::path(get, path = "/sync/v1/mirror/{node}/terminals", tag = "sync",
    params(("node" = String, Path)),
    responses((status = 200, description = "What the box said last.", body = Object),
              (status = 404, description = "terminal_unknown: it never said anything")))]
async fn terminals(
    State(shelf): State<Shelf>,
    Extension(identity): Extension<Identity>,
    Path(node): Path<String>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let node = own(&identity, &node, None, &[])?;
    let path = shelf.folder.join(format!("{node}.terminals"));
    let read = beside(move || std::fs::read(path)).await;
    let known = read.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let unknown = || Refusal::new(Code::TerminalUnknown, "no terminals of this box are known here");
    known.map(Json).ok_or_else(unknown)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_that_are_not_adopted_yet_stay_in_the_list_of_their_name() {
        let before = br#"[{"name":"till-1","epoch":3},{"name":"till-2","epoch":1}]"#.to_vec();
        let list = with_unnamed(br#"[{"name":"till-2","epoch":9}]"#, before.clone()).unwrap();
        let list: Vec<serde_json::Value> = serde_json::from_slice(&list).unwrap();
        let told: Vec<_> = list.iter().map(|one| (&one["name"], &one["epoch"])).collect();
        assert_eq!(told, [(&"till-2".into(), &9.into()), (&"till-1".into(), &3.into())]);
        assert_eq!(with_unnamed(&before, before.clone()), None, "as it came");
        assert_eq!(with_unnamed(b"[", before), None);
        assert_eq!(with_unnamed(b"[]", Vec::new()), None);
    }
}
