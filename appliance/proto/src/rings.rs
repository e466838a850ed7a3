//! Rings: in which order the boxes of a chain get something new, such as a release or a configuration.
//!
//! ```text
//! pilot (order 1) ─▶ region-north (order 2) ─▶ … ─▶ everyone (always the last, and never defined)
//! ```
//!
//! A ring is a named group of sites and boxes, a record of the model `Ring` in the estate.
//! What is rolled out names the ring that it has reached; it is the turn of every box up to there.
//! The answer follows from the records and the box's own names alone, so head office and box agree without a word.
//!
//! Invariants:
//! - a box is in exactly one ring: the first that names the box, else the first that names its site, else `everyone`;
//! - a ring that nobody defined has been reached by nobody: a typing error stops a roll-out and does not start one;
//! - a record that makes no sense is named and left out, so its boxes come later and never sooner.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{NodeId, SiteId};
use crate::limits::{RING_MEMBERS_MAX, ROLLOUT_RINGS_MAX};

/// The model of the estate feed whose records are rings.
pub const MODEL: &str = "Ring";
/// The ring of every box that no record names; the last one.
pub const EVERYONE: &str = "everyone";
/// The longest name of a ring for people.
const NAME_CHARS_MAX: usize = 80;

/// One ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ring {
    /// Its id, which roll-outs name.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Ascending: 1 comes before 2. Rings of the same order have their turn together.
    pub order: u32,
    /// The sites all of whose boxes are in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteId>,
    /// Single boxes that are in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boxes: Vec<NodeId>,
}

/// What is wrong with a record of a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Fault {
    /// Which field.
    pub field: String,
    /// What it breaks.
    pub rule: String,
}

/// Who a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat<'a> {
    /// Its name.
    pub node: &'a NodeId,
    /// Its site.
    pub site: &'a SiteId,
}

/// Whether it is a box's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is.
    Now,
    /// The roll-out has not reached its ring.
    Later {
        /// The ring that the box is in.
        ring: String,
    },
    /// The roll-out names a ring that nobody has defined.
    Undefined,
}

/// All rings of a chain, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rings(Vec<Ring>);

impl Ring {
    /// Reads and checks a record; `active` and `updated` belong to every record and are passed over.
    pub fn read(record: &Map<String, Value>) -> Result<Self, Fault> {
        let mut fields = record.clone();
        fields.remove("active");
        fields.remove("updated");
        let ring: Self =
            serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| Fault {
                field: error.path().to_string(),
                rule: error.inner().to_string(),
            })?;
        ring.check()?;
        Ok(ring)
    }

    fn check(&self) -> Result<(), Fault> {
        let broken =
            |field: &str, rule: &str| Err(Fault { field: field.to_owned(), rule: rule.to_owned() });
        if !SiteId::allows(&self.id) || self.id == EVERYONE {
            return broken("id", "must be 1 to 32 of a-z, 0-9 and '-', and not \"everyone\"");
        }
        if self.name.chars().count() > NAME_CHARS_MAX || self.name.chars().any(char::is_control) {
            return broken("name", "must be a text of at most 80 characters on one line");
        }
        let members = self.sites.len() + self.boxes.len();
        if !(1..=RING_MEMBERS_MAX).contains(&members) {
            return broken("sites", "with boxes must name 1 to 1500 members");
        }
        Ok(())
    }
}

impl Rings {
    /// Understands records and names what makes no sense.
    pub fn read<'a>(
        records: impl IntoIterator<Item = &'a Map<String, Value>>,
    ) -> (Self, Vec<Fault>) {
        let (mut rings, mut faults) = (Vec::new(), Vec::new());
        for record in records {
            if record.get("active") == Some(&Value::Bool(false)) {
                continue;
            }
            match Ring::read(record) {
                Ok(_) if rings.len() >= ROLLOUT_RINGS_MAX => faults.push(Fault {
                    field: "id".to_owned(),
                    rule: format!("there are more than {ROLLOUT_RINGS_MAX} rings"),
                }),
                Ok(ring) => rings.push(ring),
                Err(fault) => faults.push(fault),
            }
        }
        rings.sort_by(|a: &Ring, b: &Ring| (a.order, &a.id).cmp(&(b.order, &b.id)));
        (Self(rings), faults)
    }

    /// All of them, the first to have its turn first; `everyone` is not among them.
    pub fn all(&self) -> &[Ring] {
        &self.0
    }

    /// The id of the ring that a box is in.
    pub fn of(&self, seat: Seat<'_>) -> &str {
        let by_name = || self.0.iter().find(|ring| ring.boxes.contains(seat.node));
        let by_site = || self.0.iter().find(|ring| ring.sites.contains(seat.site));
        by_name().or_else(by_site).map_or(EVERYONE, |ring| &ring.id)
    }

    /// Whether it is a box's turn for what has reached a ring.
    pub fn turn(&self, seat: Seat<'_>, reached: &str) -> Turn {
        let Some(reached) = self.order(reached) else { return Turn::Undefined };
        let ring = self.of(seat);
        match self.order(ring).is_some_and(|own| own <= reached) {
            true => Turn::Now,
            false => Turn::Later { ring: ring.to_owned() },
        }
    }

    /// The ring that comes after one; nothing after `everyone`, and nothing after what nobody has defined.
    pub fn next(&self, reached: &str) -> Option<&str> {
        let reached = self.order(reached)?;
        (reached != u64::MAX).then(|| {
            let later = self.0.iter().find(|ring| u64::from(ring.order) > reached);
            later.map_or(EVERYONE, |ring| ring.id.as_str())
        })
    }

    /// Where a ring stands; `everyone` is after all others.
    fn order(&self, id: &str) -> Option<u64> {
        match id {
            EVERYONE => Some(u64::MAX),
            _ => self.0.iter().find(|ring| ring.id == id).map(|ring| ring.order.into()),
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("it is this box's turn"),
            Self::Later { ring } => write!(f, "the turn of ring {ring} has not come"),
            Self::Undefined => f.write_str("the ring that it has reached is not defined"),
        }
    }
}

#[cfg(test)]
mod tests;
