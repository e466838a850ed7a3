//! `settings`: what head office sets on its boxes, and what one of them made of it.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use storebox_proto::limits::PAGE_RECORDS_MAX;
use storebox_proto::problem::Code;
use storebox_proto::rings::{self, EVERYONE, Rings};
use storebox_proto::settings::{Book, BoxSettings, MODEL, Step};

use super::client::{CallError, Control};
use super::{CommandError, say};
use crate::args::Settings as What;
use crate::settings::Settings;

/// What was published is read back within this.
const LOOKS_MAX: usize = 100;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Pages of one listing; a chain has fewer.
const PAGES_MAX: usize = 100;

#[derive(Deserialize)]
struct Page {
    records: Vec<Map<String, Value>>,
    #[serde(default)]
    next: Option<String>,
}

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: What) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    match what {
        What::Show { json } => show(&control.get("/v1/settings").await?, json),
        What::Back { by } => {
            let by = super::drill::name(by);
            let left: Settings = control.post("/v1/settings/back", &json!({ "by": by })).await?;
            let revision = left.book.in_force().revision;
            say(&format!("taken back; the box begins again with revision {revision}"));
        }
        What::List { json } => list(&control, json).await?,
        What::Set { id, values, ring, site, boxes, prove_s } => {
            let values = values.iter().map(|text| value(text)).collect::<Result<_, _>>()?;
            let number = 1 + all(&control).await?.iter().map(|one| one.number).max().unwrap_or(0);
            let set = BoxSettings { id, number, ring, sites: site, boxes, values, prove_s };
            check_ring(&control, &set.ring).await?;
            publish(&control, &set).await?;
        }
        What::Promote { id, to } => {
            let mut set = find(&control, &id).await?;
            let rings = rings_of(&control).await?;
            set.ring = match to {
                Some(ring) => ring,
                None => rings
                    .next(&set.ring)
                    .ok_or(CommandError::Declined("it is rolled out to everyone already"))?
                    .to_owned(),
            };
            check_ring(&control, &set.ring).await?;
            publish(&control, &set).await?;
        }
        What::Withdraw { id } => {
            find(&control, &id).await?;
            let line = json!({ "model": MODEL, "removed": id });
            let _: Value = control.post_lines("/v1/import/changes", &line.to_string()).await?;
            wait_until(&control, |left| left.iter().all(|one| one.id != id)).await?;
            say(&format!("{id} is withdrawn"));
        }
    }
    Ok(())
}

async fn publish(control: &Control, set: &BoxSettings) -> Result<(), CommandError> {
    let line = json!({ "model": MODEL, "record": set });
    let _: Value = control.post_lines("/v1/import/changes", &line.to_string()).await?;
    wait_until(control, |left| left.contains(set)).await?;
    say(&format!("revision {} ({}) is rolled out up to ring {}", set.number, set.id, set.ring));
    Ok(())
}

