//! Refusals, counted by code and logged: one line each, but a flood of them is a number and not a full disk.

use std::sync::Mutex;
use std::sync::PoisonError;

use axum::http::HeaderValue;
use storebox_proto::problem::Code;

use super::server::Peer;
use super::traffic::Traffic;
use crate::env;

/// Lines of one code in a second; what is beyond is counted and told with the next line.
const LINES_PER_S_MAX: u32 = 5;

/// Goes with an answer whose refusal is counted and logged already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told;

/// What was refused so far.
#[derive(Debug)]
pub(super) struct Refused(Mutex<Vec<Tally>>);

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    count: u64,
    second: u64,
    lines: u32,
}

impl Default for Refused {
    fn default() -> Self {
        Self(Mutex::new(vec![Tally::default(); Code::ALL.len()]))
    }
}

impl Refused {
    pub(super) fn count(&self, code: Code, now_s: u64) -> bool {
        let Some(at) = Code::ALL.iter().position(|one| *one == code) else { return false };
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = &mut tallies[at];
        tally.count += 1;
        if tally.second != now_s {
            (tally.second, tally.lines) = (now_s, 0);
        }
        tally.lines = tally.lines.saturating_add(1);
        tally.lines <= LINES_PER_S_MAX
    }

    pub(super) fn counts(&self) -> Vec<(Code, u64)> {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = Code::ALL.iter().zip(tallies.iter());
        all.filter(|(_, tally)| tally.count > 0).map(|(code, tally)| (*code, tally.count)).collect()
    }
}

/// Counts a refusal, and logs it if it is about who somebody is, what they may, or how much they send.
pub(super) fn tell(
    traffic: &Traffic,
    code: Code,
    peer: Peer,
    told: bool,
    correlation: Option<&HeaderValue>,
) {
    let now_s = u64::try_from(env::timestamp().unix_ms() / 1000).unwrap_or(0);
    // A handler has found out what the gate could not: that the caller is not who it should be.
    let told = told || disbelieve(traffic, code, peer);
    if traffic.refused(code, now_s) && is_of_trust(code) && !told {
        // Neither path nor detail: both may hold what a customer or a till said.
        let correlation = correlation.and_then(|value| value.to_str().ok());
        let from = match peer {
            Peer::Network(from) => from.ip().to_string(),
            Peer::Control => "control".to_owned(),
        };
        tracing::info!(code = code.as_str(), from, correlation, "refused");
    }
}

/// Counts a refusal among those that say something about the LAN, if it is one.
pub(super) fn disbelieve(traffic: &Traffic, code: Code, peer: Peer) -> bool {
    if !traffic.is_disbelief(code.as_str()) {
        return false;
    }
    if let Some(count) = traffic.disbelieved(code.as_str()) {
        tracing::warn!(code = code.as_str(), count, ?peer, "a caller was not believed");
    }
    true
}

fn is_of_trust(code: Code) -> bool {
    let by_word = ["token_", "login_", "seal_"];
    let others = [
        Code::Unauthenticated,
        Code::Revoked,
        Code::Forbidden,
        Code::PersonRequired,
        Code::RightMissing,
        Code::ReadOnly,
        Code::RateExceeded,
        Code::TooLarge,
        Code::Busy,
    ];
    others.contains(&code) || by_word.iter().any(|word| code.as_str().starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_whole_and_logged_in_part() {
        let refused = Refused::default();
        let logged = (0..1000).filter(|_| refused.count(Code::SealBroken, 7)).count();
        assert_eq!(logged, 5);
        assert!(refused.count(Code::SealBroken, 8), "the next second has lines of its own");
        assert!(refused.count(Code::SealReplayed, 7));
        let counts = refused.counts();
        assert!(counts.contains(&(Code::SealBroken, 1001)) && counts.len() == 2);
    }

    #[test]
    fn what_is_about_trust_is_logged_and_what_is_daily_life_is_not() {
        assert!(is_of_trust(Code::TokenExpired) && is_of_trust(Code::LoginLocked));
        assert!(!is_of_trust(Code::RecordUnknown) && !is_of_trust(Code::ScaleUnsettled));
    }
}
