//! Visits: head office looks at a box for a while, because somebody at the store has let it.
//!
//! ```text
//!         a person at the store               its time, a person, the box stops
//! Closed ───────────────────────▶ Open until ───────────────────────────────────▶ Closed
//! ```
//!
//! The box calls head office and asks for questions; each names one of a fixed list of things to look at, and the box
//! answers with what its own operator would see there.
//! Nothing is forwarded: no port, no shell, no path that is not on the list, nothing that changes anything, and nothing
//! that has a customer in it.
//!
//! Invariants:
//! - a visit has an end in time, and lives in memory: a box that starts anew has none;
//! - the box judges every question itself, whatever head office thinks is allowed;
//! - who opened it, what was asked by whom and how it ended is told to the audit.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::order::{Order, Unfit, person};
use crate::time::Timestamp;

/// What may be looked at: paths of the box's own HTTP that are only read, and its doctor.
pub const SIGHTS: [&str; 10] = [
    "/v1/status",
    "/v1/chronicle",
    "/v1/devices",
    "/v1/drill",
    "/v1/log",
    "/v1/log/lines",
    "/v1/settings",
    "/v1/visit",
    "/metrics",
    DOCTOR,
];
/// Not a path of the box: its doctor examines it.
pub const DOCTOR: &str = "/doctor";

/// Something that head office wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its number.
    pub id: u64,
    /// One of [`SIGHTS`].
    pub path: String,
    /// Who asks.
    pub by: String,
}

/// What the box shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    /// Of which question.
    pub id: u64,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What the body is.
    pub content_type: String,
    /// The body.
    pub body: String,
}

/// The box calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// For how many seconds it is open; 0: it is closed.
    pub open_s: u64,
    /// What was asked for before.
    #[serde(default)]
    pub sights: Vec<Sight>,
    /// It is closed, and head office may ask it to open.
    #[serde(default, skip_serializing_if = "is_false")]
    pub waits: bool,
}

/// Head office answers a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What it wants to see.
    pub questions: Vec<Question>,
    /// It would like to be let in; only a box whose configuration allows that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knock: Option<Order>,
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// `opened`, `looked`, `refused` or `closed`.
    pub what: String,
    /// Who; empty: nobody, it was time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Until when, or at what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A visit that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Who opened it.
    pub by: String,
    /// When.
    pub since: Timestamp,
    /// When it closes by itself.
    pub until: Timestamp,
    ends: Instant,
}

/// The machine.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    open: Option<Open>,
    entries: VecDeque<Entry>,
}

impl Visit {
    /// Opens it, or gives an open one another end.
    pub fn open(&mut self, order: &Order, at: Timestamp, now: Instant) -> Result<(), Unfit> {
        let by = order.check()?;
        let ms = at.unix_ms().saturating_add(i64::from(order.seconds) * 1000);
        let until = Timestamp::from_unix_ms(ms);
        let ends = now + Duration::from_secs(order.seconds.into());
        self.tell(at, "opened", &by, &format!("until {until}"));
        self.open = Some(Open { by, since: at, until, ends });
        Ok(())
    }

    /// Closes it; false if it is closed.
    pub fn close(&mut self, by: &str, at: Timestamp, now: Instant) -> bool {
        self.handle_timeout(at, now);
        let was_open = self.open.take().is_some();
        if was_open {
            self.tell(at, "closed", &person(by), "");
        }
        was_open
    }

    /// Closes it if it is time.
    pub fn handle_timeout(&mut self, at: Timestamp, now: Instant) {
        if self.open.as_ref().is_some_and(|open| now >= open.ends) {
            self.open = None;
            self.tell(at, "closed", "", "its time was over");
        }
    }

    /// What is open now.
    pub fn state(&self, now: Instant) -> Option<&Open> {
        self.open.as_ref().filter(|open| now < open.ends)
    }

