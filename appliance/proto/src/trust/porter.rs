//! The box's side of enrolment: who may become a member now, and who has tried.
//!
//! ```text
//! slip     opened ── proof ──▶ approved          any message about a slip uses it up, right or wrong
//! code     opened ── share ──▶ exchange ── proof ──▶ approved     three exchanges, then closed
//! request  asked ── nonce ──▶ shown ── a person ──▶ approved | denied
//! ```
//! What is approved is certified by the caller, who has to have the state on disk first.
//!
//! - A slip or code lets one newcomer in, once; both end by themselves.
//! - Nothing is approved but on the channel on which it was proven.
//! - A box is never approved here: head office certifies boxes.
//! - Everything that is kept is bounded; whoever fails too often has to wait.
//! - Every ending is an [`Event`], in order, for the audit.

mod book;
mod codes;
mod event;
mod failures;
mod requests;
mod slips;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::proof::{self, Channel};
use super::words::{Ask, Bytes32, Granted};
use super::{Kind, MemberName, Secret};
use crate::problem::Code;
use crate::time::Timestamp;
pub use book::{Counts, StoredSlip};
use codes::{Session, Window};
pub use event::{Event, Way};
use failures::Failures;
pub use requests::{RequestId, Shown, Waiting};
use slips::OpenSlip;
pub use slips::SlipEnd;

use super::slip::SlipId;

/// The roles of the exchange about a code.
pub(super) const CODE_ROLES: &[u8] = b"storebox terminal -> storebox box";
/// Events that wait to be taken; beyond that the oldest goes.
const EVENTS_MAX: usize = 256;

/// What a person lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Which kind.
    pub kind: Kind,
    /// Only under this name; none: whatever free name it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<MemberName>,
    /// Whether it may take the place of a member of that name.
    #[serde(default)]
    pub replace: bool,
    /// Who lets it in.
    pub by: String,
}

/// Why a newcomer is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// No such slip, or it was used.
    #[error("this slip is not open: it was used, or never was")]
    SlipUnknown,
    /// Too late.
    #[error("this slip or code has expired")]
    Expired,
    /// Nobody has opened the window.
    #[error("no code is open on this box")]
    Closed,
    /// The secret was another one, or the channel was.
    #[error("the proof is wrong; this attempt is used up")]
    Proof,
    /// The exchange was not begun on this channel.
    #[error("no exchange was begun on this connection")]
    NotBegun,
    /// The slip or code is for another kind or name.
    #[error("this slip or code is for another kind of member or another name")]
    OtherMember,
    /// Head office certifies boxes.
    #[error("boxes are certified by head office, not by enrolment")]
    Box,
    /// Too much is under way.
    #[error("too many wait already")]
    Full,
    /// This address has failed too often.
    #[error("too many failed attempts from this address; wait a minute")]
    TooOften,
    /// A person said no.
    #[error("a person has denied this request")]
    Denied,
    /// The request is not known (any more).
    #[error("no such request waits")]
    RequestUnknown,
}

impl Refused {
    /// What a box answers.
    pub fn code(self) -> Code {
        match self {
            Self::SlipUnknown | Self::Closed | Self::NotBegun | Self::RequestUnknown => {
                Code::EnrolmentClosed
            }
            Self::Expired => Code::EnrolmentExpired,
            Self::Proof => Code::EnrolmentProof,
            Self::OtherMember | Self::Box | Self::Denied => Code::EnrolmentDenied,
            Self::Full | Self::TooOften => Code::EnrolmentLimited,
        }
    }
}

/// A newcomer that may be certified now.
#[derive(Debug)]
pub struct Approved {
    /// What it asked for.
    pub ask: Ask,
    /// Whether it may take the place of a member of that name.
    pub replace: bool,
    /// Who let it in.
    pub by: String,
    /// How.
    pub way: Way,
    key: Secret<32>,
    channel: Channel,
}

impl Approved {
    /// The grant with the box's proof.
    pub fn grant(&self, grant: String) -> Granted {
        let proof = proof::of_box(&self.key, &self.channel, &grant);
        Granted { grant, proof }
    }
}

/// The machine.
#[derive(Debug, Default)]
pub struct Porter {
    slips: BTreeMap<SlipId, OpenSlip>,
    /// Slips whose time was over, the latest last.
    expired: VecDeque<SlipId>,
    window: Option<Window>,
    sessions: BTreeMap<Channel, Session>,
    requests: BTreeMap<RequestId, Waiting>,
    failures: Failures,
    events: VecDeque<Event>,
}

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
pub struct From {
    /// The address, for counting failures.
    pub address: IpAddr,
    /// The channel.
    pub channel: Channel,
}

impl Porter {
    /// What has happened since the last call, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends what has expired.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.expire_slips(now);
        self.expire_codes(now);
        self.expire_requests(now);
        self.failures.expire(now);
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let slips = self.slips.values().map(|slip| slip.until);
        let window = self.window.iter().map(|window| window.until);
        let sessions = self.sessions.values().map(|session| session.until);
        let requests = self.requests.values().map(|request| request.until);
        slips.chain(window).chain(sessions).chain(requests).min()
    }

    fn say(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Refuses, remembers it against the address, and tells the audit.
    fn refuse(&mut self, from: From, way: Way, why: Refused, now: Timestamp) -> Refused {
        self.failures.note(from.address, now);
        self.say(Event::Refused { way, why, address: from.address, at: now });
        why
    }

    fn check_patience(&mut self, from: From, way: Way, now: Timestamp) -> Result<(), Refused> {
        if self.failures.is_too_often(from.address, now) {
            self.say(Event::Refused {
                way,
                why: Refused::TooOften,
                address: from.address,
                at: now,
            });
            return Err(Refused::TooOften);
        }
        Ok(())
    }

    fn approve_member(
        &mut self,
        from: From,
        way: Way,
        wish: &Wish,
        ask: Ask,
        key: Secret<32>,
        now: Timestamp,
    ) -> Approved {
        self.say(Event::Approved {
            way,
            kind: ask.kind,
            name: ask.name.clone(),
            key: ask.key.fingerprint(),
            by: wish.by.clone(),
            address: from.address,
            at: now,
        });
        let (replace, by) = (wish.replace, wish.by.clone());
        Approved { ask, replace, by, way, key, channel: from.channel }
    }
}

/// Whether what is asked is what was opened.
fn check_ask(wish: &Wish, ask: &Ask) -> Result<(), Refused> {
    if ask.kind == Kind::Box {
        return Err(Refused::Box);
    }
    let is_other_name = wish.name.as_ref().is_some_and(|name| *name != ask.name);
    if wish.kind != ask.kind || is_other_name {
        return Err(Refused::OtherMember);
    }
    Ok(())
}

/// A code as people type it, with spaces or dashes.
pub(super) fn digits(code: &str) -> String {
    code.chars().filter(char::is_ascii_digit).collect()
}

/// Whether the proof of a newcomer is right.
fn is_proven(key: &Secret<32>, from: From, ask: &Ask, proof: &Bytes32) -> bool {
    proof::is_same(&proof::of_newcomer(key, &from.channel, ask), proof)
}
