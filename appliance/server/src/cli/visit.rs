//! `visit`: head office looks at a box, while somebody at the store lets it.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;
use storebox_proto::visit::Entry;

use super::client::Control;
use super::drill::name;
use super::{CommandError, say};
use crate::args::Visit;

#[derive(Deserialize)]
struct Shown {
    status: u16,
    body: String,
}

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Visit) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    match what {
        Visit::Open { minutes, by } => {
            control.tell("/v1/visit", &json!({ "seconds": minutes * 60, "by": name(by) })).await?;
            say(&format!(
                "Head office may look at this box for {minutes} minutes; `storebox visit close` ends it sooner."
            ));
        }
        Visit::Close { by } => {
            control.tell("/v1/visit/close", &json!({ "by": name(by) })).await?;
            say("Head office looks no longer.");
        }
        Visit::List { json } => {
            let entries: Vec<Entry> = control.get("/v1/visit").await?;
            say(&match json {
                true => serde_json::to_string_pretty(&entries).expect("the audit is JSON"),
                false if entries.is_empty() => "Head office has not looked at this box.".to_owned(),
                false => entries.iter().map(line).collect::<Vec<_>>().join("\n"),
            });
        }
        Visit::Look { node, path, by } => {
            let body = json!({ "path": path, "by": name(by) });
            let shown: Shown = control.post(&format!("/v1/boxes/{node}/look"), &body).await?;
            say(&shown.body);
            if shown.status >= 400 {
                return Err(CommandError::Declined("the box does not show it"));
            }
        }
        Visit::Knock { node, minutes, by } => {
            let body = json!({ "seconds": minutes * 60, "by": name(by) });
            control.tell(&format!("/v1/boxes/{node}/knock"), &body).await?;
            say(&format!("{node} hears it at its next call, if its configuration lets it open."));
        }
    }
    Ok(())
}

fn line(Entry { at, what, by, detail }: &Entry) -> String {
    format!("{at}  {what:<8}  {by:<16}  {detail}").trim_end().to_owned()
}
