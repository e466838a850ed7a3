//! When a terminal asks for a fresh token: by the preference, and for ever.
//!
//! The original's timer stopped for good after three failures, and the terminal was refused some minutes later.

/// Where the preference says nothing.
const MINUTES_DEFAULT: u64 = 30;
/// The least that the preference may ask for.
const MINUTES_MIN: u64 = 10;
/// The first wait after a failure; doubled each time, up to the usual time.
const RETRY_MIN_MS: u64 = 5000;

/// The wait before the next refresh; `spread` is any number from 0 to 255 that differs between terminals.
pub fn refresh_after_ms(minutes: Option<u64>, failures: u32, spread: u8) -> u64 {
    let usual = minutes.unwrap_or(MINUTES_DEFAULT).clamp(MINUTES_MIN, 1 << 20) * 60_000;
    let whole = match failures {
        0 => usual,
        failures => (RETRY_MIN_MS << (failures - 1).min(20)).min(usual),
    };
    whole - whole / 4 * u64::from(spread) / 255
}
