//! What the audit hears.

use std::net::IpAddr;

use super::super::{Fingerprint, Kind, MemberName};
use super::Refused;
use super::slips::SlipEnd;
use crate::time::Timestamp;

/// How somebody tries to come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With a slip.
    Slip,
    /// With a typed code.
    Code,
    /// With a request that a person answers.
    Request,
}

impl Way {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slip => "slip",
            Self::Code => "code",
            Self::Request => "request",
        }
    }
}

/// Something that a person may want to know later; never with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A person has opened a way in.
    Opened {
        /// Which way.
        way: Way,
        /// Who.
        by: String,
        /// Until when.
        until: Timestamp,
        /// When.
        at: Timestamp,
    },
    /// A newcomer may be certified.
    Approved {
        /// Which way.
        way: Way,
        /// What it is.
        kind: Kind,
        /// Its name.
        name: MemberName,
        /// Its key.
        key: Fingerprint,
        /// Who let it in.
        by: String,
        /// Where it came from.
        address: IpAddr,
        /// When.
        at: Timestamp,
    },
    /// Somebody was refused.
    Refused {
        /// Which way.
        way: Way,
        /// Why.
        why: Refused,
        /// Where it came from.
        address: IpAddr,
        /// When.
        at: Timestamp,
    },
    /// A way in has ended unused.
    Ended {
        /// Which way.
        way: Way,
        /// Why.
        why: SlipEnd,
        /// When.
        at: Timestamp,
    },
    /// Somebody asks to be let in; a person has to look.
    Asked {
        /// What it wants to be.
        kind: Kind,
        /// Its name.
        name: MemberName,
        /// Where it came from.
        address: IpAddr,
        /// When.
        at: Timestamp,
    },
}
