//! The state of a box in one sentence that is true, with what to do about it.
//!
//! A pure function of the status: the gravest finding is the sentence, the others are listed below it.
//! It says nothing that the status does not: no number is rounded, no cause is guessed, and "normally" is said only
//! where nothing was found.
//! Times are in UTC because a box does not know the shop's time zone; `at` carries them for whoever does.

use std::fmt;

use serde::{Deserialize, Serialize};
use storebox_proto::time::{ClockConfidence, Timestamp};

use super::{
    DeviceStatus, DrillStatus, LedgerStatus, LineStatus, OutboxStatus, Status, VisitStatus,
};
use crate::tiers::SourceStatus;

mod channels;
mod devices;
#[cfg(test)]
mod tests;
mod trust;
mod update;

pub use trust::CERTIFY;

/// The service of a line that others lead through.
pub const PROXY: &str = "proxy";

/// Below this share of the disk, in percent, somebody should look.
const DISK_FREE_PERCENT_MIN: u64 = 5;
/// Above this share of its life, in percent, a flash disk should be replaced.
const WEAR_PERCENT_MAX: u8 = 90;
/// Above this a small box throttles or worse.
const TEMPERATURE_MAX_C: i32 = 85;
/// Most characters of a part's own words in a sentence.
const WORDS_MAX: usize = 120;
/// The length of a minute's text, such as `2026-11-22T10:02`.
const MINUTE_CHARS: usize = 16;

/// How grave a finding is, the gravest last.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is as it should be.
    Good,
    /// Selling goes on, but something is not as it should be.
    Notice,
    /// Somebody has to do something.
    Bad,
}

/// One thing that is to be said of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// What programs act on.
    pub code: String,
    /// What it is, without a full stop.
    pub text: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The time that the text names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub at: Option<Timestamp>,
}

impl Finding {
    /// Something that is to be said, without advice yet.
    pub fn new(level: Level, code: &str, text: impl Into<String>) -> Self {
        Self { level, code: code.to_owned(), text: text.into(), advice: None, at: None }
    }

    /// The same with what to do about it.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    fn at(mut self, at: Option<Timestamp>) -> Self {
        self.at = at;
        self
    }
}

/// What is to be said of a box, the gravest first; never empty.
pub fn findings(status: &Status) -> Vec<Finding> {
    let mut found = Vec::new();
    readiness(status, &mut found);
    money(status, &mut found);
    found.extend(status.namesake.as_deref().map(namesake));
    found.extend(status.ledger.as_ref().and_then(ledger));
    found.extend(status.devices.iter().filter_map(devices::finding));
    found.extend(status.drill.as_ref().map(|drill| drilled(status, drill)));
    lines(status, &mut found);
    ways(status, &mut found);
    channels::add(status, &mut found);
    machine(status, &mut found);
    found.extend(status.trust.as_ref().and_then(|trust| trust::finding(status.now, trust)));
    update::add(status, &mut found);
    masterdata(status, &mut found);
    settings(status, &mut found);
    found.extend(status.visit.as_ref().map(|visit| visited(status, visit)));
    // Within a level the order above stays: what stops selling, what needs a person, what mends itself.
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    if found.is_empty() {
        found.push(normal(status));
    }
    found
}

fn readiness(status: &Status, found: &mut Vec<Finding>) {
    for reason in &status.reasons {
        let words = cut(reason);
        found.push(match reason.as_str() {
            super::STOPPING => Finding::new(Level::Bad, "stopping", "This box is stopping")
                .advise("Wait until it is back; tills try again by themselves."),
            super::NO_MASTERDATA => {
                let text = "This box waits for its first prices from head office";
                let advice = "Check that head office can be reached and that it lets this box in.";
                Finding::new(Level::Bad, "replica_empty", text).advise(advice)
            }
            _ => Finding::new(Level::Bad, "not_ready", format!("This box is not ready: {words}"))
                .advise("Restart the box; everything that was sold is on its disk."),
        });
    }
    if !status.ready && status.reasons.is_empty() {
        let finding = Finding::new(Level::Bad, "not_ready", "This box is not ready");
        found.push(finding.advise("Restart the box; everything that was sold is on its disk."));
    }
}

