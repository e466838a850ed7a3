//! Which versions of the interface work together: those next to each other.
//!
//! A shop is updated box by box and till by till, so at any time one side is newer than the other.
//! Each request and each answer says which version its sender speaks; whoever says nothing speaks the first.
//! A version works with the one before and the one after it; beyond that, requests are refused by name, and what a
//! till or box has accepted stays where it is until the other side has been updated.

/// The version that this program speaks, to boxes and to terminals.
pub const API: u16 = 1;
/// The header that says it, in requests and in answers.
pub const HEADER: &str = "storebox-api";
/// What is spoken by those who do not say.
const UNSAID: u16 = 1;

/// Two versions that do not work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Skew {
    /// The other side is too old.
    #[error(
        "the other side speaks version {theirs} of the interface, this box {ours}: update the other side; \
         until then what it holds waits there"
    )]
    TheyAreOld {
        /// What it speaks.
        theirs: u16,
        /// What this program speaks.
        ours: u16,
    },
    /// This side is too old.
    #[error(
        "the other side speaks version {theirs} of the interface, this box {ours}: update this box; \
         until then what the other side holds waits there"
    )]
    WeAreOld {
        /// What it speaks.
        theirs: u16,
        /// What this program speaks.
        ours: u16,
    },
    /// What it says is no version.
    #[error("the header storebox-api must be a number from 1 to 65535")]
    Nonsense,
}

/// Whether a program that speaks `ours` works with one whose header says this.
pub fn check(ours: u16, said: Option<&[u8]>) -> Result<(), Skew> {
    let number = |said: &[u8]| std::str::from_utf8(said).ok()?.parse::<u16>().ok();
    let theirs = match said {
        None => UNSAID,
        Some(said) => number(said).filter(|theirs| *theirs > 0).ok_or(Skew::Nonsense)?,
    };
    match theirs.abs_diff(ours) {
        0 | 1 => Ok(()),
        _ if theirs < ours => Err(Skew::TheyAreOld { theirs, ours }),
        _ => Err(Skew::WeAreOld { theirs, ours }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_next_to_each_other_work_together_and_others_are_told_who_has_to_be_updated() {
        for (ours, said, fits) in [
            (5, Some("4"), Ok(())),
            (5, Some("5"), Ok(())),
            (5, Some("6"), Ok(())),
            (5, Some("3"), Err(Skew::TheyAreOld { theirs: 3, ours: 5 })),
            (5, Some("7"), Err(Skew::WeAreOld { theirs: 7, ours: 5 })),
            (1, None, Ok(())),
            (2, None, Ok(())),
            (3, None, Err(Skew::TheyAreOld { theirs: 1, ours: 3 })),
        ] {
            assert_eq!(check(ours, said.map(str::as_bytes)), fits, "{ours} {said:?}");
        }
        for nonsense in ["", "0", "-1", "two", "70000", "1.0"] {
            assert_eq!(check(1, Some(nonsense.as_bytes())), Err(Skew::Nonsense), "{nonsense:?}");
        }
    }
}
