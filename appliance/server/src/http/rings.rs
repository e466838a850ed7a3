//! Sealing keys for members, each on its own channel over TLS: nobody copies a key by hand, and a new generation
//! arrives by itself.
//!
//! A box gets the rings of its site, and the one that all boxes of the chain share (that of head office's own site);
//! a till gets that of the tills of its site.
//! A peer gets none: it carries what is sealed and does not read it.

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use storebox_proto::ids::SiteId;
use storebox_proto::problem::Code;
use storebox_proto::seal::{RingState, Scope};
use storebox_proto::trust::{Kind, Member};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Refusal;
use super::shown::Arrival;
use crate::env;
use crate::seal::Seals;
use crate::trust::tls::Presented;

/// Paths that are answered by what the connection has shown, and in the open even where everything else is sealed:
/// whoever asks has no keys yet.
pub(super) const PATHS: [&str; 2] = ["/sync/v1/rings", "/v1/terminal/rings"];

/// The rings, and where this box belongs.
#[derive(Debug, Clone)]
pub struct Rings {
    /// All of them.
    pub seals: Seals,
    /// The site of this box.
    pub site: SiteId,
}

/// The routes of this file.
pub fn routes(rings: Rings) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(of_box)).routes(routes!(of_till)).with_state(rings)
}

impl Rings {
    /// The rings that this member may have.
    pub(super) fn of(&self, kind: Kind, site: &SiteId) -> Vec<RingState> {
        let now = env::believable();
        let scopes: &[Scope] = match kind {
            Kind::Box => &[Scope::Boxes, Scope::Tills],
            Kind::Terminal => &[Scope::Tills],
            Kind::Peer => &[],
        };
        let own = scopes.iter().flat_map(|scope| self.seals.share(site, *scope, now));
        let mut rings: Vec<_> = own.collect();
        if kind == Kind::Box && *site != self.site {
            rings.extend(self.seals.share(&self.site, Scope::Boxes, now));
        }
        rings
    }
}

/// The rings of the box that asks, with their keys; over TLS with its certificate only.
#[utoipa::path(get, path = "/sync/v1/rings", tag = "seals",
    responses((status = 200, description = "The rings; keep them secret.", body = Vec<Object>),
              (status = 421, description = "tls_required")))]
async fn of_box(
    State(rings): State<Rings>,
    arrival: Option<Extension<Arrival>>,
) -> Result<Response, Refusal> {
    answer(&rings, arrival, Kind::Box)
}

/// The rings of the till that asks, with their keys; over TLS with its certificate only.
#[utoipa::path(get, path = "/v1/terminal/rings", tag = "terminal",
    responses((status = 200, description = "The rings; keep them secret.", body = Vec<Object>),
              (status = 421, description = "tls_required")))]
async fn of_till(
    State(rings): State<Rings>,
    arrival: Option<Extension<Arrival>>,
) -> Result<Response, Refusal> {
    answer(&rings, arrival, Kind::Terminal)
}

fn answer(
    rings: &Rings,
    arrival: Option<Extension<Arrival>>,
    kind: Kind,
) -> Result<Response, Refusal> {
    let member = member(arrival)?;
    if member.kind != kind {
        return Err(Refusal::new(Code::Forbidden, "these keys are not for a member of this kind"));
    }
    let no_store = [(CACHE_CONTROL, "no-store")];
    Ok((no_store, Json(rings.of(kind, &member.site))).into_response())
}

/// Who asks, by the certificate of the connection itself: a token may have been taken from somebody.
fn member(arrival: Option<Extension<Arrival>>) -> Result<Member, Refusal> {
    let secured = arrival.and_then(|Extension(arrival)| arrival.secured);
    match secured.as_deref().map(|secured| &secured.presented) {
        Some(Presented::Member(known)) => Ok(known.member.clone()),
        Some(Presented::Nothing | Presented::Bad(_)) | None => {
            let detail = "keys are handed over on a TLS connection with the member's certificate";
            Err(Refusal::new(Code::TlsRequired, detail))
        }
    }
}
