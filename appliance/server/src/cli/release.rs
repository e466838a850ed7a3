//! `release`: what boxes are to install, ring by ring.

use std::path::Path;

use serde_json::json;
use storebox_proto::release::{Release as Record, State};

use super::client::Control;
use super::{CommandError, say};
use crate::args::Release;
use crate::http::releases::{Added, BoxWord, ReleaseView};
use crate::update::{Change, NewRelease};

/// Boxes that are named on one line.
const NAMED_MAX: usize = 10;

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Release) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    match what {
        Release::Add { file, version, board, ring, failures_max, approval } => {
            let approval = approval.map_or(Ok(String::new()), |path| {
                std::fs::read_to_string(&path).map_err(|source| CommandError::File { path, source })
            })?;
            let absolute = std::path::absolute(&file)
                .map_err(|source| CommandError::File { path: file, source })?;
            let new = NewRelease { file: absolute, version, board, ring, failures_max, approval };
            let Added { release, new_bytes } = control.post("/v1/releases", &new).await?;
            let new = format!("{new_bytes} of its {} bytes are new", release.bytes);
            say(&format!("{}; {new}", line(&release)));
        }
        Release::Promote { id, ring } => change(&control, &id, &Change::Promote { ring }).await?,
        Release::Halt { id, why } => change(&control, &id, &Change::Halt { why }).await?,
        Release::Resume { id, failures_max } => {
            change(&control, &id, &Change::Resume { failures_max }).await?;
        }
        Release::Withdraw { id } => {
            let _: Record = post(&control, &id, &Change::Withdraw).await?;
            say(&format!("{id} is withdrawn; a box that has installed it keeps it"));
        }
        Release::List { json } => {
            let releases: Vec<ReleaseView> = control.get("/v1/releases").await?;
            say(&match json {
                true => serde_json::to_string_pretty(&releases).expect("releases are JSON"),
                false if releases.is_empty() => "No release is on offer.".to_owned(),
                false => releases.iter().map(screen).collect::<Vec<_>>().join("\n\n"),
            });
        }
    }
    Ok(())
}

async fn change(control: &Control, id: &str, change: &Change) -> Result<(), CommandError> {
    say(&line(&post(control, id, change).await?));
    Ok(())
}

async fn post(control: &Control, id: &str, change: &Change) -> Result<Record, CommandError> {
    Ok(control.post(&format!("/v1/releases/{id}"), &json!(change)).await?)
}

fn line(release: &Record) -> String {
    let Record { id, ring, why, .. } = release;
    match release.state {
        State::Offered => format!("{id} is on offer up to ring {ring}"),
        State::Halted => format!("{id} is halted at ring {ring}: {why}"),
        State::Unknown => format!("{id} is in a state that this version does not know"),
    }
}

fn screen(view: &ReleaseView) -> String {
    let mut lines = vec![line(&view.release), format!("  {} boxes run it", view.running.len())];
    let all = [("coming", &view.coming), ("failed", &view.failed)];
    for (name, boxes) in all {
        let shown = boxes.iter().take(NAMED_MAX);
        lines.extend(shown.map(|BoxWord { name: of, word }| format!("  {name}  {of}: {word}")));
        if boxes.len() > NAMED_MAX {
            lines.push(format!("  {name}  and {} more", boxes.len() - NAMED_MAX));
        }
    }
    lines.join("\n")
}
