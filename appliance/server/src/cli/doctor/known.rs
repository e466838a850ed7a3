//! What the running box knows of its sources and its certificate, judged for whoever stands before it.

use storebox_proto::time::Timestamp;

use super::{bad, good};
use crate::status::{CERTIFY, Finding, Level, TrustStatus};
use crate::tiers::SourceStatus;

/// Nothing renews the certificate of a box by itself: closer than this to its end, somebody has to.
const CERTIFICATE_LEFT_MIN_MS: i64 = 60 * 24 * 3600 * 1000;

/// Every source that is not used, with why and when it is looked at again.
pub(super) fn sources(sources: &[SourceStatus]) -> Vec<Finding> {
    if sources.is_empty() {
        return vec![good("sources", "No source is configured: this box has only its own data")];
    }
    let down: Vec<_> = sources.iter().filter(|source| !source.up).map(away).collect();
    if down.is_empty() {
        let used = sources.iter().filter(|source| source.chosen);
        let used: Vec<_> =
            used.map(|source| format!("{} for {}", source.id, source.service)).collect();
        return vec![good("sources", format!("All sources answer; in use: {}", used.join(", ")))];
    }
    down
}

fn away(source: &SourceStatus) -> Finding {
    let fault = source.fault.as_deref().unwrap_or("does not answer");
    let again = source.probe_in_s.map_or(String::new(), |s| format!(", is looked at in {s} s"));
    let (id, service, to) = (&source.id, &source.service, &source.to);
    let text = format!("Source {id} ({to}) is not used for {service}: it {fault}{again}");
    let advice = match fault {
        "does not let this box in" => {
            "Give it a token that is in force there: `storebox node add` prints one."
        }
        "gave something forged or damaged" => {
            "Find out who stands there: what it gave was refused and nothing of it is used."
        }
        "sends elsewhere, which is not followed" => {
            "Configure the address that it sends to, if that is meant."
        }
        _ => "Check its address and the line to it; the box goes back to it by itself.",
    };
    Finding::new(Level::Notice, "source_down", text).advise(advice)
}

/// Whether the box's own papers will do for a while.
pub(super) fn certificate(trust: &TrustStatus, now: Timestamp) -> Vec<Finding> {
    if trust.member.is_empty() {
        return vec![good("certificate", "This box has no certificate and serves no TLS")];
    }
    let Some(expires) = trust.expires.as_deref().and_then(|at| at.parse::<Timestamp>().ok()) else {
        let text = format!("Nobody can tell until when {} is certified", trust.member);
        let advice = "Have head office certify this box again (`storebox site issue`).";
        return vec![bad("certificate_unknown", text).advise(advice)];
    };
    let (member, left) = (&trust.member, expires.unix_ms() - now.unix_ms());
    if left <= 0 {
        let text = format!("The certificate of {member} has expired at {expires}");
        let advice = format!("Check the clock first. {CERTIFY}");
        return vec![bad("certificate_expired", text).advise(advice)];
    }
    if left < CERTIFICATE_LEFT_MIN_MS {
        let text = format!("The certificate of {member} ends at {expires}");
        return vec![Finding::new(Level::Notice, "certificate_ends", text).advise(CERTIFY)];
    }
    vec![good("certificate", format!("{member} is certified until {expires}"))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(id: &str, fault: Option<&str>) -> SourceStatus {
        let status = json!({"id": id, "kind": "primary", "to": "http://main", "priority": 10,
            "service": "feeds", "chosen": fault.is_none(), "up": fault.is_none(), "fault": fault,
            "opened": 0, "probeInS": 7});
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_source_that_is_not_used_is_named_with_why_and_what_to_do() {
        assert_eq!(sources(&[])[0].level, Level::Good);
        let well = sources(&[source("main", None)]);
        assert!(well[0].text.contains("main for feeds"), "{well:?}");
        for fault in [
            "does not answer",
            "does not let this box in",
            "gave something forged or damaged",
            "sends elsewhere, which is not followed",
        ] {
            let found = sources(&[source("main", None), source("second", Some(fault))]);
            assert_eq!((found.len(), found[0].code.as_str()), (1, "source_down"));
            assert!(found[0].text.contains(fault) && found[0].text.contains("in 7 s"), "{found:?}");
            assert!(found[0].advice.is_some());
        }
    }

    #[test]
    fn a_certificate_that_ends_is_told_before_and_after() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let code = |member: &str, expires: Option<&str>| {
            let (member, expires) = (member.to_owned(), expires.map(str::to_owned));
            let found = certificate(&TrustStatus { member, expires, ..Default::default() }, now);
            assert!(found[0].level == Level::Good || found[0].advice.is_some(), "{found:?}");
            found[0].code.clone()
        };
        assert_eq!(code("", None), "certificate");
        assert_eq!(code("box-1.store", Some("2027-11-22T10:00:00Z")), "certificate");
        assert_eq!(code("box-1.store", Some("2026-11-25T10:00:00Z")), "certificate_ends");
        assert_eq!(code("box-1.store", Some("2026-11-21T10:00:00Z")), "certificate_expired");
        assert_eq!(code("box-1.store", Some("soon")), "certificate_unknown");
    }
}
