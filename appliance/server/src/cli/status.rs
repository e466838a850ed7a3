//! `status`: the box on one screen.

use std::path::Path;

use storebox_proto::time::{ClockConfidence, Timestamp};

use super::client::Control;
use super::paint::paint;
use super::{CommandError, say};
use crate::status::{ClientStatus, Level, Status, UpdateStatus};
use crate::tiers::SourceStatus;

/// So many of a kind are named one by one; more would not fit on a screen.
const NAMES_MAX: usize = 8;
/// Who was seen within this is not silent.
const LATELY_S: u64 = 600;

/// Shows the status of the running box.
pub(super) async fn show(data_dir: &Path, json: bool) -> Result<(), CommandError> {
    let status: Status = Control::open(data_dir)?.get("/v1/status").await?;
    match json {
        true => say(&serde_json::to_string_pretty(&status).expect("a status is JSON")),
        false => say(&screen(&status)),
    }
    Ok(())
}

fn screen(status: &Status) -> String {
    let mut lines = vec![
        format!("{} ({}), storebox {}", status.node, status.role, status.version),
        format!(
            "up {}, now {}{}, {}",
            duration(status.uptime_s),
            status.now,
            doubt(status.clock),
            if status.ready { paint(Level::Good, "ready") } else { paint(Level::Bad, "NOT READY") }
        ),
    ];
    findings(status, &mut lines);
    feeds(status, &mut lines);
    transactions(status, &mut lines);
    channels(status, &mut lines);
    for line in &status.lines {
        let word = if line.up { paint(Level::Good, "up") } else { paint(Level::Bad, "DOWN") };
        lines.push(format!("line {:<14} {word}  {}  {}", line.service, line.to, line.detail));
    }
    doors(status, &mut lines);
    lines.extend(status.sources.iter().map(source));
    for device in &status.devices {
        let count = |count: u64, word: &str| match count {
            0 => String::new(),
            count => format!(", {count} {word}"),
        };
        let waiting = count(device.waiting, "waiting");
        let doubt = count(device.in_doubt, "in doubt");
        lines.push(format!(
            "{:<10} {:<24} {}{waiting}{doubt}",
            device.kind, device.id, device.state
        ));
    }
    lines.extend(status.update.as_ref().map(update));
    clients(&status.clients, status.now, &mut lines);
    for task in status.tasks.iter().filter(|task| task.state != "running" || task.restarts > 0) {
        let error = task.last_error.as_deref().unwrap_or("no error");
        lines.push(format!(
            "task {}: {}, {} restarts, {error}",
            task.name, task.state, task.restarts
        ));
    }
    lines.join("\n")
}

fn doors(status: &Status, lines: &mut Vec<String>) {
    for listener in &status.listeners {
        let word = match (listener.tls, listener.exposed) {
            (true, _) => "TLS",
            (false, false) => "plain, this machine only",
            (false, true) => "PLAIN: whoever can read the network can read this",
        };
        lines.push(format!("served {:<24} {word}", listener.address));
    }
    let Some(trust) = &status.trust else { return };
    let expires = trust.expires.as_deref().unwrap_or("?");
    lines.push(match trust.member.as_str() {
        "" => "trust  this box was not adopted; `storebox site request` begins that".to_owned(),
        member => format!(
            "trust  {member}, until {expires}; {} slips open, {} requests wait, {} keys struck off",
            trust.slips_open, trust.requests_waiting, trust.struck
        ),
    });
}

