//! Settings: what head office sets in the configuration of its boxes, rolled out in rings and taken back where it fails.
//!
//! ```text
//!             wanted differs            well for its time
//! Proven ───────────────────▶ Trial ───────────────────────▶ Proven (and the one before is remembered)
//!    ▲   refused: named            │ not well, does not start, a person
//!    └────────────────────◀────────┘ the proven ones are in force again; the others are not tried twice
//! ```
//!
//! Records of the model `BoxSettings` carry values by key; a box joins those that are meant for it and whose turn has
//! come, the higher number last, and that is what is wanted of it.
//! Which keys there are, and whether a box can run with a value, is the box's business: here are the rules of rolling out.
//!
//! Invariants:
//! - what is in force is proven, or on trial with something proven behind it;
//! - a trial ends: it is proven, or it is rolled back after [`STARTS_MAX`] starts or a time that is not well;
//! - what was refused or rolled back is tried again only when head office has changed it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{NodeId, SiteId};
use crate::limits::{RING_MEMBERS_MAX, SETTINGS_VALUES_MAX};
use crate::rings::{EVERYONE, Fault, Rings, Seat, Turn};
use crate::time::Timestamp;

mod health;
#[cfg(test)]
mod tests;

pub use health::{Health, Verdict};

/// The model of the estate feed whose records carry settings.
pub const MODEL: &str = "BoxSettings";
/// Starts on trial without a proof, after which it is rolled back.
pub const STARTS_MAX: u32 = 3;
/// What is remembered of the past.
const STEPS_MAX: usize = 20;
/// The longest reason that is remembered.
const WHY_CHARS_MAX: usize = 300;
/// How long a box has to be well with new settings, if nobody says.
const PROVE_S: u32 = 60;

/// One record: some values for some boxes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BoxSettings {
    /// Its id.
    pub id: String,
    /// Grows with every change at head office; where two records set one key, the higher number wins.
    pub number: u64,
    /// How far it is rolled out.
    #[serde(default = "everyone")]
    pub ring: String,
    /// Only for these sites; with no site and no box it is for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteId>,
    /// Only for these boxes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boxes: Vec<NodeId>,
    /// Values by key, such as `masterdata.line_kb_per_s`.
    pub values: BTreeMap<String, Value>,
    /// Seconds that a box has to be well with them before they are proven.
    #[serde(default = "prove_s")]
    pub prove_s: u32,
}

/// What head office wants of one box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The highest number of the records that it was joined from; 0: nothing is set.
    pub revision: u64,
    /// Values by key.
    pub values: BTreeMap<String, Value>,
    /// Seconds that it has to be well.
    #[serde(default = "prove_s")]
    pub prove_s: u32,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { revision: 0, values: BTreeMap::new(), prove_s: prove_s() }
    }
}

/// Settings on trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub wanted: Wanted,
    /// Since when.
    pub since: Timestamp,
    /// Starts with them so far.
    pub starts: u32,
}

/// Settings that the box does not run with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Which.
    pub wanted: Wanted,
    /// Why, with the key where one is to blame.
    pub why: String,
}

/// One step of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which revision.
    pub revision: u64,
    /// `refused`, `tried`, `proven`, `rolled-back` or `taken-back`.
    pub event: String,
    /// When.
    pub at: Timestamp,
    /// Why, where there is a reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What a box keeps about its settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Book {
    /// With these it was well.
    pub proven: Wanted,
    /// And with these before.
    pub before: Wanted,
    /// With these it is to show whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// With these it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The last steps, the newest last.
    pub steps: VecDeque<Step>,
}

impl BoxSettings {
    /// Reads and checks a record; `active` and `updated` belong to every record and are passed over.
    pub fn read(record: &Map<String, Value>) -> Result<Self, Fault> {
        let mut fields = record.clone();
        fields.remove("active");
        fields.remove("updated");
        let read: Self =
            serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| Fault {
                field: error.path().to_string(),
                rule: error.inner().to_string(),
            })?;
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), Fault> {
        let broken =
            |field: &str, rule: &str| Err(Fault { field: field.to_owned(), rule: rule.to_owned() });
        if self.number == 0 {
            return broken("number", "must be 1 or more");
        }
        if !SiteId::allows(&self.ring) {
            return broken("ring", "must be the id of a ring, or \"everyone\"");
        }
        if self.sites.len() + self.boxes.len() > RING_MEMBERS_MAX {
            return broken("sites", "with boxes may name at most 1500 members");
        }
        if !(1..=SETTINGS_VALUES_MAX).contains(&self.values.len()) {
            return broken("values", "must have 1 to 64 entries");
        }
        if !(5..=3600).contains(&self.prove_s) {
            return broken("proveS", "must be 5 to 3600");
        }
        Ok(())
    }

    fn is_for(&self, seat: Seat<'_>) -> bool {
        let is_for_all = self.sites.is_empty() && self.boxes.is_empty();
        is_for_all || self.sites.contains(seat.site) || self.boxes.contains(seat.node)
    }
}

