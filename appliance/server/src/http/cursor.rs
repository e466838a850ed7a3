//! Where a listing goes on: the generation that it began in and the last record that was shown.
//!
//! Clients treat it as opaque; one that is made up reads nothing that a listing would not show.

use std::fmt;
use std::str::FromStr;

use storebox_proto::feed::Position;
use storebox_proto::ids::RecordId;

/// A place in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The generation.
    pub(super) position: Position,
    /// The last record shown.
    pub(super) last: RecordId,
}

/// The text is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor that this box gave out")]
pub(super) struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.position, hex::encode(self.last.as_str()))
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (position, last) = text.rsplit_once('.').ok_or(InvalidCursor)?;
        let position = position.parse().map_err(|_| InvalidCursor)?;
        let last = hex::decode(last).map_err(|_| InvalidCursor)?;
        let last = String::from_utf8(last).map_err(|_| InvalidCursor)?;
        Ok(Self { position, last: last.parse().map_err(|_| InvalidCursor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn roundtrip_cursor(epoch in any::<u64>(), revision in any::<u64>(), id in "\\PC{1,30}") {
            let last: RecordId = id.parse().unwrap();
            let cursor = Cursor { position: Position { epoch, revision }, last };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn any_text_never_panics(text in ".{0,200}") {
            let _ = text.parse::<Cursor>();
        }
    }
}
