//! What is to be said of releases: only what failed, for what goes well needs nobody.

use super::{Finding, Level, Status, cut};

pub(super) fn add(status: &Status, found: &mut Vec<Finding>) {
    for failed in status.update.iter().flat_map(|update| &update.failed) {
        let word = match failed.event.as_str() {
            "fell-back" => "came back",
            "refused" => "was refused by this box",
            "broken" => "is not what was announced",
            _ => "could not be written",
        };
        let why = match failed.why.is_empty() {
            true => String::new(),
            false => format!(": {}", cut(&failed.why)),
        };
        let text = format!("Release {} {word}{why}", cut(&failed.version));
        let advice =
            "Nothing has to be done here: the release before it runs, and head office knows.";
        found.push(Finding::new(Level::Notice, "release_failed", text).advise(advice));
    }
}
