//! What a box tells head office about itself every half minute, so that somebody sees all boxes on one page.
//!
//! It is for people: nothing is decided by it, nothing is kept of it but the latest, and a box that is silent is unknown.
//! Whatever a box says is bounded here before anybody shows it.

use serde::{Deserialize, Serialize};

use crate::feed::Position;
use crate::ids::{FeedId, SiteId};
use crate::limits::{DEVICES_MAX, FEEDS_MAX, RELEASES_MAX};
use crate::time::Timestamp;

/// The longest text of a heartbeat.
pub const TEXT_CHARS_MAX: usize = 300;

/// The state of a box at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Its program's version.
    pub version: String,
    /// Its clock, which may be wrong.
    pub now: Timestamp,
    /// Since when it runs, in seconds.
    pub uptime_s: u64,
    /// Where its masterdata stands.
    pub feeds: Vec<FeedAt>,
    /// Transactions that wait for head office.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// The age of the oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_s: Option<u64>,
    /// Transactions that wait for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<u64>,
    /// Devices that do not work.
    #[serde(default)]
    pub troubled: Vec<String>,
    /// Its site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// What head office sets on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsAt>,
    /// Until when head office may look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visit_until: Option<Timestamp>,
    /// How grave its gravest finding is: `good`, `notice` or `bad`.
    pub level: String,
    /// That finding in words.
    pub sentence: String,
    /// Which release it runs and which it wants; nothing on a machine that is not updated by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseAt>,
}

/// Where a box stands with releases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleaseAt {
    /// The kind of machine.
    pub board: String,
    /// The release that runs.
    pub running: String,
    /// The one that it is about to get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// `idle`, `fetching`, `held` or `handed-over`.
    pub state: String,
    /// Why.
    pub why: String,
    /// What failed here and is not tried again by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<ReleaseFailed>,
}

/// A release that failed on a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFailed {
    /// Which.
    pub version: String,
    /// `failed`, `fell-back`, `refused` or `broken`.
    pub event: String,
    /// Why.
    pub why: String,
}

/// Where a feed of a box stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedAt {
    /// The feed.
    pub feed: FeedId,
    /// Where it stands.
    pub position: Position,
}

/// Where the settings of a box stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsAt {
    /// The revision that is in force; 0: none.
    pub revision: u64,
    /// `none`, `trial` or `proven`.
    pub state: String,
    /// The rollout ring that the box is in.
    pub ring: String,
    /// The revision that it does not run with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A heartbeat that nobody should show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {rule}")]
pub struct Unfit {
    /// Which field.
    pub field: &'static str,
    /// What it breaks.
    pub rule: &'static str,
}

impl Heartbeat {
    /// Refuses what is longer than anything that a box says.
    pub fn check(&self) -> Result<(), Unfit> {
        let long = "must be a text of at most 300 characters on one line";
        for (field, text) in
            [("version", &self.version), ("level", &self.level), ("sentence", &self.sentence)]
        {
            if !is_fit(text) {
                return Err(Unfit { field, rule: long });
            }
        }
        let settings = self.settings.iter();
        let mut texts = settings.flat_map(|at| [&at.state, &at.ring, &at.why]);
        if !texts.all(|text| is_fit(text)) {
            return Err(Unfit { field: "settings", rule: long });
        }
        if !self.release.as_ref().is_none_or(ReleaseAt::is_fit) {
            return Err(Unfit { field: "release", rule: long });
        }
        if self.feeds.len() > FEEDS_MAX {
            return Err(Unfit { field: "feeds", rule: "has more feeds than there may be" });
        }
        if self.troubled.len() > DEVICES_MAX || !self.troubled.iter().all(|name| is_fit(name)) {
            return Err(Unfit { field: "troubled", rule: "has more devices than there may be" });
        }
        Ok(())
    }
}

impl ReleaseAt {
    fn is_fit(&self) -> bool {
        let own = [&self.board, &self.running, &self.state, &self.why];
        let failed = self.failed.iter().flat_map(|one| [&one.version, &one.event, &one.why]);
        self.failed.len() <= RELEASES_MAX
            && own.into_iter().chain(&self.wanted).chain(failed).all(|text| is_fit(text))
    }
}

fn is_fit(text: &str) -> bool {
    text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
}

/// By how many revisions a replica is behind its author; unknown if they are of different lives.
pub fn behind(author: Position, replica: Position) -> Option<u64> {
    (author.epoch == replica.epoch).then(|| author.revision.saturating_sub(replica.revision))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heartbeat() -> Heartbeat {
        Heartbeat {
            version: "1.0.0".to_owned(),
            now: Timestamp::from_unix_ms(1),
            uptime_s: 5,
            feeds: Vec::new(),
            waiting: Some(14),
            oldest_s: None,
            quarantined: None,
            troubled: vec!["till-3".to_owned()],
            site: None,
            settings: None,
            visit_until: None,
            level: "good".to_owned(),
            sentence: "Selling normally".to_owned(),
            release: None,
        }
    }

    #[test]
    fn a_heartbeat_with_too_much_in_it_is_refused_by_field() {
        assert_eq!(heartbeat().check(), Ok(()));
        let long = Heartbeat { sentence: "x".repeat(301), ..heartbeat() };
        assert_eq!(long.check().unwrap_err().field, "sentence");
        let lines = Heartbeat { version: "1\n2".to_owned(), ..heartbeat() };
        assert_eq!(lines.check().unwrap_err().field, "version");
        let why = ReleaseAt { why: "a\nb".to_owned(), ..ReleaseAt::default() };
        let odd = Heartbeat { release: Some(why), ..heartbeat() };
        assert_eq!(odd.check().unwrap_err().field, "release");
        let many = Heartbeat { troubled: vec![String::new(); DEVICES_MAX + 1], ..heartbeat() };
        assert_eq!(many.check().unwrap_err().field, "troubled");
    }

    #[test]
    fn a_replica_of_another_life_is_behind_by_nobody_knows_how_much() {
        let at = |epoch, revision| Position { epoch, revision };
        assert_eq!(behind(at(2, 9), at(2, 4)), Some(5));
        assert_eq!(behind(at(2, 9), at(2, 12)), Some(0));
        assert_eq!(behind(at(2, 9), at(1, 900)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(heartbeat) = serde_json::from_slice::<Heartbeat>(&bytes) {
                let _ = heartbeat.check();
            }
        }
    }
}
