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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::sentence::findings;
    use crate::status::sentence::tests::status;

    #[test]
    fn a_release_that_came_back_is_said_with_why_and_one_that_waits_is_not() {
        let failed = |event: &str| crate::status::Failed {
            version: "1.5.0".to_owned(),
            event: event.to_owned(),
            why: "the service\ndid not start".to_owned(),
        };
        let update = crate::status::UpdateStatus {
            state: "held".to_owned(),
            wanted: Some("1.6.0".to_owned()),
            ..Default::default()
        };
        let held = Status { update: Some(update.clone()), ..status() };
        assert_eq!(findings(&held)[0].code, "normal");
        let failed = vec![failed("fell-back")];
        let back =
            Status { update: Some(crate::status::UpdateStatus { failed, ..update }), ..status() };
        let first = &findings(&back)[0];
        assert_eq!(first.text, "Release 1.5.0 came back: the service did not start");
        assert_eq!(first.level, Level::Notice);
    }
}
