//! `import` and `refresh`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use storebox_proto::ids::ModelName;

use super::client::Control;
use super::{CommandError, say};

#[derive(Serialize)]
struct Import {
    dir: PathBuf,
    mode: &'static str,
}

#[derive(Serialize)]
struct Refresh {
    full: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelName>,
}

/// Lets the running main server take a directory in.
pub(super) async fn import(data_dir: &Path, dir: &Path, changes: bool) -> Result<(), CommandError> {
    let absolute = std::path::absolute(dir)
        .map_err(|source| CommandError::File { path: dir.to_owned(), source })?;
    let mode = if changes { "changes" } else { "whole" };
    let answer: Value =
        Control::open(data_dir)?.post("/v1/import", &Import { dir: absolute, mode }).await?;
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
