//! Where newcomers come in, over TLS only: by slip, by code, by request; and where members renew.
//!
//! Anybody may knock: what is proven, and on which channel, is decided by the rules of enrolment.
//! A member is entered among the clients of this box before it is told that it is one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use storebox_proto::limits::JOIN_BYTES_MAX;
use storebox_proto::problem::Code;
use storebox_proto::trust::porter::From;
use storebox_proto::trust::words::{Ask, Granted};
use storebox_proto::trust::{Approved, Kind};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use super::rings::Rings;
use super::shown::Arrival;
use crate::blocking::beside;
use crate::terminal::access::{self, Access, AccessError};
use crate::trust::porch::{Porch, PorchError};
use crate::trust::tls::{Presented, Secured};
use crate::{env, logging};

/// The door and the clients of the box.
#[derive(Clone)]
pub struct Entrance {
    /// The rules.
    pub porch: Porch,
    /// Who is in.
    pub access: Access,
    /// The sealing keys of the site.
    pub rings: Rings,
}

/// The routes of this file.
pub fn routes(entrance: Entrance) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(by_slip))
        .routes(routes!(by_share))
        .routes(routes!(by_code))
        .routes(routes!(by_request))
        .routes(routes!(by_nonce))
        .routes(routes!(answered))
        .routes(routes!(renew))
        .routes(routes!(root))
        .with_state(entrance)
}

/// Enrols with a slip: `{slip, ask: {kind, name, key}, proof}`.
#[utoipa::path(post, path = "/enrol/v1/slip", tag = "enrolment", request_body = Value,
    responses((status = 200, description = "The grant with the box's proof.", body = Value)))]
async fn by_slip(
    State(entrance): State<Entrance>,
    arrival: Option<Extension<Arrival>>,
    Message(body): Message,
) -> Result<Response, Refusal> {
    let (from, message) = (from(arrival)?, entrance.read(&body)?);
    entrance.let_in(move |porch| porch.by_slip(from, message)).await
}

/// Begins the exchange about a code: `{share}` for `{share}`.
#[utoipa::path(post, path = "/enrol/v1/code/share", tag = "enrolment", request_body = Value,
    responses((status = 200, description = "The box's share.", body = Value)))]
async fn by_share(
    State(entrance): State<Entrance>,
    arrival: Option<Extension<Arrival>>,
    Message(body): Message,
) -> Result<Response, Refusal> {
    let (from, message) = (from(arrival)?, entrance.read(&body)?);
    let answer = entrance.aside(move |porch| porch.by_share(from, &message)).await?;
    Ok(Json(answer).into_response())
}

/// Ends the exchange about a code: `{ask, proof}`.
#[utoipa::path(post, path = "/enrol/v1/code/proof", tag = "enrolment", request_body = Value,
    responses((status = 200, description = "The grant with the box's proof.", body = Value)))]
async fn by_code(
    State(entrance): State<Entrance>,
    arrival: Option<Extension<Arrival>>,
    Message(body): Message,
) -> Result<Response, Refusal> {
    let (from, message) = (from(arrival)?, entrance.read(&body)?);
    entrance.let_in(move |porch| porch.by_code(from, message)).await
}

/// Asks a person to be let in: `{ask, commitment}` for `{nonce}`.
#[utoipa::path(post, path = "/enrol/v1/request", tag = "enrolment", request_body = Value,
    responses((status = 200, description = "The box's nonce.", body = Value)))]
async fn by_request(
    State(entrance): State<Entrance>,
    arrival: Option<Extension<Arrival>>,
    Message(body): Message,
) -> Result<Response, Refusal> {
    let (from, message) = (from(arrival)?, entrance.read(&body)?);
    let answer = entrance.aside(move |porch| porch.by_request(from, message)).await?;
    Ok(Json(answer).into_response())
}

/// Shows the nonce that the request committed to; from now on the box shows the number.
#[utoipa::path(post, path = "/enrol/v1/request/nonce", tag = "enrolment", request_body = Value,
    responses((status = 200, description = "A person can compare the numbers.", body = Value)))]
