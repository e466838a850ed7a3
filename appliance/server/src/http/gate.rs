//! What a browser may be made to do: which hosts this box answers to, and which web pages may use it.
//!
//! A page whose name was turned to this box's address (DNS rebinding) names a host that the box does not have, and is
//! refused before anything else; so is a page of another origin that is not on the list.
//! Pages that the boxes next door serve are on the list by themselves, as those boxes have stated them under the secret
//! of the store: a till whose own box is gone goes on with the page that it has.
//! Whoever is known by a certificate or a token says by that who he is, whatever name he has dialled: neither travels
//! by itself with what a foreign page sends.
//! A page may send any token, but it has none that anybody knows: with a foreign host, a token counts only once it has
//! named somebody ([`Gate::is_astray`]).
//! Programs name no origin and are not concerned.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request,
};
use axum::response::IntoResponse;
use storebox_proto::problem::Code;
use storebox_proto::trust::name::SUFFIX;

use super::problem::Refusal;
use super::server::Peer;
use crate::env;
use crate::terminal::next_door::NextDoor;

const FETCH_SITE: &str = "sec-fetch-site";
const FETCH_MODE: &str = "sec-fetch-mode";
/// Asked by browsers that still speak of private networks; its successor asks the person instead.
const ASKS_PRIVATE: &str = "access-control-request-private-network";
const MAY_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");
/// What a page may send.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const HEADERS: &str =
    "authorization, content-type, if-none-match, last-event-id, storebox-api, storebox-correlation";
/// What a page may read besides the body.
const EXPOSED: &str = "etag, retry-after, link, storebox-api, storebox-correlation, storebox-epoch, storebox-excerpt, storebox-revision";
/// Seconds for which a browser remembers the answer.
const REMEMBERED_S: &str = "600";

/// The lists.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    origins: Vec<String>,
    hosts: Vec<String>,
    next_door: Option<NextDoor>,
}

/// A web page that may read the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// No page of another origin is behind the request.
    None,
    /// One of the box's own.
    Own,
    /// One on the list.
    Allowed(HeaderValue),
}

impl Gate {
    /// Pages of these origins may use the box, and it answers to these hosts besides its own.
    pub fn new(origins: &[String], hosts: impl IntoIterator<Item = String>) -> Self {
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { origins: origins.to_vec(), hosts, next_door: None }
    }

    /// Pages of the boxes next door may use it too.
    #[must_use]
    pub fn beside(self, next_door: &NextDoor) -> Self {
        Self { next_door: Some(next_door.clone()), ..self }
    }

    /// Which page is behind a request; a foreign one is refused.
    pub(super) fn check(
        &self,
        head: &request::Parts,
        peer: Peer,
        is_tls: bool,
        is_known: bool,
    ) -> Result<Page, Refusal> {
        if peer == Peer::Control {
            return Ok(Page::None);
        }
        let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
        let host = host.and_then(|host| std::str::from_utf8(host).ok());
        let shows_itself = is_known || head.headers.contains_key(header::AUTHORIZATION);
        if !shows_itself && self.is_astray(head, peer) {
            return Err(astray());
        }
        match head.headers.get(header::ORIGIN) {
            Some(origin) => self.origin(origin, host, is_tls),
            None => without_origin(&head.method, &head.headers),
        }
    }

    /// Whether a request names a host that this box does not have, so that only a member or a client may go on.
    pub(super) fn is_astray(&self, head: &request::Parts, peer: Peer) -> bool {
        let host = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
        let host = host.and_then(|host| std::str::from_utf8(host).ok());
        let is_health = ["/healthz", "/readyz"].contains(&head.uri.path());
        peer != Peer::Control && !is_health && host.is_some_and(|host| !self.is_ours(host))
    }

    fn origin(
        &self,
        origin: &HeaderValue,
        host: Option<&str>,
        is_tls: bool,
    ) -> Result<Page, Refusal> {
        let text = origin.to_str().unwrap_or_default();
        let scheme = if is_tls { "https" } else { "http" };
        let is_own = host.is_some_and(|host| text == format!("{scheme}://{host}"));
        if is_own {
            return Ok(Page::Own);
        }
        let boxes = self.next_door.as_ref();
        let is_next_door = || boxes.is_some_and(|boxes| boxes.is_page(text, env::timestamp()));
        match self.origins.iter().any(|allowed| allowed == text) || is_next_door() {
            true => Ok(Page::Allowed(origin.clone())),
            false => Err(foreign()),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) | None => host,
        };
        let name = name.to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let is_own_local = |name: &str| {
            name == "storebox.local" || (name.starts_with("storebox-") && name.ends_with(".local"))
        };
        address.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.strip_suffix(SUFFIX).is_some_and(|rest| rest.ends_with('.'))
            || is_own_local(&name)
            || self.hosts.contains(&name)
    }
}

/// A request without an origin that a browser sends on behalf of another site is refused, unless a person goes there.
fn without_origin(method: &Method, headers: &HeaderMap) -> Result<Page, Refusal> {
    let value = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    match value(FETCH_SITE) {
        None | Some(b"same-origin" | b"none") => Ok(Page::None),
        Some(_) if *method == Method::GET && value(FETCH_MODE) == Some(b"navigate") => {
            Ok(Page::None)
        }
        Some(_) => Err(foreign()),
    }
}

