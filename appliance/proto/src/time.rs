//! Wall-clock time for people and company systems; order never comes from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970-01-01T00:00:00Z, written as RFC 3339; the default is 1970.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

const YEAR_10000_MS: i64 = 253_402_300_800_000;

impl Timestamp {
    /// The instant that many milliseconds after 1970; clamped to the years 1970 to 9999.
    pub const fn from_unix_ms(ms: i64) -> Self {
        match ms {
            i64::MIN..0 => Self(0),
            YEAR_10000_MS.. => Self(YEAR_10000_MS - 1),
            ms => Self(ms),
        }
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        f.write_str(&moment.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

/// The text is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time such as 2026-11-22T10:02:00Z")]
pub struct InvalidTimestamp(pub String);

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let refuse = || InvalidTimestamp(value.chars().take(64).collect());
        let moment = OffsetDateTime::parse(value, &Rfc3339).map_err(|_| refuse())?;
        let ms = i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).map_err(|_| refuse())?;
        if (0..YEAR_10000_MS).contains(&ms) { Ok(Self(ms)) } else { Err(refuse()) }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;
    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<Timestamp> for String {
    fn from(value: Timestamp) -> Self {
        value.to_string()
    }
}

/// How far a wall-clock time may be believed; a box without a battery clock wakes in 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockConfidence {
    /// Synchronised with a time source since the start.
    Synchronised,
    /// Plausible (after the floor that the node remembers), but not confirmed.
    Plausible,
    /// Before the floor: known to be wrong.
    Wrong,
}

impl ClockConfidence {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised",
            Self::Plausible => "plausible",
            Self::Wrong => "wrong",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_its_text() {
        let time: Timestamp = "2026-11-22T10:02:00.25Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-22T10:02:00.25Z");
        assert_eq!(Timestamp::from_unix_ms(0).to_string(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for bad in ["", "yesterday", "1969-12-31T23:59:59Z", "2026-13-01T00:00:00Z"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