async fn by_nonce(
    State(entrance): State<Entrance>,
    arrival: Option<Extension<Arrival>>,
    Message(body): Message,
) -> Result<Response, Refusal> {
    let (from, message) = (from(arrival)?, entrance.read(&body)?);
    entrance.aside(move |porch| porch.by_nonce(from, &message)).await?;
    Ok(Json(Value::Null).into_response())
}

/// Whether the person has answered: the grant, or `null` while it waits.
#[utoipa::path(post, path = "/enrol/v1/request/answer", tag = "enrolment",
    responses((status = 200, description = "The grant, or null.", body = Value)))]
async fn answered(
    State(entrance): State<Entrance>,
    arrival: Option<Extension<Arrival>>,
) -> Result<Response, Refusal> {
    let from = from(arrival)?;
    match entrance.aside(move |porch| porch.fetch(from)).await? {
        Some(approved) => entrance.let_in(move |_| Ok(approved)).await,
        None => Ok(Json(Value::Null).into_response()),
    }
}

/// Certifies a member again under its own key: `{kind, name, key}` for a grant.
#[utoipa::path(post, path = "/enrol/v1/renewal", tag = "enrolment", request_body = Value,
    responses((status = 200, description = "The grant.", body = Value)))]
async fn renew(
    State(entrance): State<Entrance>,
    arrival: Option<Extension<Arrival>>,
    Message(body): Message,
) -> Result<Response, Refusal> {
    let ask: Ask = entrance.read(&body)?;
    let secured = secured(arrival)?.1;
    let known = match &secured.presented {
        Presented::Member(known) => known.clone(),
        Presented::Nothing => {
            return Err(Refusal::new(Code::Unauthenticated, "show the certificate to be renewed"));
        }
        Presented::Bad(objection) => {
            return Err(Refusal::new(objection.code(), objection.to_string()));
        }
    };
    if entrance.porch.has_struck(&known) {
        return Err(Refusal::new(Code::Revoked, "the key of this certificate was struck off"));
    }
    let member = &known.member;
    if ask.key.fingerprint() != known.key() || (ask.kind, &ask.name) != (member.kind, &member.name)
    {
        return Err(Refusal::new(Code::Forbidden, "a member renews itself under its own key"));
    }
    let kind = kind_of(member.kind);
    let may = entrance.access.certified(kind, member.name.as_str(), known.key(), env::timestamp());
    match may {
        Ok(()) | Err(access::Stranger::Unknown) => {}
        Err(access::Stranger::Revoked) => {
            return Err(Refusal::new(Code::Revoked, "this member was revoked at this box"));
        }
        Err(access::Stranger::Namesake) => return Err(super::shown::namesake()),
    }
    let rings = entrance.rings.of(member.kind, &member.site);
    let grant = entrance.aside(move |porch| porch.renew(&known, ask.key, rings)).await?;
    Ok(Json(grant).into_response())
}

/// The certificate of head office as PEM, for people who install it; believe it only after comparing its fingerprint.
#[utoipa::path(get, path = "/enrol/v1/root.pem", tag = "enrolment",
    responses((status = 200, description = "PEM.", body = String, content_type = "application/x-pem-file")))]
async fn root(State(entrance): State<Entrance>) -> Response {
    let kind = [("content-type", "application/x-pem-file")];
    (kind, entrance.porch.root_pem()).into_response()
}

/// The bytes of a message, of which no more is taken in than one may have: anybody may knock.
struct Message(Bytes);

impl FromRequest<Entrance> for Message {
    type Rejection = Refusal;

    async fn from_request(request: Request, entrance: &Entrance) -> Result<Self, Refusal> {
        secured(request.extensions().get().cloned().map(Extension))?;
        let body = taken_in(request.into_body()).await;
        body.map(Self).inspect_err(|_| entrance.porch.count_unread())
    }
}

/// Reads no further than a message may go.
async fn taken_in(body: Body) -> Result<Bytes, Refusal> {
    axum::body::to_bytes(body, JOIN_BYTES_MAX).await.map_err(|_| {
        let detail = format!("a message of enrolment may have {JOIN_BYTES_MAX} bytes");
        Refusal::new(Code::TooLarge, detail)
    })
}

impl Entrance {
    /// The message; one that is too long or no message is a newcomer refused, like any other.
    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Refusal> {
        parse(body).inspect_err(|_| self.porch.count_unread())
    }

