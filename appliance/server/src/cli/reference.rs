//! `reference`: the operator's reference, made from the code, so that it cannot tell anything else.
//!
//! `appliance/docs/reference.md` is what it prints; a test compares them.

use std::fmt::Write;

use clap::CommandFactory;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;

use super::say;
use crate::args::Args;
use crate::config::{DEFAULT_TOML, REMOTE_KEYS, Role};
use crate::http::fleet::{BoxView, Lag};
use crate::http::traffic::Traffic;
use crate::metrics::{Chain, Metrics};
use crate::status::{
    ChannelsStatus, HookStatus, LedgerStatus, OutboxStatus, PanelBuilder, PushFigures,
};
use crate::supervise::Supervisor;

/// Prints it.
pub(super) async fn print() {
    say(&text().await);
}

async fn text() -> String {
    let mut text = String::from("# Operator's reference\n\nMade by `storebox reference`.\n");
    commands(&mut text);
    keys(&mut text);
    remote_keys(&mut text);
    codes(&mut text);
    metrics(&mut text).await;
    text
}

fn commands(out: &mut String) {
    out.push_str("\n## Commands\n\n| command | what it does |\n|---|---|\n");
    for command in Args::command().get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        line(out, &[&format!("`storebox {}`", command.get_name()), &about]);
        for below in command.get_subcommands() {
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            let name = format!("`storebox {} {}`", command.get_name(), below.get_name());
            line(out, &[&name, &about]);
        }
    }
}

fn keys(out: &mut String) {
    out.push_str("\n## Configuration\n\nThe documented default; a key that is left out has the value shown.\n\n");
    // Four spaces make it code in Markdown.
    for one in DEFAULT_TOML.lines() {
        let shown = if one.is_empty() { String::new() } else { format!("    {one}") };
        out.push_str(&shown);
        out.push('\n');
    }
}

fn remote_keys(out: &mut String) {
    out.push_str("\n## What head office may set\n\nWith `storebox settings set`; all other keys are the box's own.\n\n");
    for key in REMOTE_KEYS {
        out.push_str(&format!("- `{key}`\n"));
    }
}

fn codes(out: &mut String) {
    out.push_str("\n## Problem codes\n\nThe field `code` of a refusal (RFC 9457).\n\n");
    out.push_str("| code | HTTP status | the same request may succeed later |\n|---|---|---|\n");
    for code in Code::ALL {
        let again = if code.is_retryable() { "yes" } else { "no" };
        line(out, &[&format!("`{}`", code.as_str()), &code.status().to_string(), again]);
    }
}

async fn metrics(out: &mut String) {
    let node = "reference".parse().expect("a literal that keeps the rule for node names");
    let mut panel = PanelBuilder::new(node, Role::Store, String::new(), Supervisor::new());
    panel.add(|status| {
        status.outbox = Some(OutboxStatus::default());
        status.ledger = Some(LedgerStatus::default());
        // One of everything, so that every number is told; what it says does not get into the reference.
        status.feeds.push(example(
            json!({"feed": "", "epoch": 0, "revision": 0, "published": "2026-11-22T10:02:00Z",
            "records": 0, "state": ""}),
        ));
        status.lines.push(example(json!({"to": "", "service": "", "up": true, "detail": ""})));
        status.devices.push(example(json!({"id": "", "kind": "printer", "link": "open"})));
        status
            .sources
            .push(example(json!({"id": "", "kind": "", "to": "", "priority": 0, "service": "",
            "chosen": true, "up": true, "opened": 0})));
        status
            .deliveries
            .push(example(json!({"id": "", "to": "", "position": 0, "behind": 0, "delivered": 0,
            "aside": 0})));
        status.machine = example(json!({"diskFreeBytes": 0, "diskTotalBytes": 0, "wearPercent": 0,
            "temperatureC": 0, "memoryBytes": 0}));
        status.tasks.push(example(json!({"name": "", "state": "", "restarts": 0})));
        status.channels = Some(ChannelsStatus {
            hooks: vec![HookStatus::default()],
            pushes: vec![PushFigures::default()],
            ..ChannelsStatus::default()
        });
    });
    let chain = Chain::Fixed(vec![BoxView {
        name: String::new(),
        contact: "here",
        last_contact: Some(Timestamp::default()),
        said: Some(example(json!({"version": "", "now": "2026-11-22T10:02:00Z", "uptimeS": 0,
            "feeds": [], "waiting": 0, "quarantined": 0, "level": "good", "sentence": ""}))),
        feeds: vec![Lag { feed: String::new(), behind: Some(0) }],
    }]);
    let traffic = Traffic::default();
    traffic.refused(Code::Busy, 0);
    let told = Metrics::new(panel.finish(), traffic).of(chain).text().await;
    out.push_str("\n## Metrics\n\n`GET /metrics`, OpenMetrics text.\n\n| name | kind | what |\n|---|---|---|\n");
    let mut help = "";
    for told in told.lines() {
        if let Some(rest) = told.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        }
        let kind = told.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '));
        if let Some((name, kind)) = kind {
            line(out, &[&format!("`{name}`"), kind, help.trim_end_matches('.')]);
        }
    }
}

fn example<T: DeserializeOwned>(fields: Value) -> T {
    serde_json::from_value(fields).expect("the example has the fields of its kind")
}

fn line(out: &mut String, cells: &[&str]) {
    let cells: Vec<_> =
        cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    // Writing to a string never fails.
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = include_str!("../../../docs/reference.md");

    #[tokio::test]
    async fn the_written_reference_is_what_the_code_says() {
        let made = text().await;
        let differs = made.lines().zip(WRITTEN.lines()).find(|(made, written)| made != written);
        assert_eq!(differs, None, "run `storebox reference > appliance/docs/reference.md`");
        assert_eq!(made.trim_end(), WRITTEN.trim_end());
    }
}