    /// What nobody has closed yet, its time or a person.
    pub fn open_one(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// Whether a question may be answered; either way it is told to the audit.
    pub fn admit(&mut self, question: &Question, at: Timestamp, now: Instant) -> bool {
        self.handle_timeout(at, now);
        let may = self.open.is_some() && is_sight(&question.path);
        let what = if may { "looked" } else { "refused" };
        self.tell(at, what, &person(&question.by), &person(&question.path));
        may
    }

    /// The next line for the audit.
    pub fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    fn tell(&mut self, at: Timestamp, what: &str, by: &str, detail: &str) {
        let (what, by, detail) = (what.to_owned(), by.to_owned(), detail.to_owned());
        self.entries.push_back(Entry { at, what, by, detail });
    }
}

impl Open {
    /// How long it is still open.
    pub fn left(&self, now: Instant) -> Duration {
        self.ends.saturating_duration_since(now)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Whether a path is one that may be looked at.
pub fn is_sight(path: &str) -> bool {
    SIGHTS.contains(&path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the zero of these tests")]
    fn start() -> Instant {
        Instant::now()
    }

    fn order(seconds: u32, by: &str) -> Order {
        Order { seconds, by: by.to_owned() }
    }

    fn question(path: &str) -> Question {
        Question { id: 1, path: path.to_owned(), by: "olga".to_owned() }
    }

    const AT: Timestamp = Timestamp::from_unix_ms(0);

    #[test]
    fn nothing_is_seen_before_somebody_opens_and_after_its_time() {
        let (zero, mut visit) = (start(), Visit::default());
        assert!(!visit.admit(&question("/v1/status"), AT, zero));
        visit.open(&order(600, "anna"), AT, zero).unwrap();
        let later = zero + Duration::from_secs(599);
        assert!(visit.admit(&question("/v1/status"), AT, later));
        assert_eq!(visit.state(later).unwrap().left(later), Duration::from_secs(1));
        let over = zero + Duration::from_secs(600);
        assert!(visit.state(over).is_none() && !visit.admit(&question("/v1/status"), AT, over));
        assert!(!visit.close("anna", AT, over), "it closed by itself");
        let told: Vec<_> = std::iter::from_fn(|| visit.poll_entry()).map(|one| one.what).collect();
        assert_eq!(told, ["refused", "opened", "looked", "closed", "refused"]);
    }

    #[test]
    fn only_what_is_on_the_list_is_seen() {
        let (zero, mut visit) = (start(), Visit::default());
        visit.open(&order(600, "anna"), AT, zero).unwrap();
        for path in ["/v1/outbox", "/v1/status/", "/v1/status?x=1", "/v1/models/User/records", ""] {
            assert!(!visit.admit(&question(path), AT, zero), "{path}");
        }
        assert!(SIGHTS.iter().all(|path| visit.admit(&question(path), AT, zero)));
        assert!(visit.close("ben", AT, zero));
        assert!(!visit.admit(&question("/v1/status"), AT, zero));
    }

    #[test]
    fn a_visit_without_an_end_or_a_name_is_refused() {
        let (zero, mut visit) = (start(), Visit::default());
        let mut open = |seconds, by: &str| visit.open(&order(seconds, by), AT, zero);
        assert_eq!(open(0, "anna"), Err(Unfit::Seconds));
        assert_eq!(open(1, " "), Err(Unfit::By));
    }

    proptest! {
        #[test]
        fn what_is_open_ends(acts in prop::collection::vec((0u8..4, 1u32..14_400, 0u64..9000), 0..40)) {
            let (zero, mut visit, mut now) = (start(), Visit::default(), start());
            for (act, seconds, wait) in acts {
                now += Duration::from_secs(wait);
                match act {
                    0 => visit.open(&order(seconds, "anna"), AT, now).unwrap(),
                    1 => { visit.close("ben", AT, now); }
                    2 => { visit.admit(&question("/v1/status"), AT, now); }
                    _ => visit.handle_timeout(AT, now),
                }
            }
            prop_assert!(zero <= now);
            prop_assert!(visit.state(now + Duration::from_secs(4 * 3600)).is_none());
        }
    }
}
