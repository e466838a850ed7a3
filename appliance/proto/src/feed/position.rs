//! Where a replica stands in a feed: the cursor that everything in the box is ordered by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidName;

/// An epoch and a revision within it, written `epoch.revision`.
///
/// The order is that of authorship: a later epoch is a new life of the author and supersedes every revision before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    /// The life of the author.
    pub epoch: u64,
    /// The revision within it.
    pub revision: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

impl FromStr for Position {
    type Err = InvalidName;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let parts = value.split_once('.').and_then(|(epoch, revision)| {
            Some(Self { epoch: epoch.parse().ok()?, revision: revision.parse().ok()? })
        });
        parts.filter(|position| position.to_string() == value).ok_or_else(|| InvalidName {
            kind: "position",
            value: value.chars().take(64).collect(),
            rule: "an epoch, a dot and a revision, such as 1.42",
        })
    }
}

impl TryFrom<String> for Position {
    type Error = InvalidName;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<Position> for String {
    fn from(value: Position) -> Self {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text_and_later_epochs_supersede() {
        let position = Position { epoch: 2, revision: 7 };
        assert_eq!(position.to_string().parse(), Ok(position));
        assert!(position < Position { epoch: 3, revision: 1 });
        assert!(position < Position { epoch: 2, revision: 8 });
        for bad in ["", "1", "1.", ".1", "1.2.3", "+1.2", "01.2", "1.-2", "a.b"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
