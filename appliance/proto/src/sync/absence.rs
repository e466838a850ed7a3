//! What was not there when it was asked for, and when it is worth asking for again.
//!
//! A source that says an object is gone is believed for a while, longer each time: one second at first, a minute at last.
//! The record is bounded; what is forgotten is asked for a little sooner.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::limits::ABSENCES_MAX;

/// The first time that something is not asked for again.
const HELD_MIN: Duration = Duration::from_secs(1);
/// The longest.
pub const HELD_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Absence {
    held: Duration,
    until: Instant,
    is_held: bool,
}

/// What is known not to be there.
#[derive(Debug, Clone)]
pub struct Absences<K>(BTreeMap<K, Absence>);

impl<K> Default for Absences<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Absences<K> {
    /// It was asked for and was not there.
    pub fn note(&mut self, what: K, now: Instant) {
        let before = self.0.get(&what).map(|absence| absence.held);
        let held = before.map_or(HELD_MIN, |held| (held * 2).min(HELD_MAX));
        if before.is_none() && self.0.len() >= ABSENCES_MAX {
            let first = self.0.iter().min_by_key(|(_, absence)| absence.until);
            if let Some(first) = first.map(|(what, _)| what.clone()) {
                self.0.remove(&first);
            }
        }
        self.0.insert(what, Absence { held, until: now + held, is_held: true });
    }

    /// Whether it was not there when it was last asked for.
    pub fn is_known(&self, what: &K) -> bool {
        self.0.contains_key(what)
    }

    /// Whether it is too early to ask for it again.
    pub fn is_held(&self, what: &K, now: Instant) -> bool {
        self.0.get(what).is_some_and(|absence| absence.is_held && now < absence.until)
    }

    /// It is there.
    pub fn found(&mut self, what: &K) {
        self.0.remove(what);
    }

    /// Everything may be asked for now; what is still not there is held longer than before.
    pub fn release(&mut self) {
        self.0.values_mut().for_each(|absence| absence.is_held = false);
    }

    /// Nothing of it matters any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test gets its zero here")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn what_is_not_there_is_asked_for_after_waits_that_double_to_a_minute() {
        let mut now = start();
        let mut absences = Absences::default();
        let mut waits = Vec::new();
        for _ in 0..9 {
            absences.note("object", now);
            let mut waited = 0;
            while absences.is_held(&"object", now) {
                (now, waited) = (now + HELD_MIN, waited + 1);
            }
            waits.push(waited);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(absences.is_known(&"object") && !absences.is_known(&"another"));
        absences.found(&"object");
        absences.note("object", now);
        assert!(!absences.is_held(&"object", now + HELD_MIN));
        absences.note("object", now);
        absences.release();
        assert!(!absences.is_held(&"object", now));
        absences.note("object", now);
        assert!(absences.is_held(&"object", now + HELD_MIN * 3), "it is as absent as before");
    }

    #[test]
    fn the_record_is_bounded_and_forgets_what_may_be_asked_for_first() {
        let now = start();
        let mut absences = Absences::default();
        for n in 0..=ABSENCES_MAX {
            absences.note(n, now + Duration::from_millis(u64::try_from(n).unwrap()));
        }
        assert_eq!(absences.0.len(), ABSENCES_MAX);
        assert!(!absences.is_known(&0) && absences.is_known(&ABSENCES_MAX));
    }
}
