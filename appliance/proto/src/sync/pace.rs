//! How fast and when masterdata comes over a line that others need too.
//!
//! A bucket that fills at the allowed rate: whoever wants bytes takes them out and is told how long to wait first.
//! It may go below zero by one object, so that an object larger than the bucket still comes, only later.
//! A window is a time of day in UTC; one that ends before it begins goes over midnight.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What may come at once after a pause.
const BURST: Duration = Duration::from_secs(2);
const DAY_MINUTES: u32 = 24 * 60;

/// The bucket; no rate means no limit.
#[derive(Debug, Clone)]
pub struct Pace {
    bytes_per_s: u64,
    /// Bytes that are there; below zero: taken in advance.
    level: f64,
    at: Option<Instant>,
}

impl Pace {
    /// At most so many bytes in a second; 0 is no limit.
    pub fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s, level: 0.0, at: None }
    }

    /// Takes so many bytes and tells how long to wait before they are asked for.
    #[expect(clippy::cast_precision_loss, reason = "bytes of one object, far below 2^52")]
    pub fn take(&mut self, bytes: u64, now: Instant) -> Duration {
        if self.bytes_per_s == 0 {
            return Duration::ZERO;
        }
        let rate = self.bytes_per_s as f64;
        let most = rate * BURST.as_secs_f64();
        let since = self.at.map_or(BURST, |at| now.saturating_duration_since(at));
        self.level = (self.level + rate * since.as_secs_f64()).min(most);
        self.at = Some(now);
        let wait = Duration::from_secs_f64((-self.level).max(0.0) / rate);
        self.level -= bytes as f64;
        wait
    }
}

/// A time of day in UTC, written `22:00-06:00`; empty: always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window(Option<(u32, u32)>);

/// The text is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a time of day in UTC such as 22:00-06:00, or empty")]
pub struct InvalidWindow;

impl Window {
    /// Whether it is open at any hour.
    pub fn is_always(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it is open.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let Some((from, to)) = self.0 else { return true };
        let minute = now.unix_ms().div_euclid(60_000).rem_euclid(i64::from(DAY_MINUTES));
        let minute = u32::try_from(minute).unwrap_or(0);
        if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }
}

impl FromStr for Window {
    type Err = InvalidWindow;
    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let (from, to) = text.split_once('-').ok_or(InvalidWindow)?;
        match (minute(from), minute(to)) {
            (Some(from), Some(to)) if from != to => Ok(Self(Some((from, to)))),
            (Some(_) | None, _) => Err(InvalidWindow),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((from, to)) = self.0 else { return Ok(()) };
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl TryFrom<String> for Window {
    type Error = InvalidWindow;
    fn try_from(text: String) -> Result<Self, InvalidWindow> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
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
    fn over_a_while_no_more_comes_than_is_allowed() {
        let (mut pace, zero) = (Pace::new(10_000), start());
        let (mut now, mut bytes) = (zero, 0);
        while now < zero + Duration::from_secs(60) {
            now += pace.take(7_000, now);
            bytes += 7_000;
        }
        assert!((590_000..640_000).contains(&bytes), "{bytes}");
        assert_eq!(Pace::new(0).take(u64::MAX, zero), Duration::ZERO);
    }

    #[test]
    fn an_object_larger_than_the_bucket_comes_and_the_next_one_waits() {
        let (mut pace, now) = (Pace::new(1000), start());
        assert_eq!(pace.take(10_000, now), Duration::ZERO);
        assert_eq!(pace.take(1, now), Duration::from_secs(8));
    }

    #[test]
    fn a_window_may_go_over_midnight_and_nonsense_is_refused() {
        let at = |hour: i64, minute: i64| {
            Timestamp::from_unix_ms(1_795_305_600_000 + (hour * 60 + minute) * 60_000)
        };
        let night: Window = "22:00-06:00".parse().unwrap();
        let open = |hour, minute| night.is_open(at(hour, minute));
        assert!(open(22, 0) && open(23, 59) && open(0, 0) && open(5, 59));
        assert!(!open(6, 0) && !open(21, 59));
        let noon: Window = "12:00-13:00".parse().unwrap();
        assert!(noon.is_open(at(12, 30)) && !noon.is_open(at(13, 0)));
        assert!(Window::default().is_open(at(3, 0)));
        assert_eq!(night.to_string().parse(), Ok(night));
        for bad in ["22", "22:00", "24:00-01:00", "1:60-2:00", "1:00-1:00", "a:b-c:d", "-"] {
            assert_eq!(bad.parse::<Window>(), Err(InvalidWindow), "{bad}");
        }
    }
}
