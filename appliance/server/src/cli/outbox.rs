//! `outbox …` at the store and `ledger …` at the main server.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::client::Control;
use super::{CommandError, say};
use crate::args::{Ledger, Outbox};

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Outbox) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    let answer: Value = match what {
        Outbox::List { quarantined, given_up, json } => {
            let state = match (quarantined, given_up) {
                (true, _) => "?state=quarantined",
                (false, true) => "?state=given-up",
                (false, false) => "",
            };
            let answer: Value = control.get(&format!("/v1/outbox{state}")).await?;
            if !json {
                say(&table(&answer));
                return Ok(());
            }
            answer
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
        Outbox::Drop { key, by, reason } => {
            let body = json!({ "by": by, "reason": reason });
            control.post(&format!("/v1/outbox/{key}/drop"), &body).await?
        }
        Outbox::Conflicts => control.get("/v1/outbox/conflicts").await?,
        Outbox::Dismiss { number, by, reason } => {
            let body = json!({ "by": by, "reason": reason });
            control.post(&format!("/v1/outbox/conflicts/{number}/dismiss"), &body).await?
        }
        Outbox::Audit => control.get("/v1/outbox/audit").await?,
    };
    say(&serde_json::to_string_pretty(&answer).expect("an answer is JSON"));
    Ok(())
}

/// Shows what is in the ledger of the running main server.
pub(super) async fn look(data_dir: &Path, what: Ledger) -> Result<(), CommandError> {
    let path = match what {
        Ledger::List { after: None } => "/v1/ledger".to_owned(),
        Ledger::List { after: Some(after) } => format!("/v1/ledger?after={after}"),
        Ledger::Aside { sink, after } => format!("/v1/ledger/aside?sink={sink}&after={after}"),
        Ledger::Refusals { after } => format!("/v1/ledger/refusals?after={after}"),
    };
    let answer: Value = Control::open(data_dir)?.get(&path).await?;
    say(&serde_json::to_string_pretty(&answer).expect("an answer is JSON"));
    Ok(())
}

/// A line for each transaction, and why it waits.
fn table(list: &Value) -> String {
    let entries = list["entries"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |entry: &Value| {
        let why = match (&entry["problem"], &entry["waitsFor"], &entry["waitsForNumber"]) {
            (Value::Object(problem), ..) => {
                format!("{}: {}", text(&problem["code"]), text(&problem["detail"]))
            }
            (_, Value::String(key), _) => format!("waits for {key}"),
            (_, _, Value::Bool(true)) => "waits for a missing number of its terminal".to_owned(),
            _ => String::new(),
        };
        let (key, state) = (text(&entry["key"]), text(&entry["state"]));
        let (kind, terminal) = (text(&entry["kind"]), text(&entry["terminal"]));
        let (at, attempts) = (text(&entry["at"]), &entry["attempts"]);
        format!("{key}  {state:<11}  {kind:<16}  {terminal:<12}  {at}  {attempts:>3}  {why}")
    };
    let mut lines: Vec<String> = entries.iter().map(line).collect();
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    } else if !list["next"].is_null() {
        lines.push("… and more".to_owned());
    }
    lines.join("\n")
}

fn payload(path: PathBuf) -> Result<Map<String, Value>, CommandError> {
    match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|source| CommandError::Payload { path, source })
        }
        Err(source) => Err(CommandError::File { path, source }),
    }
}