impl Wanted {
    /// Joins the records that are meant for a box and whose turn has come.
    pub fn join(records: &[BoxSettings], rings: &Rings, seat: Seat<'_>) -> Self {
        let has_turn = |record: &&BoxSettings| rings.turn(seat, &record.ring) == Turn::Now;
        let mut found: Vec<_> =
            records.iter().filter(|record| record.is_for(seat)).filter(has_turn).collect();
        found.sort_by(|a, b| (a.number, &a.id).cmp(&(b.number, &b.id)));
        let mut wanted = Self::default();
        for record in found {
            (wanted.revision, wanted.prove_s) = (record.number, record.prove_s);
            let values = record.values.iter().map(|(key, value)| (key.clone(), value.clone()));
            wanted.values.extend(values);
        }
        wanted
    }
}

impl Wanted {
    /// Whether both are one and the same, however long they have to be tried.
    pub fn is_as(&self, other: &Self) -> bool {
        (self.revision, &self.values) == (other.revision, &other.values)
    }
}

impl Book {
    /// What the box runs with.
    pub fn in_force(&self) -> &Wanted {
        self.trial.as_ref().map_or(&self.proven, |trial| &trial.wanted)
    }

    /// Whether something is to be tried; what is in force and what has failed is not.
    pub fn is_new(&self, wanted: &Wanted) -> bool {
        let has_failed = self.refused.as_ref().is_some_and(|refused| refused.wanted.is_as(wanted));
        !wanted.is_as(self.in_force()) && !has_failed
    }

    /// Head office wants what is in force: what it wanted before is no matter any more. True if that changes the book.
    pub fn agree(&mut self, wanted: &Wanted) -> bool {
        self.trial.is_none() && wanted.is_as(&self.proven) && self.refused.take().is_some()
    }

    /// The box cannot run with it; what is in force stays.
    pub fn refuse(&mut self, wanted: Wanted, why: &str, at: Timestamp) {
        self.step(wanted.revision, "refused", why, at);
        self.refused = Some(Refused { wanted, why: bounded(why) });
    }

    /// It is to be tried from the next start on; a trial that is under way gives way.
    pub fn begin(&mut self, wanted: Wanted, at: Timestamp) {
        self.step(wanted.revision, "tried", "", at);
        self.trial = Some(Trial { wanted, since: at, starts: 0 });
    }

    /// The box starts; false: too many starts brought no proof, and the proven ones are in force again.
    pub fn start(&mut self, at: Timestamp) -> bool {
        let Some(trial) = &mut self.trial else { return true };
        trial.starts += 1;
        if trial.starts <= STARTS_MAX {
            return true;
        }
        self.roll_back("the box stopped again and again before it was well with them", at);
        false
    }

    /// The box was well with them for long enough.
    pub fn prove(&mut self, at: Timestamp) {
        let Some(trial) = self.trial.take() else { return };
        self.step(trial.wanted.revision, "proven", "", at);
        self.before = std::mem::replace(&mut self.proven, trial.wanted);
        self.refused = None;
    }

    /// The proven ones are in force again from the next start on; false if nothing is on trial.
    pub fn roll_back(&mut self, why: &str, at: Timestamp) -> bool {
        let Some(trial) = self.trial.take() else { return false };
        self.step(trial.wanted.revision, "rolled-back", why, at);
        self.refused = Some(Refused { wanted: trial.wanted, why: bounded(why) });
        true
    }

    /// What is in force does not go with the box; the ones behind it are in force, at last none. False if none are.
    pub fn fall_back(&mut self, why: &str, at: Timestamp) -> bool {
        if self.trial.is_some() {
            return self.roll_back(why, at);
        }
        if self.proven.values.is_empty() {
            return false;
        }
        let given_up = std::mem::take(&mut self.proven);
        self.step(given_up.revision, "rolled-back", why, at);
        self.refused = Some(Refused { wanted: given_up, why: bounded(why) });
        true
    }

    /// A person wants the ones before; false if there are none.
    pub fn take_back(&mut self, by: &str, at: Timestamp) -> bool {
        let why = format!("{by} took them back at the box");
        if self.trial.is_some() {
            return self.roll_back(&why, at);
        }
        if self.proven.is_as(&self.before) {
            return false;
        }
        let given_up = std::mem::replace(&mut self.proven, self.before.clone());
        self.step(given_up.revision, "taken-back", &why, at);
        self.refused = Some(Refused { wanted: given_up, why: bounded(&why) });
        true
    }

    fn step(&mut self, revision: u64, event: &str, why: &str, at: Timestamp) {
        self.steps.push_back(Step { revision, event: event.to_owned(), at, why: bounded(why) });
        while self.steps.len() > STEPS_MAX {
            self.steps.pop_front();
        }
    }
}

fn bounded(why: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    why.chars().map(clean).take(WHY_CHARS_MAX).collect()
}

fn everyone() -> String {
    EVERYONE.to_owned()
}

fn prove_s() -> u32 {
    PROVE_S
}
