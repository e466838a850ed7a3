//! The effects that everything else takes as arguments: clock, randomness.
//!
//! Nothing else in the box reads a clock or a random device, so what decides can be tested with any time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use storebox_proto::time::{ClockConfidence, Timestamp};

/// Wall time before this is not believed: the day this version was begun (2026-11-01).
const BUILD_FLOOR_MS: i64 = 1_793_491_200_000;

/// The highest floor seen so far, in milliseconds since 1970.
static FLOOR_MS: AtomicI64 = AtomicI64::new(BUILD_FLOOR_MS);

/// The monotonic clock, for waiting.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Microseconds of the kernel's monotonic clock, for another process of this machine.
pub fn monotonic_us() -> u128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| Duration::from(now).as_micros())
}

/// The wall clock, for people and company systems.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn timestamp() -> Timestamp {
    let ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    };
    Timestamp::from_unix_ms(ms)
}

/// Raises the floor to a time that is proven to have passed (a signed head, a stored receipt).
pub fn raise_clock_floor(proven: Timestamp) {
    FLOOR_MS.fetch_max(proven.unix_ms(), Ordering::Relaxed);
}

/// How far [`timestamp`] may be believed; nothing here asks a time server.
pub fn clock_confidence() -> ClockConfidence {
    if timestamp().unix_ms() < FLOOR_MS.load(Ordering::Relaxed) {
        ClockConfidence::Wrong
    } else {
        ClockConfidence::Plausible
    }
}

/// The wall clock, or the floor that it cannot be before.
pub fn believable() -> Timestamp {
    timestamp().max(Timestamp::from_unix_ms(FLOOR_MS.load(Ordering::Relaxed)))
}

/// The newest time that is proven to have come; the wall clock may be before it, or far beyond.
pub fn proven() -> Timestamp {
    Timestamp::from_unix_ms(FLOOR_MS.load(Ordering::Relaxed))
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random device always answers once booted");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_floor_is_known_to_be_wrong() {
        let far = Timestamp::from_unix_ms(timestamp().unix_ms() + 86_400_000_000);
        raise_clock_floor(far);
        assert_eq!(clock_confidence(), ClockConfidence::Wrong);
        FLOOR_MS.store(BUILD_FLOOR_MS, Ordering::Relaxed);
        assert_eq!(clock_confidence(), ClockConfidence::Plausible);
    }
}
