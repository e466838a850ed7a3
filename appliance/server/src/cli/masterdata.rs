//! `import`, `refresh` and `history`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use storebox_proto::ids::{ModelName, NodeId, TerminalId};

use super::client::Control;
use super::{CommandError, say};
use crate::args::StorageAccess;
use crate::http::adopt::{Adopt, Adopted};
use crate::http::feeds::storage::Named;
use crate::replica::history::Entry;

#[derive(Serialize)]
struct Import {
    dir: PathBuf,
    mode: &'static str,
    check: bool,
}

#[derive(Serialize)]
struct Refresh {
    full: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelName>,
}

/// Lets the running main server take a directory in.
pub(super) async fn import(
    data_dir: &Path,
    dir: &Path,
    changes: bool,
    check: bool,
) -> Result<(), CommandError> {
    let absolute = std::path::absolute(dir)
        .map_err(|source| CommandError::File { path: dir.to_owned(), source })?;
    let mode = if changes { "changes" } else { "whole" };
    let answer: Value =
        Control::open(data_dir)?.post("/v1/import", &Import { dir: absolute, mode, check }).await?;
    say(&serde_json::to_string_pretty(&answer).expect("an answer is JSON"));
    Ok(())
}

/// Lets the running store fetch masterdata now.
pub(super) async fn refresh(
    data_dir: &Path,
    full: bool,
    model: Option<ModelName>,
) -> Result<(), CommandError> {
    let answer: Value =
        Control::open(data_dir)?.post("/v1/refresh", &Refresh { full, model }).await?;
    say(&serde_json::to_string_pretty(&answer).expect("an answer is JSON"));
    Ok(())
}

/// Lets the running main server publish its feeds.
pub(super) async fn publish(
    data_dir: &Path,
    to: String,
    access: StorageAccess,
) -> Result<(), CommandError> {
    let named = named(to, access)?;
    let answer: Value = Control::open(data_dir)?.post("/v1/publish", &named).await?;
    say(&serde_json::to_string_pretty(&answer).expect("an answer is JSON"));
    Ok(())
}

/// Lets the running store take the place of the box that had its name.
pub(super) async fn adopt(data_dir: &Path, from: String) -> Result<(), CommandError> {
    let Adopted { terminals, transactions } =
        Control::open(data_dir)?.post("/v1/adopt", &Adopt { from }).await?;
    say(&format!("took over {terminals} terminals and {transactions} transactions"));
    Ok(())
}

/// Lets the running store read published feeds.
pub(super) async fn refresh_from(
    data_dir: &Path,
    from: String,
    access: StorageAccess,
) -> Result<(), CommandError> {
    let named = named(from, access)?;
    Control::open(data_dir)?.tell("/v1/refresh/from", &named).await?;
    say(&format!("reading {}; `storebox status` tells how far it is", named.url));
    Ok(())
}

/// What the running box has to open: paths as it sees them.
fn named(url: String, access: StorageAccess) -> Result<Named, CommandError> {
    let absolute = |path: String| match std::path::absolute(&path) {
        Ok(found) => Ok(found.to_string_lossy().into_owned()),
        Err(source) => Err(CommandError::File { path: path.into(), source }),
    };
    let StorageAccess { user, secret_file, endpoint, region, ca_file, ring } = access;
    let url = if url.contains(':') { url } else { absolute(url)? };
    let secret_file = if secret_file.is_empty() { secret_file } else { absolute(secret_file)? };
    let ca_file = if ca_file.is_empty() { ca_file } else { absolute(ca_file)? };
    Ok(Named { url, user, secret_file, endpoint, region, ca_file, ring })
}

/// Shows who refreshed what.
pub(super) async fn history(
    data_dir: &Path,
    node: Option<NodeId>,
    terminal: Option<TerminalId>,
    model: Option<ModelName>,
) -> Result<(), CommandError> {
    let wanted = [
        node.map(|node| format!("node={node}")),
        terminal.map(|terminal| format!("terminal={terminal}")),
        model.map(|model| format!("model={model}")),
    ];
    let query = wanted.into_iter().flatten().collect::<Vec<_>>().join("&");
    let path = format!("/v1/history?{query}");
    let entries: Vec<Entry> = Control::open(data_dir)?.get(&path).await?;
    say(&entries.iter().map(line).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn line(entry: &Entry) -> String {
    let refresh = &entry.refresh;
    let who = match &refresh.terminal {
        Some(terminal) => format!("{}/{terminal}", entry.node),
        None => entry.node.to_string(),
    };
    let loads = refresh.models.iter().map(|load| format!("{} {}", load.model, load.records));
    let came = match &refresh.error {
        Some(error) => format!("failed: {error}"),
        None => loads.collect::<Vec<_>>().join(", "),
    };
    let mode = format!("{:?}", refresh.mode).to_lowercase();
    let (at, feed, took) = (refresh.at, &refresh.feed, refresh.took_ms);
    format!("{at}  {who:<24}  {feed:<12}  {mode:<11}  {took:>6} ms  {came}")
}
