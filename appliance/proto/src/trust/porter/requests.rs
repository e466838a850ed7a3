//! Requests: a newcomer asks, a person compares two numbers and answers.
//!
//! The newcomer commits to its nonce before it sees the box's, so that nobody in between can search for nonces that
//! make both numbers equal: one try in a hundred million, and each needs a person.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::super::proof::{self, Channel};
use super::super::words::{Ask, Bytes32, Nonce, Request};
use super::super::{Fingerprint, Kind, MemberName};
use super::{Approved, Event, From, Porter, Refused, Way, Wish};
use crate::limits::{JOIN_PATIENCE, JOIN_REQUESTS_MAX};
use crate::time::Timestamp;

/// Tells requests apart; grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u32);

/// A request that waits.
#[derive(Debug)]
pub struct Waiting {
    ask: Ask,
    from: (IpAddr, Channel),
    commitment: Bytes32,
    nonce: Bytes32,
    revealed: Option<Bytes32>,
    answer: Option<Answer>,
    asked: Timestamp,
    pub(super) until: Timestamp,
}

#[derive(Debug, Clone)]
enum Answer {
    Yes(Wish),
    No,
}

/// A request as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Which.
    pub id: RequestId,
    /// What it wants to be.
    pub kind: Kind,
    /// Under which name.
    pub name: MemberName,
    /// Its key.
    pub key: Fingerprint,
    /// Where it comes from.
    pub address: IpAddr,
    /// What the newcomer shows too.
    pub number: String,
    /// Since when it waits.
    pub asked: Timestamp,
    /// Whether it was answered and only has to be fetched.
    pub answered: bool,
}

impl Porter {
    /// The first message of a request; the nonce is the box's, 32 random bytes.
    pub fn handle_request(
        &mut self,
        from: From,
        message: Request,
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<Nonce, Refused> {
        self.check_patience(from, Way::Request, now)?;
        self.expire_requests(now);
        let Request { ask, commitment } = message;
        if ask.kind == Kind::Box {
            return Err(self.refuse(from, Way::Request, Refused::Box, now));
        }
        let here = self.requests.values().filter(|request| request.from.0 == from.address).count();
        if self.requests.len() >= JOIN_REQUESTS_MAX || here >= JOIN_REQUESTS_MAX / 4 {
            return Err(self.refuse(from, Way::Request, Refused::Full, now));
        }
        self.requests.retain(|_, request| request.from.1 != from.channel);
        let id = RequestId(self.requests.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let patience = i64::try_from(JOIN_PATIENCE.as_millis()).unwrap_or(i64::MAX);
        let nonce = Bytes32(nonce);
        let waiting = Waiting {
            ask,
            from: (from.address, from.channel),
            commitment,
            nonce,
            revealed: None,
            answer: None,
            asked: now,
            until: Timestamp::from_unix_ms(now.unix_ms().saturating_add(patience)),
        };
        self.requests.insert(id, waiting);
        Ok(Nonce { nonce })
    }

    /// The second message of a request; from now on a person can answer it.
    pub fn handle_nonce(
        &mut self,
        from: From,
        message: &Nonce,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.expire_requests(now);
        let Some((id, waiting)) = self.request_on(from) else {
            return Err(self.refuse(from, Way::Request, Refused::RequestUnknown, now));
        };
        let wanted = proof::commitment(&from.channel, &waiting.ask, &message.nonce);
        if waiting.revealed.is_some() || !proof::is_same(&wanted, &waiting.commitment) {
            self.requests.remove(&id);
            return Err(self.refuse(from, Way::Request, Refused::Proof, now));
        }
        waiting.revealed = Some(message.nonce);
        let (kind, name) = (waiting.ask.kind, waiting.ask.name.clone());
        self.say(Event::Asked { kind, name, address: from.address, at: now });
        Ok(())
    }

    /// The newcomer asks whether it was answered; nothing while it was not.
    pub fn handle_fetch(
        &mut self,
        from: From,
        now: Timestamp,
    ) -> Result<Option<Approved>, Refused> {
        self.expire_requests(now);
        let Some((id, waiting)) = self.request_on(from) else {
            return Err(self.refuse(from, Way::Request, Refused::RequestUnknown, now));
        };
        let (Some(nonce), Some(_)) = (waiting.revealed, &waiting.answer) else { return Ok(None) };
        let waiting = self.requests.remove(&id).expect("it was just found");
        match waiting.answer {
            Some(Answer::Yes(wish)) => {
                let key = proof::key_of_request(&nonce, &waiting.nonce);
                let ask = waiting.ask;
                Ok(Some(self.approve_member(from, Way::Request, &wish, ask, key, now)))
            }
            Some(Answer::No) | None => Err(self.refuse(from, Way::Request, Refused::Denied, now)),
        }
    }

    /// Requests that a person can compare, oldest first.
    pub fn requests(&self) -> Vec<Shown> {
        let shown = self.requests.iter().filter_map(|(id, waiting)| {
            let revealed = waiting.revealed?;
            let (address, channel) = waiting.from;
            Some(Shown {
                id: *id,
                kind: waiting.ask.kind,
                name: waiting.ask.name.clone(),
                key: waiting.ask.key.fingerprint(),
                address,
                number: proof::number(&channel, &waiting.ask, &revealed, &waiting.nonce),
                asked: waiting.asked,
                answered: waiting.answer.is_some(),
            })
        });
        shown.collect()
    }

    /// A person lets it in, having compared the numbers.
    pub fn approve(&mut self, id: RequestId, by: String, replace: bool) -> Result<(), Refused> {
        let waiting = self.shown_request(id)?;
        let (kind, name) = (waiting.ask.kind, Some(waiting.ask.name.clone()));
        waiting.answer = Some(Answer::Yes(Wish { kind, name, replace, by }));
        Ok(())
    }

    /// A person sends it away.
    pub fn deny(&mut self, id: RequestId) -> Result<(), Refused> {
        self.shown_request(id)?.answer = Some(Answer::No);
        Ok(())
    }

    fn shown_request(&mut self, id: RequestId) -> Result<&mut Waiting, Refused> {
        let waiting = self.requests.get_mut(&id).ok_or(Refused::RequestUnknown)?;
        match waiting.revealed {
            Some(_) => Ok(waiting),
            None => Err(Refused::RequestUnknown),
        }
    }

    fn request_on(&mut self, from: From) -> Option<(RequestId, &mut Waiting)> {
        let found = self.requests.iter_mut().find(|(_, request)| request.from.1 == from.channel);
        found.map(|(id, waiting)| (*id, waiting))
    }

    pub(super) fn expire_requests(&mut self, now: Timestamp) {
        self.requests.retain(|_, request| request.until > now);
    }
}