/// Why a host is refused.
pub(super) fn astray() -> Refusal {
    let detail = "this box has no such host name; add it to browser.hosts if it should";
    Refusal::new(Code::HostUnknown, detail)
}

fn foreign() -> Refusal {
    let detail = "a web page of another origin has sent this; add it to browser.origins if it may";
    Refusal::new(Code::OriginForeign, detail)
}

impl Page {
    /// The answer to a browser that asks before it sends; nothing for any other request.
    pub(super) fn preflight(&self, head: &request::Parts) -> Option<Response<Body>> {
        let asks = head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if head.method != Method::OPTIONS || !asks || *self == Self::None {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if head.headers.get(ASKS_PRIVATE).is_some_and(|asks| asks == "true") {
            headers.insert(MAY_PRIVATE, HeaderValue::from_static("true"));
        }
        Some(self.dress(response))
    }

    /// Lets the page read the answer, and no other.
    pub(super) fn dress(&self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        match self {
            Self::None => return response,
            Self::Own => {
                headers
                    .entry("cross-origin-resource-policy")
                    .or_insert(HeaderValue::from_static("same-origin"));
            }
            Self::Allowed(origin) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                let exposed = HeaderValue::from_static(EXPOSED);
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        headers
            .entry(header::X_CONTENT_TYPE_OPTIONS)
            .or_insert(HeaderValue::from_static("nosniff"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn gate() -> Gate {
        Gate::new(&["https://pos.example".to_owned()], ["Box.Shop.Example".to_owned()])
    }

    fn check(
        method: Method,
        headers: &[(&str, &str)],
        is_known: bool,
    ) -> Result<(Page, request::Parts), Code> {
        let mut request = Request::builder().method(method).uri("/v1/status");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let peer = Peer::Network("192.0.2.1:5".parse().unwrap());
        let page = gate().check(&head, peer, true, is_known).map_err(|refusal| refusal.0.code)?;
        Ok((page, head))
    }

    #[test]
    fn a_name_that_was_turned_to_this_box_is_refused() {
        let host = |host| check(Method::GET, &[("host", host)], false).map(|(page, _)| page);
        for ours in [
            "10.77.0.10:8443",
            "[fe80::1]:8443",
            "localhost:1",
            "box.site-0007.storebox.internal",
            "storebox-a1b2c3.local:8443",
            "box.shop.example",
        ] {
            assert_eq!(host(ours), Ok(Page::None), "{ours}");
        }
        for foreign in ["evil.example", "xstorebox.internal", "a.local", "10.0.0.1.evil.example"] {
            assert_eq!(host(foreign), Err(Code::HostUnknown), "{foreign}");
        }
        let known = [("host", "head-office:8080")];
        assert!(check(Method::GET, &known, true).is_ok(), "a member may dial any name");
        let token = [("host", "head-office:8080"), ("authorization", "Bearer x")];
        assert!(check(Method::GET, &token, false).is_ok());
    }

    #[test]
    fn a_page_of_another_origin_is_refused_and_one_on_the_list_is_named() {
        let from = |origin, known| {
            let headers = [("host", "10.0.0.1:8443"), ("origin", origin)];
            check(Method::POST, &headers, known).map(|(page, _)| page)
        };
        assert_eq!(from("https://10.0.0.1:8443", false), Ok(Page::Own));
        let pos = HeaderValue::from_static("https://pos.example");
        assert_eq!(from("https://pos.example", false), Ok(Page::Allowed(pos)));
        for foreign in
            ["https://evil.example", "null", "http://10.0.0.1:8443", "http://pos.example"]
        {
            assert_eq!(from(foreign, false), Err(Code::OriginForeign), "{foreign}");
            assert_eq!(
                from(foreign, true),
                Err(Code::OriginForeign),
                "{foreign} with a certificate"
            );
        }
    }

    #[test]
    fn a_browser_that_acts_for_another_site_is_refused_unless_a_person_goes_there() {
        let host = ("host", "10.0.0.1");
        let cross = ("sec-fetch-site", "cross-site");
        let refused = |method, headers: &[_]| check(method, headers, false).err();
        let post = refused(Method::POST, &[host, cross, ("sec-fetch-mode", "navigate")]);
        assert_eq!(post, Some(Code::OriginForeign));
        let image = refused(Method::GET, &[host, cross, ("sec-fetch-mode", "no-cors")]);
        assert_eq!(image, Some(Code::OriginForeign));
        let link = refused(Method::GET, &[host, cross, ("sec-fetch-mode", "navigate")]);
        assert_eq!(link, None);
        let own = refused(Method::POST, &[host, ("sec-fetch-site", "same-origin")]);
        assert_eq!(own, None);
    }

    #[test]
    fn a_browser_that_asks_before_is_told_what_it_may_send() {
        let asks = [
            ("host", "10.0.0.1"),
            ("origin", "https://pos.example"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-private-network", "true"),
        ];
        let (page, head) = check(Method::OPTIONS, &asks, false).unwrap();
        let answer = page.preflight(&head).unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], "https://pos.example");
        assert_eq!(headers["access-control-allow-private-network"], "true");
        assert_eq!(headers["vary"], "origin");
        assert!(
            !headers.contains_key("access-control-allow-credentials"),
            "nothing ambient counts"
        );
        assert!(Page::None.preflight(&head).is_none());
    }
}