    /// Enters and certifies whom the rules let in.
    async fn let_in(
        &self,
        step: impl FnOnce(&Porch) -> Result<Approved, PorchError> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let (porch, access, rings) = (self.porch.clone(), self.access.clone(), self.rings.clone());
        let granted = beside(move || -> Result<Granted, Refusal> {
            let approved = step(&porch).map_err(refuse)?;
            enter(&access, &approved)?;
            let rings = rings.of(approved.ask.kind, porch.site());
            porch.grant(&approved, rings).map_err(refuse)
        });
        Ok(Json(granted.await?).into_response())
    }

    /// The rules write files, which must not hold up other requests.
    async fn aside<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Porch) -> Result<T, PorchError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let porch = self.porch.clone();
        beside(move || step(&porch)).await.map_err(refuse)
    }
}

fn enter(access: &Access, approved: &Approved) -> Result<(), Refusal> {
    let Ask { kind, name, key } = &approved.ask;
    if *kind == Kind::Peer {
        return Ok(());
    }
    let (kind, key) = (kind_of(*kind), key.fingerprint());
    let entered = access.enrol(kind, name.as_str(), key, approved.replace, env::timestamp());
    entered.map_err(|error| match &error {
        AccessError::Exists(_) | AccessError::KeyTaken => {
            Refusal::new(Code::TerminalExists, error.to_string())
        }
        AccessError::Full => Refusal::new(Code::StateConflict, error.to_string()),
        AccessError::Name(_)
        | AccessError::Unknown(_)
        | AccessError::File { .. }
        | AccessError::Content { .. }
        | AccessError::Version { .. } => {
            tracing::error!(error = logging::chain(&error), "a member could not be entered");
            Refusal::new(Code::Internal, "the list of clients could not be written")
        }
    })
}

fn kind_of(kind: Kind) -> access::Kind {
    match kind {
        Kind::Terminal => access::Kind::Terminal,
        Kind::Box | Kind::Peer => access::Kind::Node,
    }
}

fn secured(
    arrival: Option<Extension<Arrival>>,
) -> Result<(std::net::IpAddr, Arc<Secured>), Refusal> {
    let arrival = arrival.and_then(|Extension(arrival)| Some((arrival.address, arrival.secured?)));
    arrival.ok_or_else(|| Refusal::new(Code::TlsRequired, "enrolment happens over TLS only"))
}

fn from(arrival: Option<Extension<Arrival>>) -> Result<From, Refusal> {
    let (address, secured) = secured(arrival)?;
    Ok(From { address, channel: secured.channel })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let code = match error.classify() {
            serde_json::error::Category::Data => Code::FieldInvalid,
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => Code::BodyMalformed,
        };
        Refusal::new(code, error.to_string())
    })
}

/// A refusal of the rules in the words of the wire.
pub(super) fn refuse(error: PorchError) -> Refusal {
    let code = match &error {
        PorchError::Refused(why) => why.code(),
        PorchError::Paper(_) | PorchError::Mint(_) | PorchError::Vault(_) => {
            tracing::error!(error = logging::chain(&error), "enrolment does not work");
            return Refusal::new(Code::Internal, "the papers of this box cannot be used");
        }
    };
    Refusal::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::StatusCode;
    use futures_util::{StreamExt, stream};

    use super::*;

    const PIECE: usize = 1024;

    /// A body of so many pieces, and how many of them were asked for.
    fn pieces(count: usize) -> (Body, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let pieces = stream::iter(0..count).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(&[b' '; PIECE]))
        });
        (Body::from_stream(pieces), asked)
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_refused_and_not_read_to_its_end() {
        let (body, asked) = pieces(JOIN_BYTES_MAX / PIECE);
        assert_eq!(taken_in(body).await.unwrap().len(), JOIN_BYTES_MAX);
        assert_eq!(asked.load(Ordering::Relaxed), JOIN_BYTES_MAX / PIECE);
        let (body, asked) = pieces(usize::MAX);
        let refused = taken_in(body).await.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(asked.load(Ordering::Relaxed), JOIN_BYTES_MAX / PIECE + 1);
    }
}