/// What concerns sales that were taken or are to be taken.
fn money(status: &Status, found: &mut Vec<Finding>) {
    let Some(outbox) = &status.outbox else { return };
    if outbox.failed {
        let text = "The disk of this box failed and sales are refused";
        let advice = "Restart the box; if this comes back, sell through the other box and \
                      have this one replaced. What was sold is kept on its disk.";
        found.push(Finding::new(Level::Bad, "storage_failed", text).advise(advice));
    }
    if outbox.held_max > 0 && outbox.waiting >= outbox.held_max {
        let text =
            format!("Sales are refused: {} are waiting, which is all that fit", outbox.waiting);
        let advice =
            "Bring the line to head office back; sales are taken again as soon as some have left.";
        found.push(Finding::new(Level::Bad, "storage_full", text).advise(advice));
    }
    if outbox.quarantined > 0 {
        let text = format!(
            "{} for a person",
            Count(outbox.quarantined, "refused sale waits", "refused sales wait")
        );
        let advice =
            "Open Sales, read why head office refused, then repair, offer again or give up.";
        found.push(Finding::new(Level::Bad, "quarantined", text).advise(advice));
    }
    if outbox.conflicts > 0 {
        let text = format!(
            "{} what was sold before",
            Count(outbox.conflicts, "sale contradicts", "sales contradict")
        );
        let advice = "Open Sales, compare both contents, and dismiss what has been dealt with.";
        found.push(Finding::new(Level::Bad, "conflicts", text).advise(advice));
    }
}

/// Two boxes of a shop say that they are this one.
fn namesake(address: &str) -> Finding {
    let text = format!("Another box in this shop says that it is this one, at {}", cut(address));
    let advice = "Unplug the one that was added last. If its disk is a copy of the other's, write \
                  its image anew; if only its name is the same, give it a name of its own.";
    Finding::new(Level::Bad, "namesake", text).advise(advice)
}

/// What keeps the ledger of head office from taking sales; they wait in the shops.
fn ledger(ledger: &LedgerStatus) -> Option<Finding> {
    if ledger.failed {
        let text = "The disk of the ledger failed and no sales are settled";
        let advice = "Restart this server; if this comes back, have its disk replaced. \
                      What was settled is on the disk, and the shops keep their other sales.";
        return Some(Finding::new(Level::Bad, "ledger_failed", text).advise(advice));
    }
    let text = "The index of the ledger failed and no sales are settled until it is open again";
    let advice = "Nothing to do at first: with the next sales it is opened again, and the shops \
                  keep theirs until then. If this stays, have the disk of this server looked at.";
    let finding = Finding::new(Level::Notice, "ledger_index_failed", text).advise(advice);
    ledger.index_failed.then_some(finding)
}

/// What concerns head office and further servers, which one finding each.
fn lines(status: &Status, found: &mut Vec<Finding>) {
    let head_office = head_office(status);
    let mut told: Vec<&str> = Vec::new();
    // First: what it is the way to is away with it.
    for line in status.lines.iter().filter(|line| !line.up && line.service == PROXY) {
        told.push(&line.to);
        found.push(proxy_away(status, line));
    }
    for line in status.lines.iter().filter(|line| !line.up) {
        // What a drill cuts is told as such; a server that refuses this box did so before.
        if told.contains(&line.to.as_str()) || (status.drill.is_some() && !line.is_refused) {
            continue;
        }
        told.push(&line.to);
        let down: Vec<_> =
            status.lines.iter().filter(|other| !other.up && other.to == line.to).collect();
        found.push(match head_office == Some(line.to.as_str()) {
            true => head_office_away(status, &down),
            false => server_away(status, &down),
        });
    }
}