/// The next command is to see what this one has published.
async fn wait_until(
    control: &Control,
    holds: impl Fn(&[BoxSettings]) -> bool,
) -> Result<(), CommandError> {
    for _ in 0..LOOKS_MAX {
        if holds(&all(control).await?) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(CommandError::Declined(
        "it is written down but not published yet; `storebox settings list` shows it when it is",
    ))
}

/// A name without a ring would be rolled out to nobody.
async fn check_ring(control: &Control, ring: &str) -> Result<(), CommandError> {
    let rings = rings_of(control).await?;
    let is_known = ring == EVERYONE || rings.all().iter().any(|one| one.id == ring);
    match is_known {
        true => Ok(()),
        false => Err(CommandError::Declined("no ring of that name is defined (model Ring)")),
    }
}

async fn rings_of(control: &Control) -> Result<Rings, CommandError> {
    Ok(Rings::read(&records(control, rings::MODEL).await?).0)
}

async fn find(control: &Control, id: &str) -> Result<BoxSettings, CommandError> {
    let found = all(control).await?.into_iter().find(|one| one.id == id);
    found.ok_or(CommandError::Declined("nothing of that name is set"))
}

async fn all(control: &Control) -> Result<Vec<BoxSettings>, CommandError> {
    let records = records(control, MODEL).await?;
    Ok(records.iter().filter_map(|record| BoxSettings::read(record).ok()).collect())
}

async fn records(control: &Control, model: &str) -> Result<Vec<Map<String, Value>>, CommandError> {
    let first = format!("/v1/models/{model}/records?limit={PAGE_RECORDS_MAX}");
    let (mut path, mut records) = (first.clone(), Vec::new());
    for _ in 0..PAGES_MAX {
        let page = match control.get::<Page>(&path).await {
            Ok(page) => page,
            Err(CallError::Refused(problem)) if problem.code == Code::ReplicaEmpty => break,
            Err(error) => return Err(error.into()),
        };
        records.extend(page.records);
        let Some(next) = page.next else { break };
        path = format!("{first}&after={next}");
    }
    Ok(records)
}

/// What parses as a TOML value is one, all else is text.
fn value(text: &str) -> Result<(String, Value), CommandError> {
    let declined = CommandError::Declined("a value is written KEY=VALUE");
    let Some((key, value)) = text.split_once('=') else { return Err(declined) };
    let typed = toml::from_str::<Map<String, Value>>(&format!("v = {value}")).ok();
    let typed = typed.and_then(|mut table| table.remove("v"));
    Ok((key.to_owned(), typed.unwrap_or_else(|| Value::String(value.to_owned()))))
}

fn show(settings: &Settings, json: bool) {
    say(&match json {
        true => serde_json::to_string_pretty(settings).expect("settings are JSON"),
        false => screen(settings),
    });
}

fn screen(Settings { ring, book }: &Settings) -> String {
    let Book { trial, refused, steps, .. } = book;
    let in_force = book.in_force();
    let state = match (trial, in_force.revision) {
        (Some(_), _) => "on trial",
        (None, 0) => "nothing is set",
        (None, _) => "proven",
    };
    let mut lines = vec![format!("revision {} of ring {ring}: {state}", in_force.revision)];
    let values = in_force.values.iter().map(|(key, value)| format!("  {key} = {value}"));
    lines.extend(values);
    lines.extend(refused.iter().map(|refused| {
        format!("revision {} is not in force: {}", refused.wanted.revision, refused.why)
    }));
    lines.extend(steps.iter().rev().map(|Step { revision, event, at, why }| {
        format!("  {at}  revision {revision}  {event}  {why}").trim_end().to_owned()
    }));
    lines.join("\n")
}

async fn list(control: &Control, json: bool) -> Result<(), CommandError> {
    let mut all = all(control).await?;
    all.sort_by_key(|one| std::cmp::Reverse(one.number));
    let line = |one: &BoxSettings| {
        let (sites, boxes) = (one.sites.len(), one.boxes.len());
        let whom = match sites + boxes {
            0 => "all boxes".to_owned(),
            _ => format!("{sites} sites and {boxes} boxes"),
        };
        let values: Vec<_> =
            one.values.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let (number, id, ring) = (one.number, &one.id, &one.ring);
        format!("{number:>6}  {id:<20}  up to {ring:<12}  {whom}  {}", values.join(" "))
    };
    say(&match json {
        true => serde_json::to_string_pretty(&all).expect("settings are JSON"),
        false if all.is_empty() => "Nothing is set.".to_owned(),
        false => all.iter().map(line).collect::<Vec<_>>().join("\n"),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_typed_where_it_can_be() {
        for (text, wanted) in [
            ("a.b=5", json!(5)),
            ("a.b=true", json!(true)),
            ("a.b=22:00-05:00", json!("22:00-05:00")),
            ("a.b=[\"CashUp\"]", json!(["CashUp"])),
            ("a.b=http://c:1/x?y=z", json!("http://c:1/x?y=z")),
        ] {
            assert_eq!(value(text).unwrap(), ("a.b".to_owned(), wanted));
        }
        assert!(value("a.b").is_err());
    }

    #[test]
    fn a_box_says_what_is_in_force_and_what_is_not() {
        let text = r#"{"ring":"pilot","book":{"proven":{"revision":6,"values":{"log.level":"warn"}},
            "refused":{"wanted":{"revision":7,"values":{}},"why":"key log.level: no such level"},
            "steps":[{"revision":7,"event":"refused","at":"2026-11-22T10:00:00Z"}]}}"#;
        let shown = screen(&serde_json::from_str(text).unwrap());
        for words in
            ["revision 6 of ring pilot: proven", "log.level = \"warn\"", "7 is not in force"]
        {
            assert!(shown.contains(words), "{words} is not in\n{shown}");
        }
    }
}
