//! `outbox list|show|retry|repair`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::client::Control;
use super::{CommandError, say};
use crate::args::Outbox;

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Outbox) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    let answer: Value = match what {
        Outbox::List { quarantined, json: _ } => {
            let state = if quarantined { "?state=quarantined" } else { "" };
            control.get(&format!("/v1/outbox{state}")).await?
        }
        Outbox::Show { key } => control.get(&format!("/v1/outbox/{key}")).await?,
        Outbox::Retry { key } => {
            control.post(&format!("/v1/outbox/{key}/retry"), &json!({})).await?
        }
        Outbox::Repair { key, file, by, reason } => {
            let payload = payload(file)?;
            let body = json!({ "payload": payload, "by": by, "reason": reason });
            control.post(&format!("/v1/outbox/{key}/repair"), &body).await?
        }
    };
    say(&serde_json::to_string_pretty(&answer).expect("an answer is JSON"));
    Ok(())
}

fn payload(path: PathBuf) -> Result<Map<String, Value>, CommandError> {
    match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|source| CommandError::Payload { path, source })
        }
        Err(source) => Err(CommandError::File { path, source }),
    }
}
