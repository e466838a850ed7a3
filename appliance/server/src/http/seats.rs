//! Connections are counted before anything is heard on them: in all, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Http;

/// The connections that may be open at once.
#[derive(Debug)]
pub(super) struct Seats {
    taken: Mutex<Taken>,
    max: usize,
    per_address_max: usize,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place for one connection, given back on drop.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    address: IpAddr,
}

impl Seats {
    pub(super) fn new(limits: &Http) -> Self {
        let (max, per_address_max) = (limits.connections_max, limits.connections_per_address_max);
        Self { taken: Mutex::default(), max, per_address_max }
    }

    pub(super) fn take(seats: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let mut taken = seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.total >= seats.max || here >= seats.per_address_max {
            return None;
        }
        taken.total += 1;
        taken.by_address.insert(address, here + 1);
        Some(Seat { seats: Arc::clone(seats), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        match taken.by_address.get_mut(&self.address) {
            Some(here) if *here > 1 => *here -= 1,
            Some(_) | None => {
                taken.by_address.remove(&self.address);
            }
        }
    }
}