/// What still flows, but not as it was meant to.
fn ways(status: &Status, found: &mut Vec<Finding>) {
    for delivery in status.deliveries.iter().filter(|delivery| delivery.aside > 0) {
        let sales = Count(delivery.aside, "settled sale waits", "settled sales wait");
        let text = format!("{sales} for a person: {} did not get them", cut(&delivery.id));
        let advice = format!(
            "`storebox ledger aside {}` shows each and why; put it right in that system.",
            cut(&delivery.id)
        );
        found.push(Finding::new(Level::Bad, "delivery_aside", text).advise(advice));
    }
    let primary_down = |source: &&SourceStatus| source.kind == "primary" && !source.up;
    for down in status.sources.iter().filter(primary_down) {
        let used =
            |other: &&SourceStatus| other.service == down.service && other.chosen && other.up;
        let Some(way) = status.sources.iter().find(used) else { continue };
        let what = if down.service == "transactions" { "sales go" } else { "masterdata comes" };
        let text =
            format!("Head office is unreachable directly, {what} by way of {}", cut(&way.id));
        let advice =
            "Nothing to do in the shop: the box goes back by itself when the direct way answers.";
        let code = format!("detour_{}", cut(&down.service));
        found.push(Finding::new(Level::Notice, &code, text).advise(advice));
    }
}

/// The line is cut on purpose.
fn drilled(status: &Status, drill: &DrillStatus) -> Finding {
    let until = Moment { at: drill.until, now: status.now };
    let (waiting, selling) = (waiting(status.outbox.as_ref()), continues(status));
    let text = format!("A drill cuts the line to head office until {until}{waiting}{selling}");
    let advice = "Nothing to do: the line comes back by itself. \
                  `storebox drill end` or the page Shop brings it back sooner.";
    Finding::new(Level::Notice, "drill", text).advise(advice).at(Some(drill.until))
}

/// Head office may look at this box.
fn visited(status: &Status, visit: &VisitStatus) -> Finding {
    let until = Moment { at: visit.until, now: status.now };
    let text = format!("Head office may look at this box until {until}");
    let advice = "Nothing to do: it reads and changes nothing, and ends by itself. \
                  `storebox visit close` or the page Box ends it sooner.";
    Finding::new(Level::Notice, "visit", text).advise(advice).at(Some(visit.until))
}

/// Where head office is: what masterdata is replicated from, else where transactions go first.
fn head_office(status: &Status) -> Option<&str> {
    let of = |service: &str| status.lines.iter().find(|line| line.service == service);
    of("masterdata").or_else(|| of("transactions")).map(|line| line.to.as_str())
}

fn head_office_away(status: &Status, down: &[&LineStatus]) -> Finding {
    let (since, at) = since(status, down);
    let selling = continues(status);
    if down.iter().any(|line| line.is_refused) {
        let waiting = waiting(status.outbox.as_ref());
        let text = format!("Head office does not let this box in{since}{waiting}{selling}");
        let advice = "Ask head office to let this box in again; sales go up by themselves then.";
        return Finding::new(Level::Bad, "line_refused", text).advise(advice).at(at);
    }
    if down.iter().all(|line| line.service == "masterdata") {
        let text = format!("Head office sends no masterdata{since}{selling}");
        let advice = "Nothing to do in the shop: tills go on with the prices that are here.";
        return Finding::new(Level::Notice, "masterdata_line_down", text).advise(advice).at(at);
    }
    let waiting = waiting(status.outbox.as_ref());
    let text = format!("Head office unreachable{since}{waiting}{selling}");
    let stays = by_proxy(status, down).unwrap_or_else(|| {
        "If it stays away, check the cable and the power of the shop's router.".to_owned()
    });
    let advice =
        format!("Nothing is lost and sales go up by themselves when the line is back. {stays}");
    Finding::new(Level::Notice, "line_down", text).advise(advice).at(at)
}

