//! What is to be said of a box's certificate.
//!
//! Nothing renews it by itself, and without one the other boxes of the chain refuse this one.

use storebox_proto::time::Timestamp;

use super::{Finding, Level};
use crate::status::TrustStatus;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// Days before the end from which on it is said, and from which on it is urgent.
const SOON_DAYS: i64 = 60;
const URGENT_DAYS: i64 = 7;
/// How a box gets its next certificate.
pub const CERTIFY: &str = "Have head office certify this box again: `storebox site request` here, `storebox site issue` there, `storebox site adopt` here while the service is stopped.";

pub(super) fn finding(now: Timestamp, trust: &TrustStatus) -> Option<Finding> {
    let expires: Timestamp = trust.expires.as_deref()?.parse().ok()?;
    let days = (expires.unix_ms() - now.unix_ms()).div_euclid(DAY_MS);
    if days >= SOON_DAYS {
        return None;
    }
    let level = if days < URGENT_DAYS { Level::Bad } else { Level::Notice };
    let text = match days {
        ..0 => "The certificate of this box has ended: other boxes refuse it".to_owned(),
        0 => "The certificate of this box ends today".to_owned(),
        1 => "The certificate of this box ends tomorrow".to_owned(),
        days => format!("The certificate of this box ends in {days} days"),
    };
    Some(Finding::new(level, "certificate_ends", text).advise(CERTIFY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_is_told_in_time() {
        let now = "2026-11-22T10:30:00Z".parse().unwrap();
        let told = |expires: &str| {
            let trust = TrustStatus { expires: Some(expires.to_owned()), ..TrustStatus::default() };
            finding(now, &trust).map(|finding| (finding.level, finding.text))
        };
        assert_eq!(told("2027-01-21T10:30:00Z"), None);
        let in_a_month = "The certificate of this box ends in 30 days".to_owned();
        assert_eq!(told("2026-12-22T10:31:00Z"), Some((Level::Notice, in_a_month)));
        assert_eq!(told("2026-11-25T10:31:00Z").unwrap().0, Level::Bad);
        let (level, text) = told("2026-11-22T10:29:00Z").unwrap();
        assert!(level == Level::Bad && text.contains("has ended"), "{text}");
        assert_eq!(finding(now, &TrustStatus::default()), None, "a box without one");
    }
}
