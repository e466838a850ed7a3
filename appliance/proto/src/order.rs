//! What a person orders for a while: a drill, a visit.
//!
//! One rule for all of them: it has an end, and whoever wants it says who it is.
//! A name comes from a person or from another server, so it is cleaned before anything shows it or writes it down.

use serde::{Deserialize, Serialize};

use crate::limits::{ORDER_SECONDS_MAX, PERSON_CHARS_MAX};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// For how long.
    pub seconds: u32,
    /// Who wants it.
    pub by: String,
}

/// Why it is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Out of bounds.
    #[error("field seconds: must be 1 to {ORDER_SECONDS_MAX}")]
    Seconds,
    /// Nobody says who wants it.
    #[error("field by: say who wants it, in 1 to {PERSON_CHARS_MAX} characters")]
    By,
}

impl Order {
    /// Checks it, and tells who wants it.
    pub fn check(&self) -> Result<String, Unfit> {
        if !(1..=ORDER_SECONDS_MAX).contains(&self.seconds) {
            return Err(Unfit::Seconds);
        }
        let by = clean(&self.by).trim().to_owned();
        match by.is_empty() || by.chars().count() > PERSON_CHARS_MAX {
            true => Err(Unfit::By),
            false => Ok(by),
        }
    }
}

/// A name as it may be shown: on one line, and not longer than a name is.
pub fn person(name: &str) -> String {
    clean(name).chars().take(PERSON_CHARS_MAX).collect()
}

fn clean(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_without_an_end_or_a_name_is_refused_and_a_name_is_one_line() {
        let check = |seconds, by: &str| Order { seconds, by: by.to_owned() }.check();
        assert_eq!(check(0, "anna"), Err(Unfit::Seconds));
        assert_eq!(check(ORDER_SECONDS_MAX + 1, "anna"), Err(Unfit::Seconds));
        assert_eq!(check(1, " "), Err(Unfit::By));
        assert_eq!(check(1, "\r\n\u{1b}"), Err(Unfit::By));
        assert_eq!(check(1, &"x".repeat(PERSON_CHARS_MAX + 1)), Err(Unfit::By));
        assert_eq!(check(ORDER_SECONDS_MAX, " an\u{1b}na\n").as_deref(), Ok("anna"));
        assert_eq!(person(&format!("a\nb{}", "c".repeat(100))).chars().count(), PERSON_CHARS_MAX);
    }
}
