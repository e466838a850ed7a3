//! The terminals of a box, as its mirror remembers them for whoever takes its place.
//!
//! A list carries what this box asked for last and is taken once, so that an older one which was overheard and is said
//! again brings no terminal back; what is asked for is new at each start, so that holds across restarts too.
//! No box drops a name from its book: those that a list does not name are of the box before it, whose place it took and
//! whose terminals it has not adopted yet, and they stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use storebox_proto::ids::NodeId;
use storebox_proto::problem::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::own;
use crate::http::identity::Identity;
use crate::http::problem::Refusal;
use crate::pass::Claim;
use crate::{env, files};

/// What a box says of its terminals.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Boxes of which is known what their next list carries; one that is forgotten asks again.
const ASKS_MAX: usize = 64;

/// The lists of all boxes whose mirror this one is; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    folder: PathBuf,
    /// What the next list of each box carries.
    asks: Arc<Mutex<BTreeMap<NodeId, String>>>,
    /// Held while a list is judged and its file is replaced.
    writing: Arc<Mutex<()>>,
}

/// Why a list is not kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    /// It was not asked for, or was taken before.
    #[error(
        "this list of terminals is not the one that was asked for last: it may be an older one \
         that is said again; ask what the next one carries"
    )]
    Outdated,
    /// The disk.
    #[error(transparent)]
    Disk(#[from] std::io::Error),
}

/// What was asked for last.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// As `/sync/v1/mirror/{node}/terminals/asks` says.
    #[serde(default)]
    asked: String,
}

/// The routes of a mirror.
pub(super) fn routes(lists: Lists) -> OpenApiRouter<super::Shelf> {
    OpenApiRouter::new()
        .routes(routes!(remember, remembered))
        .routes(routes!(asks))
        .with_state(lists)
}

impl Lists {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, asks: Arc::default(), writing: Arc::default() }
    }

    /// What the next list of a box carries.
    fn asks(&self, node: &NodeId) -> String {
        let mut asks = lock(&self.asks);
        if asks.len() >= ASKS_MAX && !asks.contains_key(node) {
            asks.pop_first();
        }
        asks.entry(node.clone()).or_insert_with(|| hex::encode(env::random::<16>())).clone()
    }

    /// Keeps a list in place of the one before, if it carries what was asked for.
    fn keep(&self, node: &NodeId, asked: &str, list: &[u8]) -> Result<(), KeepError> {
        let _writing = lock(&self.writing);
        if lock(&self.asks).get(node).is_none_or(|asks| asks != asked) {
            return Err(KeepError::Outdated);
        }
        lock(&self.asks).remove(node);
        let path = self.path(node);
        let merged = with_unnamed(list, std::fs::read(&path).unwrap_or_default());
        Ok(files::replace(&path, merged.as_deref().unwrap_or(list), files::PRIVATE)?)
    }

    fn path(&self, node: &NodeId) -> PathBuf {
        self.folder.join(format!("{node}.terminals"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remember the terminals of a box: names and hashes of their tokens, never a token.
#[utoipa::path(put, path = "/sync/v1/mirror/{node}/terminals", tag = "sync",
    params(("node" = String, Path), Asked),
    request_body(content = Object, description = "The box's own list."),
    responses((status = 200, description = "Its length in bytes.", body = u64),
              (status = 409, description = "list_outdated: it was not asked for, or was taken before")))]
async fn remember(
    State(lists): State<Lists>,
    Extension(identity): Extension<Identity>,
    claim: Option<Extension<Claim>>,
    Path(node): Path<String>,
    Query(Asked { asked }): Query<Asked>,
    body: Bytes,
) -> Result<Json<u64>, Refusal> {
    let node = own(&identity, &node, claim.as_deref(), &body)?;
    if body.len() > BYTES_MAX {
        return Err(Refusal::new(Code::TooLarge, "more terminals than a box has"));
    }
    let length = body.len() as u64;
    let written = tokio::task::spawn_blocking(move || lists.keep(&node, &asked, &body));
    match written.await {
        Ok(Ok(())) => Ok(Json(length)),
        Ok(Err(error @ KeepError::Outdated)) => {
            Err(Refusal::new(Code::ListOutdated, error.to_string()))
        }
        Ok(Err(KeepError::Disk(error))) => Err(Refusal::new(Code::StorageFull, error.to_string())),
        Err(error) => Err(Refusal::new(Code::Internal, error.to_string())),
    }
}

/// What the next list of terminals carries; it is taken once.
#[utoipa::path(get, path = "/sync/v1/mirror/{node}/terminals/asks", tag = "sync",
    params(("node" = String, Path)),
    responses((status = 200, description = "To be said with the list, in `asked`.", body = String)))]
async fn asks(
    State(lists): State<Lists>,
    Extension(identity): Extension<Identity>,
    Path(node): Path<String>,
) -> Result<Json<String>, Refusal> {
    let node = own(&identity, &node, None, &[])?;
    Ok(Json(lists.asks(&node)))
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
    (list.len() > told && bytes.len() <= BYTES_MAX).then_some(bytes)
}

/// The terminals of a box, for the one that takes its place.
#[utoipa::path(get, path = "/sync/v1/mirror/{node}/terminals", tag = "sync",
    params(("node" = String, Path)),
    responses((status = 200, description = "What the box said last.", body = Object),
              (status = 404, description = "terminal_unknown: it never said anything")))]
async fn remembered(
    State(lists): State<Lists>,
    Extension(identity): Extension<Identity>,
    Path(node): Path<String>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let node = own(&identity, &node, None, &[])?;
    let path = lists.path(&node);
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    let known =
        read.ok().and_then(Result::ok).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let unknown = || Refusal::new(Code::TerminalUnknown, "no terminals of this box are known here");
    known.map(Json).ok_or_else(unknown)
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

    #[test]
    fn a_list_is_taken_once_and_only_if_it_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (lists, node) = (Lists::new(dir.path().to_owned()), "far".parse().unwrap());
        let kept = || std::fs::read(dir.path().join("far.terminals")).unwrap_or_default();
        let is_outdated = |lists: &Lists, asked: &str, list: &[u8]| {
            matches!(lists.keep(&node, asked, list), Err(KeepError::Outdated))
        };
        assert!(is_outdated(&lists, "", b"[1]"), "nothing was asked for");
        let first = lists.asks(&node);
        assert_eq!(first, lists.asks(&node), "until it is said");
        lists.keep(&node, &first, b"[1]").unwrap();
        assert!(is_outdated(&lists, &first, b"[1]"));
        lists.keep(&node, &lists.asks(&node), b"[2]").unwrap();
        assert!(is_outdated(&lists, &first, b"[1]"));
        let again = Lists::new(dir.path().to_owned());
        let next = again.asks(&node);
        assert!(is_outdated(&again, &first, b"[1]") && next != first, "after a restart");
        assert_eq!(kept(), b"[2]");
        (0..=ASKS_MAX).for_each(|one| drop(again.asks(&format!("box-{one}").parse().unwrap())));
        assert!(lock(&again.asks).len() <= ASKS_MAX);
    }
}
