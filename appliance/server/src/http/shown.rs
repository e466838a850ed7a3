//! What a connection has shown of its client, and whom that makes of it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::Method;
use storebox_proto::ids::{InvalidName, NodeId};
use storebox_proto::problem::Code;
use storebox_proto::time::Timestamp;
use storebox_proto::trust::Kind;

use super::auth::{Door, door};
use super::identity::Identity;
use super::problem::Refusal;
use crate::terminal::access::{self, Access, Stranger};
use crate::trust::judge::Known;
use crate::trust::tls::{Presented, Secured, Tls};
use crate::{env, logging};

/// What a peer may read: it carries masterdata and nothing else.
const PEER_READS: [&str; 2] = ["/sync/v1/feeds", "/sync/v1/objects/"];

/// A connection over TLS.
#[derive(Debug, Clone)]
pub struct Shown {
    tls: Tls,
    secured: Arc<Secured>,
}

/// How a request has come in, for handlers of enrolment.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// From where.
    pub address: IpAddr,
    /// The channel and what was shown on it; nothing on plain HTTP.
    pub secured: Option<Arc<Secured>>,
}

impl Shown {
    /// What was shown on this connection.
    pub fn new(tls: Tls, secured: Secured) -> Self {
        Self { tls, secured: Arc::new(secured) }
    }

    /// A till that another box of the site has enrolled is entered here when it comes for the first time.
    pub(super) async fn enter(&self, access: &Access) {
        let Some(known) = self.member().filter(|known| known.member.kind == Kind::Terminal) else {
            return;
        };
        let (access, name, key) = (access.clone(), known.member.name.to_string(), known.key());
        let entered = tokio::task::spawn_blocking(move || {
            access.meet(access::Kind::Terminal, &name, key, env::timestamp()).err()
        });
        if let Ok(Some(error)) = entered.await {
            tracing::error!(error = logging::chain(&error), "a till could not be entered");
        }
    }

    /// For handlers.
    pub(super) fn secured(&self) -> Arc<Secured> {
        Arc::clone(&self.secured)
    }

    /// The member, if a good certificate was shown.
    pub(super) fn member(&self) -> Option<&Known> {
        match &self.secured.presented {
            Presented::Member(known) => Some(known),
            Presented::Nothing | Presented::Bad(_) => None,
        }
    }

    /// Whether it is this box of the site, and still believed.
    pub(super) fn is_box(&self, node: &NodeId) -> bool {
        self.member().is_some_and(|known| {
            let member = &known.member;
            let is_it = member.kind == Kind::Box && member.name.as_str() == node.as_str();
            is_it && !self.tls.has_struck(known)
        })
    }

    /// Who that is; nobody without a certificate, and also with a bad one where anybody may come.
    ///
    /// `token` says whose token came with it: a terminal that was let in here by a token shows with that token that it
    /// is the one of its name.
    pub(super) fn identity(
        &self,
        access: &Access,
        method: &Method,
        path: &str,
        now: Timestamp,
        token: impl FnOnce() -> Option<Identity>,
    ) -> Result<Option<Identity>, Refusal> {
        let known = match &self.secured.presented {
            Presented::Nothing => return Ok(None),
            Presented::Bad(_) if door(path) == Door::Open => return Ok(None),
            Presented::Bad(objection) => {
                return Err(Refusal::new(objection.code(), objection.to_string()));
            }
            Presented::Member(known) => known,
        };
        if self.tls.has_struck(known) {
            if door(path) == Door::Open {
                return Ok(None);
            }
            return Err(Refusal::new(Code::Revoked, "the key of this certificate was struck off"));
        }
        identity_of(known, access, method, path, now, token)
    }
}

fn identity_of(
    known: &Known,
    access: &Access,
    method: &Method,
    path: &str,
    now: Timestamp,
    token: impl FnOnce() -> Option<Identity>,
) -> Result<Option<Identity>, Refusal> {
    let name = known.member.name.as_str();
    let (kind, identity) = match known.member.kind {
        Kind::Terminal => (access::Kind::Terminal, name.parse().map(Identity::Terminal)),
        Kind::Box => (access::Kind::Node, name.parse().map(Identity::Node)),
        Kind::Peer => {
            let reads = [Method::GET, Method::HEAD].contains(method)
                && PEER_READS.iter().any(|may| path.starts_with(may));
            if door(path) != Door::Open && !reads {
                let detail = "a peer reads masterdata and nothing else";
                return Err(Refusal::new(Code::Forbidden, detail));
            }
            return name.parse().map(Identity::Node).map(Some).map_err(internal);
        }
    };
    let identity = identity.map_err(internal)?;
    match access.certified(kind, name, known.key(), now) {
        Ok(()) | Err(Stranger::Unknown) => Ok(Some(identity)),
        Err(Stranger::Revoked) => {
            let detail = "this member was revoked at this box, or another took its place";
            Err(Refusal::new(Code::Revoked, detail))
        }
        Err(Stranger::Namesake) if token().is_some_and(|of_token| of_token == identity) => {
            Ok(Some(identity))
        }
        Err(Stranger::Namesake) if door(path) == Door::Open => Ok(None),
        Err(Stranger::Namesake) => Err(namesake()),
    }
}

/// What a certificate hears whose name belongs to another terminal here.
pub(super) fn namesake() -> Refusal {
    let detail = "a terminal of this name was let in here by a token, which did not come with this \
                  certificate: revoke that one, or enrol this one in its place";
    Refusal::new(Code::TerminalExists, detail)
}

/// Names of members keep a stricter rule than names of terminals and nodes.
fn internal(error: InvalidName) -> Refusal {
    Refusal::new(Code::Internal, error.to_string())
}
