//! Who guesses passwords is slowed down: per user and till, so that nobody can lock a colleague out elsewhere.
//!
//! Five tries, then thirty seconds, doubling up to a quarter of an hour; a right password forgives.
//! Memory is bounded: the entry that was used longest ago goes first, and one that is locked goes last.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::limits::LOGIN_ATTEMPTS_MAX;

/// Wrong passwords before the first wait.
const FREE: u32 = 5;
const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(900);
/// After this without a try, everything is forgiven.
const FORGIVEN: Duration = Duration::from_secs(3600);

/// The next try is refused until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many wrong passwords; wait {} s", .wait.as_secs().max(1))]
pub struct Locked {
    /// How long.
    pub wait: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    wrong: u32,
    last: Instant,
    until: Instant,
}

/// Wrong passwords of late.
#[derive(Debug, Default)]
pub struct Attempts {
    entries: BTreeMap<(String, String), Entry>,
}

impl Attempts {
    /// Whether this user may try at this till now.
    pub fn check(&self, user: &str, till: &str, now: Instant) -> Result<(), Locked> {
        let entry = self.entries.get(&(user.to_owned(), till.to_owned()));
        match entry.map(|entry| entry.until.saturating_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(Locked { wait }),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a try before its password is judged, so that tries at the same time count too.
    ///
    /// Returns how long this user has to wait after it, if it is wrong.
    pub fn begin(&mut self, user: &str, till: &str, now: Instant) -> Result<(), Locked> {
        self.check(user, till, now)?;
        let key = (user.to_owned(), till.to_owned());
        if !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        let fresh = Entry { wrong: 0, last: now, until: now };
        let entry = self.entries.entry(key).or_insert(fresh);
        if now.saturating_duration_since(entry.last) >= FORGIVEN {
            *entry = fresh;
        }
        entry.wrong = entry.wrong.saturating_add(1);
        entry.last = now;
        if entry.wrong >= FREE {
            let doublings = (entry.wrong - FREE).min(8);
            entry.until = now + LONGEST.min(FIRST * 2u32.pow(doublings));
        }
        Ok(())
    }

    /// The try was not judged after all, so it does not count.
    pub fn undo(&mut self, user: &str, till: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&(user.to_owned(), till.to_owned())) {
            entry.wrong = entry.wrong.saturating_sub(1);
            entry.until = now;
        }
    }

    /// The password was right.
    pub fn forgive(&mut self, user: &str, till: &str) {
        self.entries.remove(&(user.to_owned(), till.to_owned()));
    }

    fn make_room(&mut self, now: Instant) {
        if self.entries.len() < LOGIN_ATTEMPTS_MAX {
            return;
        }
        let least = |entry: &Entry| (entry.until > now, entry.last);
        let oldest = self.entries.iter().min_by_key(|(_, entry)| least(entry));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the zero of a test's time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn five_tries_are_free_and_then_each_costs_more() {
        let (mut attempts, mut now) = (Attempts::default(), start());
        for _ in 0..FREE {
            attempts.begin("ann", "till-1", now).unwrap();
        }
        assert_eq!(attempts.begin("ann", "till-1", now), Err(Locked { wait: FIRST }));
        assert!(attempts.check("ann", "till-2", now).is_ok(), "another till");
        assert!(attempts.check("bob", "till-1", now).is_ok(), "another user");
        for wait in [60, 120, 240, 480, 900, 900] {
            now += LONGEST;
            attempts.begin("ann", "till-1", now).unwrap();
            let locked = attempts.check("ann", "till-1", now).unwrap_err();
            assert_eq!(locked.wait.as_secs(), wait);
        }
        attempts.forgive("ann", "till-1");
        assert!(attempts.check("ann", "till-1", now).is_ok());
    }

    #[test]
    fn an_hour_without_a_try_forgives() {
        let (mut attempts, now) = (Attempts::default(), start());
        for _ in 0..FREE {
            attempts.begin("ann", "till-1", now).unwrap();
        }
        attempts.begin("ann", "till-1", now + FORGIVEN).unwrap();
        assert!(attempts.check("ann", "till-1", now + FORGIVEN).is_ok());
    }

    #[test]
    fn a_flood_of_names_does_not_unlock_anybody() {
        let (mut attempts, now) = (Attempts::default(), start());
        for _ in 0..FREE {
            attempts.begin("ann", "till-1", now).unwrap();
        }
        for number in 0..2 * LOGIN_ATTEMPTS_MAX {
            attempts.begin(&format!("x{number}"), "till-1", now).unwrap();
        }
        assert!(attempts.entries.len() <= LOGIN_ATTEMPTS_MAX);
        assert!(attempts.check("ann", "till-1", now).is_err());
    }
}
