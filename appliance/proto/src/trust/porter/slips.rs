//! Slips: opened by a person, used once by whoever holds one.

use super::super::proof;
use super::super::slip::SlipId;
use super::super::words::BySlip;
use super::super::{Kind, Secret};
use super::{Approved, Event, From, Porter, Refused, Way, Wish, check_ask, is_proven};
use crate::limits::SLIPS_MAX;
use crate::time::Timestamp;

/// A slip that nobody has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenSlip {
    pub(super) wish: Wish,
    pub(super) secret: Secret<16>,
    pub(super) until: Timestamp,
}

/// Why a way in has ended unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlipEnd {
    /// Its time is over.
    Expired,
    /// A person has closed it.
    Closed,
    /// Too many wrong attempts.
    Exhausted,
}

impl SlipEnd {
    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::Exhausted => "exhausted",
        }
    }
}

impl Porter {
    /// Opens a slip; the caller prints it.
    pub fn open_slip(
        &mut self,
        wish: Wish,
        id: SlipId,
        secret: Secret<16>,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.handle_timeout(now);
        if wish.kind == Kind::Box {
            return Err(Refused::Box);
        }
        if self.slips.len() >= SLIPS_MAX || self.slips.contains_key(&id) {
            return Err(Refused::Full);
        }
        self.say(Event::Opened { way: Way::Slip, by: wish.by.clone(), until, at: now });
        self.slips.insert(id, OpenSlip { wish, secret, until });
        Ok(())
    }

    /// A newcomer with a slip; the slip is used up, whatever comes of it.
    pub fn handle_slip(
        &mut self,
        from: From,
        message: BySlip,
        now: Timestamp,
    ) -> Result<Approved, Refused> {
        self.check_patience(from, Way::Slip, now)?;
        let BySlip { slip, ask, proof } = message;
        let is_late = self.expired.contains(&slip);
        let unknown = if is_late { Refused::Expired } else { Refused::SlipUnknown };
        let open = self.slips.remove(&slip).ok_or(unknown);
        let judged = open.and_then(|open| {
            if open.until <= now {
                return Err(Refused::Expired);
            }
            let key = proof::key_of_slip(&open.secret);
            if !is_proven(&key, from, &ask, &proof) {
                return Err(Refused::Proof);
            }
            check_ask(&open.wish, &ask)?;
            Ok((open.wish, key))
        });
        match judged {
            Ok((wish, key)) => Ok(self.approve_member(from, Way::Slip, &wish, ask, key, now)),
            Err(why) => Err(self.refuse(from, Way::Slip, why, now)),
        }
    }

    /// Closes all slips that nobody has used; returns how many.
    pub fn close_slips(&mut self, now: Timestamp) -> usize {
        let open = std::mem::take(&mut self.slips).len();
        for _ in 0..open {
            self.say(Event::Ended { way: Way::Slip, why: SlipEnd::Closed, at: now });
        }
        open
    }

    pub(super) fn expire_slips(&mut self, now: Timestamp) {
        let over: Vec<_> =
            self.slips.iter().filter(|(_, slip)| slip.until <= now).map(|(id, _)| *id).collect();
        for id in over {
            self.slips.remove(&id);
            // Whoever shows it later is told that it is too old, and not that it never was.
            if self.expired.len() >= SLIPS_MAX {
                self.expired.pop_front();
            }
            self.expired.push_back(id);
            self.say(Event::Ended { way: Way::Slip, why: SlipEnd::Expired, at: now });
        }
    }
}
