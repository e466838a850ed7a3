//! What is said of releases: on the panel, to head office with it, and to hawkBit.

use std::sync::Arc;

use storebox_proto::release::{Decision, Hold, Past, Release, Version, gave_up};

use super::{BROKEN, Seen, Updater, lock};
use crate::logging::chain;
use crate::status::{Failed, Status, UpdateLine, UpdateStatus};
use crate::update::hawkbit::HawkBit;

/// What the steward writes down of a release whose approval is missing or over.
const UNAPPROVED: &str = "unapproved";

impl Updater {
    /// Tells the panel what was tried, what happened and why.
    pub fn report(&self) -> impl Fn(&mut Status) + Send + Sync + 'static {
        let told = Arc::clone(&self.told);
        move |status| status.update = lock(&told).clone()
    }

    /// Tells the server what became of what it wants.
    pub(super) async fn answer(&mut self, seen: &Seen, decision: &Decision<'_>, failed: &[Failed]) {
        let (Some(hawkbit), Some(wanted)) = (&mut self.hawkbit, seen.releases.first()) else {
            return;
        };
        let failure = failed.iter().find(|one| one.version == wanted.version.to_string());
        let said = |why: String| ("", why);
        let (word, (kind, why)) = match (decision, failure) {
            _ if wanted.version == seen.machine.running && seen.is_confirmed => {
                ("confirmed", said(String::new()))
            }
            _ if wanted.version == seen.machine.running => {
                ("starting", said("it runs and has not proved itself yet".to_owned()))
            }
            (_, Some(failure)) => ("failed", said(failure.why.clone())),
            (Decision::Idle(why), None) => ("failed", said(why.to_string())),
            (Decision::Fetch(_), None) => ("proceeding", said(String::new())),
            (Decision::Hold(release, hold), None) => {
                ("held", reason(&seen.lines, release, Some(hold)))
            }
            (Decision::Install(release), None) => {
                ("handed-over", reason(&seen.lines, release, None))
            }
        };
        // What it does not hear now it is told at the next look.
        if let Err(error) = hawkbit.tell(word, kind, &why).await {
            tracing::info!(error = chain(&error), "hawkBit is not told");
        }
    }

    /// What is not tried again, of what is newer than what runs, in the words of whoever gave it up.
    pub(super) fn failures(&self, seen: &Seen, past: &[Past<'_>]) -> Vec<Failed> {
        let is_given_up = |release: &&Release| {
            release.board == seen.machine.board
                && release.version > seen.machine.running
                && gave_up(past, release.version).is_some()
        };
        let given_up = seen.releases.iter().filter(is_given_up);
        let mut failed: Vec<Failed> = given_up.map(|release| failure(seen, release)).collect();
        if self.hawkbit.is_some() {
            // Its server takes away what it was told of; whoever looks at the box still hears why.
            let is_gone = |version: &Version| {
                *version > seen.machine.running
                    && seen.releases.iter().all(|release| release.version != *version)
            };
            let gone = self.broken.values().filter(|(version, _)| is_gone(version));
            failed.extend(gone.map(|(version, why)| Failed {
                version: version.to_string(),
                event: BROKEN.to_owned(),
                why: why.clone(),
            }));
        }
        failed
    }

    pub(super) fn tell(&self, seen: &Seen, decision: &Decision<'_>, failed: Vec<Failed>) {
        let (state, release, why) = match decision {
            Decision::Idle(why) => ("idle", None, why.to_string()),
            Decision::Fetch(release) => ("fetching", Some(*release), String::new()),
            Decision::Hold(release, hold) => {
                ("held", Some(*release), reason(&seen.lines, release, Some(hold)).1)
            }
            Decision::Install(release) => {
                ("handed-over", Some(*release), reason(&seen.lines, release, None).1)
            }
        };
        let mut told = lock(&self.told);
        let wanted = release.map(|release| release.version.to_string());
        let before = told.take().filter(|before| before.wanted == wanted);
        let have_bytes = before.as_ref().map_or(0, |before| before.have_bytes);
        let trouble = self.hawkbit.as_ref().and_then(HawkBit::trouble);
        let why = trouble.map_or(why, str::to_owned);
        // A line that is down is still down until the next block arrives.
        let why = match before {
            Some(before) if state == "fetching" => before.why,
            Some(_) | None => why,
        };
        *told = Some(UpdateStatus {
            running: seen.machine.running.to_string(),
            board: seen.machine.board.clone(),
            state: state.to_owned(),
            wanted,
            why,
            bytes: release.map_or(0, |release| release.bytes),
            have_bytes,
            fetched_bytes: self.fetched_bytes,
            failed,
        });
    }
}

/// The kind of reason for which a release is not installed yet, and what is said of it.
///
/// That an approval is missing or over is said first: somebody has to do something about it, whatever else waits.
pub(super) fn reason(
    lines: &[UpdateLine],
    release: &Release,
    hold: Option<&Hold>,
) -> (&'static str, String) {
    match (hold, unapproved(lines, release)) {
        (None, None) => ("", String::new()),
        (None, Some(why)) => (UNAPPROVED, why.to_owned()),
        (Some(Hold::Restart), _) | (Some(_), None) => {
            hold.map(|hold| (kind(hold), hold.to_string())).unwrap_or_default()
        }
        (Some(hold), Some(why)) => (UNAPPROVED, format!("{why}; {hold}")),
    }
}

fn kind(hold: &Hold) -> &'static str {
    match hold {
        Hold::Room { .. } => "room",
        Hold::Unsettled { .. } => "unsettled",
        Hold::Trading => "trading",
        Hold::Clock => "clock",
        Hold::Restart => "restart",
        Hold::Steward => "steward",
    }
}

/// Why the steward does not let a release in that it was given; it looks again, for the approval may be renewed.
fn unapproved<'a>(lines: &'a [UpdateLine], release: &Release) -> Option<&'a str> {
    let version = release.version.to_string();
    let last = lines.iter().find(|line| line.version == version)?;
    (last.event == UNAPPROVED).then_some(last.why.as_str())
}

fn failure(seen: &Seen, release: &Release) -> Failed {
    let version = release.version.to_string();
    let ended = ["fell-back", "refused", "failed", BROKEN];
    let mut lines = seen.lines.iter();
    let line = lines.find(|line| line.version == version && ended.contains(&line.event.as_str()));
    let (event, why) =
        line.map_or_else(Default::default, |line| (line.event.clone(), line.why.clone()));
    Failed { version, event, why }
}
