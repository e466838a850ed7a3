//! A device to oneself: while a till has the lease, nobody else weighs on that scale or shows on that display.
//!
//! A lease ends by itself, because a till that is switched off gives nothing back.
//! Without any lease a device is everybody's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use storebox_proto::ids::DeviceId;
use storebox_proto::problem::{Code, Problem};

/// A lease never lasts longer without being asked for again.
pub const LEASE_MAX: Duration = Duration::from_secs(120);

/// Who has which device; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Leases(Arc<Mutex<BTreeMap<DeviceId, Lease>>>);

#[derive(Debug)]
struct Lease {
    owner: String,
    ends: Instant,
}

impl Leases {
    /// Gives a device to this owner for so long, or longer if the owner has it already.
    pub fn take(
        &self,
        device: &DeviceId,
        owner: &str,
        length: Duration,
        now: Instant,
    ) -> Result<Duration, Problem> {
        self.check(device, owner, now)?;
        let length = length.min(LEASE_MAX);
        let lease = Lease { owner: owner.to_owned(), ends: now + length };
        self.lock().insert(device.clone(), lease);
        Ok(length)
    }

    /// Gives a device back; somebody else's lease stays.
    pub fn give_back(&self, device: &DeviceId, owner: &str) {
        let mut leases = self.lock();
        if leases.get(device).is_some_and(|lease| lease.owner == owner) {
            leases.remove(device);
        }
    }

    /// Whether this owner may use a device now.
    pub fn check(&self, device: &DeviceId, owner: &str, now: Instant) -> Result<(), Problem> {
        let mut leases = self.lock();
        leases.retain(|_, lease| lease.ends > now);
        match leases.get(device).filter(|lease| lease.owner != owner) {
            None => Ok(()),
            Some(lease) => {
                let left = lease.ends.saturating_duration_since(now).as_secs() + 1;
                let detail =
                    format!("{} has {device} for {left} more seconds at most", lease.owner);
                Err(Problem::new(Code::DeviceLeased, detail))
            }
        }
    }

    /// A map of leases is whole even if a thread died while holding it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_keeps_others_away_until_it_ends_or_is_given_back() {
        let (leases, scale, now) =
            (Leases::default(), "scale-1".parse().unwrap(), crate::env::instant());
        let length = Duration::from_secs(10);
        assert_eq!(leases.take(&scale, "till-1", length, now), Ok(length));
        assert_eq!(leases.check(&scale, "till-2", now).unwrap_err().code, Code::DeviceLeased);
        assert_eq!(leases.check(&scale, "till-1", now), Ok(()));
        assert_eq!(leases.check(&scale, "till-2", now + length), Ok(()));
        assert_eq!(leases.take(&scale, "till-2", Duration::MAX, now), Ok(LEASE_MAX));
        leases.give_back(&scale, "till-1");
        assert!(leases.check(&scale, "till-1", now).is_err());
        leases.give_back(&scale, "till-2");
        assert_eq!(leases.check(&scale, "till-1", now), Ok(()));
    }
}