/// What to do about a server to which the shop's proxy does not lead, though it works.
fn by_proxy(status: &Status, down: &[&LineStatus]) -> Option<String> {
    let proxy = status.lines.iter().find(|line| line.service == PROXY && line.up)?;
    let named = format!("the proxy {} ", proxy.to);
    let said = down.iter().find_map(|line| line.detail.get(line.detail.find(&named)?..))?;
    let said = cut(said);
    Some(format!("If it stays away, tell whoever looks after the shop's network this: {said}."))
}

fn proxy_away(status: &Status, line: &LineStatus) -> Finding {
    let (since, at) = since(status, &[line]);
    let (waiting, selling) = (waiting(status.outbox.as_ref()), continues(status));
    let text = format!("The proxy {} does not work{since}{waiting}{selling}", cut(&line.to));
    let advice = format!(
        "Ask whoever looks after the shop's network, and tell them this: {}.",
        cut(&line.detail)
    );
    Finding::new(Level::Notice, "proxy_down", text).advise(advice).at(at)
}

fn server_away(status: &Status, down: &[&LineStatus]) -> Finding {
    let (since, at) = since(status, down);
    let to = cut(down.first().map_or("", |line| line.to.as_str()));
    let text = format!("The server {to} is unreachable{since}");
    let advice = "Nothing to do in the shop: the box tries again by itself.".to_owned();
    let advice = by_proxy(status, down).unwrap_or(advice);
    Finding::new(Level::Notice, "server_down", text).advise(advice).at(at)
}

/// Since when lines are down, in words; a line that was never up since the start has no time.
fn since(status: &Status, down: &[&LineStatus]) -> (String, Option<Timestamp>) {
    let changed: Option<Vec<Timestamp>> = down.iter().map(|line| line.since).collect();
    match changed.and_then(|times| times.into_iter().min()) {
        Some(at) => (format!(" since {}", Moment { at, now: status.now }), Some(at)),
        None => (" since this box started".to_owned(), None),
    }
}

fn waiting(outbox: Option<&OutboxStatus>) -> String {
    match outbox {
        Some(outbox) if outbox.waiting > 0 => {
            format!(", {} waiting", Count(outbox.waiting, "sale", "sales"))
        }
        Some(_) | None => String::new(),
    }
}

/// Only a box that takes sales may say that selling continues.
fn continues(status: &Status) -> &'static str {
    let takes = |outbox: &OutboxStatus| {
        !outbox.failed && (outbox.held_max == 0 || outbox.waiting < outbox.held_max)
    };
    let sells = status.ready && status.outbox.as_ref().is_some_and(takes);
    if sells { ", selling continues" } else { "" }
}

/// What concerns the box itself.
fn machine(status: &Status, found: &mut Vec<Finding>) {
    if status.clock == ClockConfidence::Wrong {
        let advice = "Set the clock or connect the box to a time server; \
                      the order of sales does not depend on it.";
        let finding = Finding::new(Level::Notice, "clock_wrong", "The clock of this box is wrong");
        found.push(finding.advise(advice));
    }
    let machine = &status.machine;
    if let (Some(free), Some(total)) = (machine.disk_free_bytes, machine.disk_total_bytes)
        && let Some(percent) = free.saturating_mul(100).checked_div(total)
        && percent < DISK_FREE_PERCENT_MIN
    {
        let text = format!("The disk of this box is nearly full: {percent} % is free");
        let advice = "Have a technician look at what fills it; a reserve for sales is kept.";
        found.push(Finding::new(Level::Bad, "disk_full", text).advise(advice));
    }
    if machine.vault_locked {
        let text = "The vault of this box does not open: nobody can log in, and nothing is sealed";
        let finding = Finding::new(Level::Bad, "vault_locked", text);
        found.push(finding.advise("Have a technician give it its key; nothing inside is lost."));
    }
    if let Some(percent) = machine.wear_percent.filter(|percent| *percent > WEAR_PERCENT_MAX) {
        let text = format!("The disk of this box has used up {percent} % of its life");
        let finding = Finding::new(Level::Notice, "disk_worn", text);
        found.push(finding.advise("Order a replacement; nothing has failed yet."));
    }
    if let Some(degrees) = machine.temperature_c.filter(|degrees| *degrees > TEMPERATURE_MAX_C) {
        let text = format!("This box is hot: {degrees} °C");
        let finding = Finding::new(Level::Notice, "hot", text);
        found.push(finding.advise("Let air reach it, and take off what covers it."));
    }
    for task in status.tasks.iter().filter(|task| task.state == "pausing") {
        let text = format!("A part of this box failed and starts again: {}", cut(&task.name));
        let finding = Finding::new(Level::Notice, "task_pausing", text);
        found.push(
            finding.advise("If this stays, send the support bundle to whoever maintains the box."),
        );
    }
}

