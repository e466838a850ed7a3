//! How figures are printed: aligned, with median and spread.

use std::time::Duration;

use crate::demo::say;

/// One line of the report.
pub(super) fn row(what: &str, value: &str) {
    say(&format!("{what:<46} {value}"));
}

/// The median and the 99th percentile of some times.
pub(super) fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return "nothing measured".to_owned() };
    let at = |percent: usize| times[last * percent / 100].as_secs_f64() * 1e6;
    format!("median {:.1} µs, 99 % within {:.1} µs", at(50), at(99))
}

/// Bytes as megabytes.
pub(super) fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// Seconds.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_for_people() {
        let mut times: Vec<Duration> = (0..=100).map(Duration::from_micros).collect();
        assert_eq!(spread(&mut times), "median 50.0 µs, 99 % within 99.0 µs");
        assert_eq!(spread(&mut []), "nothing measured");
        assert_eq!(megabytes(12_345_678), "12.3 MB");
    }
}
