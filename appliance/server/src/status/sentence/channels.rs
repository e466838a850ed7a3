//! What is to be said of the chain's own programs: hooks and the targets of pushes.

use storebox_proto::time::Timestamp;

use super::{Count, Finding, Level, Moment, Status, cut};

/// Findings about targets that are listed.
const TARGETS_MAX: usize = 3;
/// A target that is away for less than this has been restarted, and nobody need know: ten minutes.
const AWAY_MS_MIN: i64 = 10 * 60 * 1000;

pub(super) fn add(status: &Status, found: &mut Vec<Finding>) {
    let Some(channels) = &status.channels else { return };
    if channels.hooks_dead > 0 {
        let hooks = Count(channels.hooks_dead, "hook after a sale", "hooks after sales");
        let text = format!("{hooks} failed for good; the sales themselves are safe");
        let advice = "Ask `storebox channel hooks` why, put the hook right, then retry or drop it.";
        found.push(Finding::new(Level::Notice, "hooks_dead", text).advise(advice));
    }
    if channels.hooks_missed > 0 {
        let hooks = Count(channels.hooks_missed, "hook after a sale", "hooks after sales");
        let text = format!("{hooks} could not be kept; the sales themselves are safe");
        let advice = "Too many wait: put right what `storebox channel hooks` lists, \
                      then bring what was left out from the sales themselves.";
        found.push(Finding::new(Level::Notice, "hooks_missed", text).advise(advice));
    }
    for push in channels.pushes.iter().filter(|push| push.dead > 0).take(TARGETS_MAX) {
        let changes = Count(push.dead, "change", "changes");
        let text = format!("The target of push {} refused {changes}", cut(&push.id));
        let advice = "Ask `storebox channel pushes` why, put the target right, then retry or drop.";
        found.push(Finding::new(Level::Notice, "push_dead", text).advise(advice));
    }
    let away = channels.pushes.iter().filter_map(|push| Some((push, push.failing_since?)));
    let is_long = |at: &Timestamp| status.now.unix_ms().saturating_sub(at.unix_ms()) >= AWAY_MS_MIN;
    for (push, at) in away.filter(|(_, at)| is_long(at)).take(TARGETS_MAX) {
        let since = Moment { at, now: status.now };
        let waiting = Count(push.waiting, "change waits", "changes wait");
        let text = format!("The target of push {} is away since {since}, {waiting}", cut(&push.id));
        let advice = "Nothing is lost: it is told when it is back. If it stays away, see to it.";
        let finding = Finding::new(Level::Notice, "push_away", text);
        found.push(finding.advise(advice).at(Some(at)));
    }
}
