//! How often callers may ask: a bucket for each, which fills at a steady rate and holds two seconds' worth.
//!
//! Known callers have a bucket by name, so that one till in a loop does not slow the others down.
//! Strangers have one by address, which only refusals for who they are empty: guessing tokens is slow, and a till
//! behind the same address that knows its token pays nothing until the address is out of credit.
//! Programs on this machine are not strangers; the operator's socket is never counted.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use storebox_proto::problem::Code;

use super::auth::Caller;
use super::identity::Identity;
use super::problem::Refusal;
use super::server::Peer;
use crate::config::Http;

/// Buckets of one kind; beyond that, full ones are forgotten first, and then all.
const BUCKETS_MAX: usize = 20_000;
/// A bucket holds this many seconds of its rate.
const BURST_S: u32 = 2;

/// All buckets; cheap to clone.
#[derive(Debug, Clone)]
pub struct Rates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    callers: Buckets<Identity>,
    strangers: Buckets<IpAddr>,
}

#[derive(Debug)]
struct Buckets<K> {
    /// Time that one request costs; nothing if they cost nothing.
    cost: Option<Duration>,
    /// When each bucket will be full again.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl Rates {
    /// Rates as configured.
    pub fn new(settings: &Http) -> Self {
        let callers = Buckets::new(settings.requests_per_s_max);
        let strangers = Buckets::new(settings.strangers_per_s_max);
        Self(Arc::new(Inner { callers, strangers }))
    }

    /// Takes a request out of the bucket of a known caller.
    pub(super) fn check(&self, caller: &Caller, now: Instant) -> Result<(), Refusal> {
        match &caller.identity {
            None | Some(Identity::Operator) => Ok(()),
            Some(known @ (Identity::Terminal(_) | Identity::Node(_))) => {
                self.0.callers.take(known, now).then_some(()).ok_or_else(refuse)
            }
        }
    }

    /// Refuses an address that was refused too often of late.
    pub(super) fn check_stranger(&self, peer: Peer, now: Instant) -> Result<(), Refusal> {
        match stranger(peer) {
            Some(address) if self.0.strangers.is_empty(&address, now) => Err(refuse()),
            Some(_) | None => Ok(()),
        }
    }

    /// An address was refused for who it is.
    pub(super) fn count_stranger(&self, peer: Peer, now: Instant) {
        if let Some(address) = stranger(peer) {
            self.0.strangers.take(&address, now);
        }
    }
}

fn stranger(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Network(from) if !peer.is_this_machine() => Some(from.ip().to_canonical()),
        Peer::Network(_) | Peer::Control => None,
    }
}

fn refuse() -> Refusal {
    Refusal::new(Code::RateExceeded, "asked more often than this caller may; wait a second")
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(per_s_max: u32) -> Self {
        let cost = (per_s_max > 0).then(|| Duration::from_secs(1) / per_s_max);
        Self { cost, full_at: Mutex::default() }
    }

    /// Takes one out, unless the bucket is empty.
    fn take(&self, key: &K, now: Instant) -> bool {
        let Some(cost) = self.cost else { return true };
        let mut all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= BUCKETS_MAX && !all.contains_key(key) {
            all.retain(|_, full_at| *full_at > now);
            if all.len() >= BUCKETS_MAX {
                all.clear();
            }
        }
        let full_at = all.get(key).map_or(now, |full_at| (*full_at).max(now)) + cost;
        if full_at > now + Duration::from_secs(1) * BURST_S {
            return false;
        }
        all.insert(key.clone(), full_at);
        true
    }

    fn is_empty(&self, key: &K, now: Instant) -> bool {
        let Some(cost) = self.cost else { return false };
        let all = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).is_some_and(|full_at| *full_at + cost > now + Duration::from_secs(1) * BURST_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env;

    fn caller(name: &str) -> Caller {
        Caller { identity: Some(Identity::Terminal(name.parse().unwrap())), ..Caller::default() }
    }

    #[test]
    fn a_till_in_a_loop_is_slowed_down_and_its_neighbour_is_not() {
        let rates = Rates::new(&Http { requests_per_s_max: 10, ..Http::default() });
        let now = env::instant();
        let passed = (0..100).filter(|_| rates.check(&caller("till-1"), now).is_ok()).count();
        assert_eq!(passed, 20, "two seconds' worth");
        assert!(rates.check(&caller("till-2"), now).is_ok());
        let later = now + Duration::from_secs(1);
        let passed = (0..100).filter(|_| rates.check(&caller("till-1"), later).is_ok()).count();
        assert_eq!(passed, 10, "one second's worth");
        let operator = Caller { identity: Some(Identity::Operator), ..Caller::default() };
        assert!((0..100).all(|_| rates.check(&operator, now).is_ok()));
    }

    #[test]
    fn who_guesses_tokens_is_shut_out_for_a_while_and_this_machine_never() {
        let rates = Rates::new(&Http::default());
        let now = env::instant();
        let guesser = Peer::Network("192.0.2.7:999".parse().unwrap());
        let near = Peer::Network("127.0.0.1:999".parse().unwrap());
        for _ in 0..1000 {
            rates.count_stranger(guesser, now);
            rates.count_stranger(near, now);
        }
        let refused = rates.check_stranger(guesser, now).unwrap_err();
        assert_eq!(refused.0.code, Code::RateExceeded);
        assert!(rates.check_stranger(near, now).is_ok());
        let other = Peer::Network("192.0.2.8:999".parse().unwrap());
        assert!(rates.check_stranger(other, now).is_ok());
        assert!(rates.check_stranger(guesser, now + Duration::from_secs(2)).is_ok());
    }

    #[test]
    fn buckets_are_bounded() {
        let buckets = Buckets::new(1);
        let now = env::instant();
        for number in 0..3 * BUCKETS_MAX {
            buckets.take(&number, now);
        }
        assert!(buckets.full_at.lock().unwrap().len() <= BUCKETS_MAX);
    }
}
