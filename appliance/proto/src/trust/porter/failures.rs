//! Who has failed how often lately.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::limits::{JOIN_ADDRESSES_MAX, JOIN_FAILURES_MAX, JOIN_FAILURES_WITHIN};
use crate::time::Timestamp;

/// Failures by address, within a window that begins with the first.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<IpAddr, (u32, Timestamp)>);

impl Failures {
    pub(super) fn note(&mut self, address: IpAddr, now: Timestamp) {
        self.expire(now);
        if !self.0.contains_key(&address) && self.0.len() >= JOIN_ADDRESSES_MAX {
            let oldest = self.0.iter().min_by_key(|(_, (_, since))| *since).map(|(who, _)| *who);
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
        let entry = self.0.entry(address).or_insert((0, now));
        entry.0 = entry.0.saturating_add(1);
    }

    pub(super) fn is_too_often(&mut self, address: IpAddr, now: Timestamp) -> bool {
        self.expire(now);
        self.0.get(&address).is_some_and(|(count, _)| *count >= JOIN_FAILURES_MAX)
    }

    pub(super) fn expire(&mut self, now: Timestamp) {
        let within = i64::try_from(JOIN_FAILURES_WITHIN.as_millis()).unwrap_or(i64::MAX);
        // A clock that was set back must not lock anybody out for longer.
        self.0.retain(|_, (_, since)| (0..within).contains(&(now.unix_ms() - since.unix_ms())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn failures_are_forgotten_after_a_while_and_their_number_is_bounded() {
        let mut failures = Failures::default();
        let at = Timestamp::from_unix_ms;
        let bad = IpAddr::from([10, 0, 0, 9]);
        for _ in 0..JOIN_FAILURES_MAX {
            assert!(!failures.is_too_often(bad, at(5)));
            failures.note(bad, at(5));
        }
        assert!(failures.is_too_often(bad, at(6)));
        assert!(!failures.is_too_often(IpAddr::from([10, 0, 0, 8]), at(6)));
        assert!(!failures.is_too_often(bad, at(60_005)));
        for n in 0..2 * JOIN_ADDRESSES_MAX {
            let address = Ipv4Addr::from(u32::try_from(n).unwrap());
            failures.note(IpAddr::V4(address), at(60_006));
        }
        assert_eq!(failures.0.len(), JOIN_ADDRESSES_MAX);
    }
}