fn update(update: &UpdateStatus) -> String {
    let UpdateStatus { running, board, state, wanted, why, bytes, have_bytes, .. } = update;
    let megabytes = |bytes: &u64| bytes.div_ceil(1 << 20);
    let coming = match wanted {
        Some(wanted) if state == "fetching" => {
            format!(", {wanted}: {} of {} MB are here", megabytes(have_bytes), megabytes(bytes))
        }
        Some(wanted) => format!(", {wanted} is {}", state.replace('-', " ")),
        None => String::new(),
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("release {running} ({board}){coming}{why}")
}

fn source(source: &SourceStatus) -> String {
    let word = match (&source.fault, source.chosen) {
        (Some(fault), _) => {
            let (down, again) = (source.down_s.unwrap_or(0), source.probe_in_s.unwrap_or(0));
            let down = paint(Level::Bad, &format!("DOWN for {}", duration(down)));
            format!("{down}: {fault}; tried again in {again} s")
        }
        (None, true) => paint(Level::Good, "in use"),
        (None, false) => "ready".to_owned(),
    };
    let SourceStatus { id, kind, service, to, .. } = source;
    format!("source {service:<12} {id} ({kind})  {word}  {to}")
}

/// The sentence, and what else is to be said, each with what to do about it.
fn findings(status: &Status, lines: &mut Vec<String>) {
    for finding in &status.findings {
        let mark = match finding.level {
            Level::Good => "",
            Level::Notice => "! ",
            Level::Bad => "!! ",
        };
        lines.push(paint(finding.level, &format!("{mark}{}.", finding.text)));
        lines.extend(finding.advice.as_ref().map(|advice| format!("   {advice}")));
    }
}

fn feeds(status: &Status, lines: &mut Vec<String>) {
    for feed in &status.feeds {
        let age = status.now.unix_ms().saturating_sub(feed.published.unix_ms()) / 1000;
        let age = duration(u64::try_from(age).unwrap_or(0));
        let at = format!("{}.{}", feed.epoch, feed.revision);
        let extent = match &feed.excerpt {
            Some(excerpt) => format!("{}, excerpt {excerpt}", feed.state),
            None => feed.state.clone(),
        };
        lines.push(format!(
            "feed {:<14} revision {at}, {} records, published {age} ago, {}",
            feed.feed, feed.records, extent
        ));
        if let Some(error) = &feed.last_error {
            lines.push(format!("     last refresh failed: {error}"));
        }
    }
}

fn transactions(status: &Status, lines: &mut Vec<String>) {
    if let Some(outbox) = &status.outbox {
        let oldest = outbox.oldest_s.map_or(String::new(), |s| format!(", oldest {}", duration(s)));
        lines.push(format!(
            "outbox {} waiting{oldest}, {} settled of {}, {} quarantined, {} given up, {} conflicts",
            outbox.waiting,
            outbox.settled,
            outbox.accepted,
            outbox.quarantined,
            outbox.given_up,
            outbox.conflicts
        ));
    }
    if let Some(ledger) = &status.ledger {
        lines.push(format!("ledger {} settled, {} refused", ledger.settled, ledger.refused));
    }
}

/// Whoever may come in: each by name where they are few, otherwise how many, and who is silent for longest.
fn clients(clients: &[ClientStatus], now: Timestamp, lines: &mut Vec<String>) {
    let mut rest: Vec<&ClientStatus> = clients.iter().collect();
    rest.sort_by_key(|client| (client.kind.as_str(), client.last_seen));
    for kind in rest.chunk_by(|one, next| one.kind == next.kind) {
        if kind.len() <= NAMES_MAX {
            lines.extend(kind.iter().map(|client| {
                let seen = client.last_seen.map_or("not yet".to_owned(), |seen| seen.to_string());
                format!("{:<8} {:<24} last seen {seen}", client.kind, client.name)
            }));
            continue;
        }
        let silent = |client: &ClientStatus| {
            let seen = client.last_seen?;
            u64::try_from(now.unix_ms().saturating_sub(seen.unix_ms()) / 1000).ok()
        };
        let lately = |client: &&&ClientStatus| silent(client).is_some_and(|s| s <= LATELY_S);
        let quiet: Vec<String> = kind
            .iter()
            .filter(|client| !lately(client))
            .map(|client| {
                silent(client).map_or_else(
                    || format!("{} (not yet)", client.name),
                    |s| format!("{} ({})", client.name, duration(s)),
                )
            })
            .collect();
        let more = quiet.len().saturating_sub(NAMES_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let quiet = match quiet.len() {
            0 => String::new(),
            len => format!("; silent: {}{more}", quiet[..len.min(NAMES_MAX)].join(", ")),
        };
        lines.push(format!(
            "{:<8} {} let in, {} seen in the last {}{quiet}",
            kind[0].kind,
            kind.len(),
            kind.iter().filter(lately).count(),
            duration(LATELY_S)
        ));
    }
}

fn channels(status: &Status, lines: &mut Vec<String>) {
    let Some(channels) = &status.channels else { return };
    let old = |age: Option<u64>| age.map_or(String::new(), |s| format!(", oldest {}", duration(s)));
    if channels.hooks_waiting > 0 || channels.hooks_missed > 0 {
        lines.push(format!(
            "hooks  {} waiting{}, {} for a person, {} could not be kept",
            channels.hooks_waiting,
            old(channels.hooks_oldest_s),
            channels.hooks_dead,
            channels.hooks_missed
        ));
    }
    for hook in channels.hooks.iter().filter(|hook| hook.failures > 0) {
        let error = hook.last_error.as_deref().unwrap_or_default();
        lines.push(format!("{}: failed {} of {}; {error}", hook.name, hook.failures, hook.runs));
    }
    for push in &channels.pushes {
        let away = push.failing_since.map_or(String::new(), |at| {
            format!(", AWAY since {at}: {}", push.error.as_deref().unwrap_or_default())
        });
        let last = push.last.map_or("nothing yet".to_owned(), |at| format!("last {at}"));
        lines.push(format!(
            "push   {:<24} {} waiting{}, {} refused, {last}{away}",
            push.id,
            push.waiting,
            old(push.oldest_s),
            push.dead
        ));
    }
}

/// A technician has to look at a clock that is wrong; nothing else in the shop depends on it.
fn doubt(clock: ClockConfidence) -> &'static str {
    match clock {
        ClockConfidence::Wrong => " (the clock is wrong)",
        ClockConfidence::Plausible | ClockConfidence::Synchronised => "",
    }
}

/// The two largest units, such as `2 h 5 min`.
fn duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, word) in units {
        if rest >= unit {
            parts.push(format!("{} {word}", rest / unit));
            rest %= unit;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_tills_are_one_line_that_names_the_silent_ones() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let seen = |minutes: i64| Some(Timestamp::from_unix_ms(now.unix_ms() - minutes * 60_000));
        let client = |number: usize, last_seen| ClientStatus {
            kind: "terminal".to_owned(),
            name: format!("till-{number}"),
            last_seen,
        };
        let mut many: Vec<ClientStatus> = (1..=38).map(|n| client(n, seen(1))).collect();
        many.push(client(39, seen(125)));
        many.push(client(40, None));
        let mut lines = Vec::new();
        clients(&many, now, &mut lines);
        let told = "terminal 40 let in, 38 seen in the last 10 min; silent: till-40 (not yet), till-39 (2 h 5 min)";
        assert_eq!(lines, [told]);
        lines.clear();
        clients(&many[37..], now, &mut lines);
        assert_eq!(lines.len(), 3, "few are named one by one: {lines:?}");
        let silent: Vec<ClientStatus> = (1..=200).map(|n| client(n, None)).collect();
        lines.clear();
        clients(&silent, now, &mut lines);
        assert!(lines[0].ends_with("till-8 (not yet) and 192 more"), "{lines:?}");
    }

    #[test]
    fn a_duration_reads_in_two_units() {
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(7505), "2 h 5 min");
        assert_eq!(duration(86_400), "1 d");
    }
}