fn masterdata(status: &Status, found: &mut Vec<Finding>) {
    for feed in status.feeds.iter().filter(|feed| feed.last_error.is_some()) {
        let text = format!("The last refresh of {} failed", cut(&feed.feed));
        let advice =
            "Nothing to do in the shop: the last good data stays in use and the box tries again.";
        found.push(Finding::new(Level::Notice, "refresh_failed", text).advise(advice));
    }
    if let Some(rule) = status.broken_rules.first() {
        let more = match status.broken_rules.len() {
            1 => String::new(),
            count => format!(", and {} more", Count(count as u64 - 1, "rule", "rules")),
        };
        let text = format!("The definitions of servers break a rule: {}{more}", cut(rule));
        let advice = "Head office corrects them and imports them again; sales are kept meanwhile.";
        found.push(Finding::new(Level::Notice, "definitions", text).advise(advice));
    }
}

/// Head office set something that this box does not run with.
fn settings(status: &Status, found: &mut Vec<Finding>) {
    let Some(settings) = &status.settings else { return };
    if let Some(refused) = settings.refused.as_ref().filter(|_| settings.state != "trial") {
        let why = match refused.why.is_empty() {
            true => String::new(),
            false => format!(": {}", cut(&refused.why)),
        };
        let text =
            format!("Settings {} of head office are not in force here{why}", refused.revision);
        let advice = "Nothing to do in the shop: the box runs with the ones before. \
                      Head office corrects or withdraws them.";
        found.push(Finding::new(Level::Notice, "settings_refused", text).advise(advice));
    }
}

fn normal(status: &Status) -> Finding {
    let text = match (&status.outbox, &status.ledger) {
        (Some(outbox), _) if outbox.waiting > 0 => {
            let sales = Count(outbox.waiting, "sale", "sales");
            format!("Selling normally, {sales} on the way to head office")
        }
        (Some(_), _) | (None, None) => "Selling normally".to_owned(),
        (None, Some(_)) => "Serving the shops normally".to_owned(),
    };
    Finding::new(Level::Good, "normal", text)
}

/// A number with its noun.
struct Count(u64, &'static str, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, one, many) = self;
        write!(f, "{number} {}", if *number == 1 { one } else { many })
    }
}

/// A time to the minute, with its day if that is another one.
struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minute =
            |time: Timestamp| time.to_string().chars().take(MINUTE_CHARS).collect::<String>();
        let (at, now) = (minute(self.at), minute(self.now));
        match (at.split_once('T'), now.split_once('T')) {
            (Some((day, time)), Some((today, _))) if day == today => write!(f, "{time} UTC"),
            (Some((day, time)), _) => write!(f, "{day} {time} UTC"),
            (None, _) => write!(f, "{}", self.at),
        }
    }
}

/// Words of others on one line and of bounded length.
pub(super) fn cut(words: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    words.chars().map(clean).take(WORDS_MAX).collect()
}
