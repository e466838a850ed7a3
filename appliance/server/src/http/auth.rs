//! Who may reach which path: one table, checked before any handler runs.
//!
//! A path that is not in the table is for the operator alone, so that a new route is closed until somebody
//! opens it here.
//! What a person who is logged in may do is a second table ([`rights`]), asked right after.
//! Handlers get the [`Identity`]; what a terminal may see of another terminal's is their business.

mod rights;

use axum::http::{HeaderMap, Method, Uri, header};
use storebox_proto::ids::Hash32;
use storebox_proto::problem::Code;
use storebox_proto::skew;
use storebox_proto::time::Timestamp;
use storebox_proto::token::{self, Bearer};
use storebox_proto::trust::Kind;

use super::identity::Identity;
use super::problem::Refusal;
use super::server::Peer;
use super::shown::Shown;
use crate::login::{Logins, Person};
use crate::pass::Claim;
use crate::terminal::access::{Access, Stranger};
use crate::trust::judge::Known;

/// Who may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Anybody: says nothing that a passer-by may not know.
    Open,
    /// The operator, other boxes, and programs on this machine: what collects metrics.
    Watcher,
    /// Terminals only: the answer is about the terminal that asks.
    Terminal,
    /// Terminals and the operator.
    Shop,
    /// Other boxes and the operator.
    Node,
    /// The operator.
    Operator,
}

/// The table; the first line whose path fits decides.
const DOORS: &[(&str, Door)] = &[
    ("/healthz", Door::Open),
    ("/readyz", Door::Open),
    ("/openapi.json", Door::Open),
    // Newcomers; what they may is decided by the door's own rules, and over TLS only.
    ("/enrol/v1", Door::Open),
    ("/v1/status", Door::Open),
    ("/v1/chronicle", Door::Open),
    ("/v1/whoami", Door::Open),
    ("/console", Door::Open),
    ("/client", Door::Open),
    ("/till", Door::Open),
    ("/metrics", Door::Watcher),
    ("/v1/terminal", Door::Terminal),
    ("/v1/session", Door::Terminal),
    // Hashes of passwords are not for tills, peppered as they are.
    ("/v1/models/User", Door::Operator),
    ("/v1/channel", Door::Shop),
    ("/v1/models", Door::Shop),
    ("/v1/changes", Door::Shop),
    ("/v1/documents", Door::Shop),
    ("/v1/transactions", Door::Shop),
    ("/v1/devices", Door::Shop),
    ("/v1/printers", Door::Shop),
    ("/v1/scales", Door::Shop),
    ("/v1/drawers", Door::Shop),
    ("/v1/displays", Door::Shop),
    ("/v1/scanners", Door::Shop),
    ("/sync/v1", Door::Node),
];

/// Who may reach this path.
pub fn door(path: &str) -> Door {
    if path == "/" {
        return Door::Open;
    }
    let fits = |prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    DOORS.iter().find(|(prefix, _)| fits(prefix)).map_or(Door::Operator, |(_, door)| *door)
}

impl Door {
    fn lets_in(self, identity: Option<&Identity>, peer: Peer) -> bool {
        use Identity::{Node, Operator, Terminal};
        match (self, identity) {
            (Self::Open, _) | (_, Some(Operator)) if self != Self::Terminal => true,
            (Self::Terminal | Self::Shop, Some(Terminal(_))) => true,
            (Self::Node | Self::Watcher, Some(Node(_))) => true,
            (Self::Watcher, None) => peer.is_this_machine(),
            (_, None | Some(Terminal(_) | Node(_) | Operator)) => false,
        }
    }
}

/// Whether somebody who is known already may reach this path.
pub(super) fn pass(identity: &Identity, path: &str) -> Result<(), Refusal> {
    check_path(path)?;
    let door = door(path);
    match door.lets_in(Some(identity), Peer::Control) {
        true => Ok(()),
        false => Err(refuse(Code::Forbidden, door.rule())),
    }
}

/// A request, as far as it matters for who may make it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// What it shows of the secret of the store.
    pub claim: Option<&'a Claim>,
    /// Where it came in.
    pub peer: Peer,
    /// What its connection has shown, over TLS.
    pub shown: Option<&'a Shown>,
    /// Now.
    pub now: Timestamp,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The terminal, box or operator; nobody at an open door.
    pub identity: Option<Identity>,
    /// The person who is logged in there.
    pub person: Option<Person>,
    /// The key of the certificate that was shown.
    pub key: Option<ShownKey>,
}

/// The SHA-256 of the key in a certificate that is believed; for handlers that bind something to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownKey(pub Hash32);

/// Finds out who asks and whether they may.
///
/// The tables look at a path as it was sent, and handlers at what it means: both are the same text only where nothing
/// is escaped that needs no escape.
pub fn admit(access: &Access, logins: &Logins, ask: &Ask<'_>) -> Result<Caller, Refusal> {
    check_path(ask.path)?;
    check_version(ask)?;
    if let Some(claim) = ask.claim {
        let identity = Identity::Node(claim.node.clone());
        let door = door(ask.path);
        return match door.lets_in(Some(&identity), ask.peer) {
            true => Ok(Caller { identity: Some(identity), ..Caller::default() }),
            false => Err(refuse(Code::Forbidden, door.rule())),
        };
    }
    let caller = find(access, logins, ask)?;
    let door = door(ask.path);
    if door.lets_in(caller.identity.as_ref(), ask.peer) {
        rights::check(&caller, logins.required(), ask.method, ask.path)?;
        return Ok(caller);
    }
    match caller.identity {
        None => {
            let wanted = "send the header `Authorization: Bearer <token>`, or show a certificate";
            Err(refuse(Code::Unauthenticated, wanted))
        }
        Some(_) => Err(refuse(Code::Forbidden, door.rule())),
    }
}

/// Refuses whoever speaks a version that does not work with ours; open doors serve the pages with which they are updated.
fn check_version(ask: &Ask<'_>) -> Result<(), Refusal> {
    if door(ask.path) == Door::Open {
        return Ok(());
    }
    let said = ask.headers.get(skew::HEADER).map(|said| said.as_bytes());
    skew::check(skew::API, said).map_err(|skew| refuse(Code::VersionSkew, &skew.to_string()))
}

/// Who asks, whether they may or not.
fn find(access: &Access, logins: &Logins, ask: &Ask<'_>) -> Result<Caller, Refusal> {
    if ask.peer == Peer::Control {
        return Ok(Caller { identity: Some(Identity::Operator), ..Caller::default() });
    }
    let of_token = || access.who(token(ask.headers).ok()??, ask.now).ok();
    // A certificate that is not believed is refused, whatever token comes with it.
    let by_certificate = match ask.shown {
        Some(shown) => shown.identity(access, ask.method, ask.path, ask.now, of_token)?,
        None => None,
    };
    let shown = ask.shown.filter(|_| by_certificate.is_some()).and_then(Shown::member);
    let key = shown.map(|known| ShownKey(Hash32(known.key().0)));
    let Some(token) = token(ask.headers)? else {
        return Ok(Caller { identity: by_certificate, person: None, key });
    };
    if token.starts_with(token::PREFIX) {
        let person = logins.who(token, ask.now).and_then(|person| {
            person.claims.check_bearer(shown.map(bearer))?;
            Ok(person)
        });
        let person = person.map_err(|error| refuse(error.code(), &error.to_string()))?;
        if access.is_revoked(&person.claims.till, ask.now) {
            return Err(refuse(Code::Revoked, "the till of this token was revoked"));
        }
        let identity = Some(Identity::Terminal(person.claims.till.clone()));
        return Ok(Caller { identity, person: Some(person), key });
    }
    let identity = match access.who(token, ask.now) {
        Ok(identity) => identity,
        Err(Stranger::Unknown) => {
            return Err(refuse(Code::Unauthenticated, "nobody has this token"));
        }
        Err(Stranger::Revoked) => return Err(refuse(Code::Revoked, "this token was revoked")),
        Err(Stranger::Namesake) => {
            let detail = "this token is of a box next door, and another terminal has its name here";
            return Err(refuse(Code::TokenForeign, detail));
        }
    };
    // Operators work from any machine; the token of a till or box is its own.
    let is_its_own = identity == Identity::Operator
        || by_certificate.as_ref().is_none_or(|shown| *shown == identity);
    if !is_its_own {
        let detail = "this token is of another client than the certificate of this connection";
        return Err(refuse(Code::TokenForeign, detail));
    }
    Ok(Caller { identity: Some(identity), person: None, key })
}

fn bearer(known: &Known) -> Bearer<'_> {
    let name = known.member.name.as_str();
    let till = (known.member.kind == Kind::Terminal).then_some(name);
    Bearer { till, key: Hash32(known.key().0) }
}

/// Refuses a path with two spellings: what needs no escape (RFC 3986, section 2.3) is sent as it is.
fn check_path(path: &str) -> Result<(), Refusal> {
    let needless = |escape: &str| {
        let byte = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    if path.split('%').skip(1).any(needless) {
        let detail = "letters, digits, '-', '.' and '_' are not escaped in a path";
        return Err(refuse(Code::ParameterInvalid, detail));
    }
    Ok(())
}

/// Refuses a token in a URL: there, every log and cache on the way has read it.
pub(super) fn check_url(uri: &Uri) -> Result<(), Refusal> {
    let Some(text) = uri.path_and_query().map(|whole| whole.as_str()) else { return Ok(()) };
    let holds_secret = ["sbt_", "sbn_", "sbo_"].iter().any(|prefix| {
        text.split(prefix).skip(1).any(|rest| {
            rest.len() >= 64 && rest.bytes().take(64).all(|byte| byte.is_ascii_hexdigit())
        })
    });
    if holds_secret || text.contains(token::PREFIX) {
        let detail = "a token belongs into the header Authorization; replace this one";
        return Err(refuse(Code::TokenInUrl, detail));
    }
    Ok(())
}

impl Door {
    fn rule(self) -> &'static str {
        match self {
            Self::Open => "this path is open to anybody",
            Self::Watcher => {
                "this path is for the operator, other boxes and programs on this machine"
            }
            Self::Terminal => "this path is for terminals",
            Self::Shop => "this path is for terminals and the operator",
            Self::Node => "this path is for other boxes",
            Self::Operator => {
                "this path is for the operator: the control socket or an operator's token"
            }
        }
    }
}

fn refuse(code: Code, detail: &str) -> Refusal {
    Refusal::new(code, detail)
}

fn token(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer"));
    match token {
        // Whoever shows a certificate needs no token and may send an empty one.
        Some("") => Ok(None),
        Some(token) if token.starts_with(' ') => Ok(Some(token.trim())),
        Some(_) | None => {
            Err(refuse(Code::Unauthenticated, "the scheme of Authorization must be Bearer"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::access::Kind;

    #[test]
    fn a_path_that_nobody_opened_is_for_the_operator() {
        assert_eq!(door("/v1/outbox"), Door::Operator);
        assert_eq!(door("/v1/terminals"), Door::Operator);
        assert_eq!(door("/v1/terminal/login"), Door::Terminal);
        assert_eq!(door("/v1/models/Product/records/1"), Door::Shop);
        assert_eq!(door("/healthz/secret"), Door::Open);
        assert_eq!(door("/"), Door::Open);
        assert_eq!(door("//"), Door::Operator);
    }

    #[test]
    fn a_token_in_a_url_is_refused_and_a_word_like_one_is_not() {
        let code =
            |text: &str| check_url(&text.parse().unwrap()).err().map(|refusal| refusal.0.code);
        let secret = "ab".repeat(32);
        for text in [
            format!("/v1/models?token=sbt_{secret}"),
            format!("/v1/x/sbn_{secret}/y"),
            "/v1/models?access_token=v4.public.abc".to_owned(),
        ] {
            assert_eq!(code(&text), Some(Code::TokenInUrl), "{text}");
        }
        assert_eq!(code("/v1/models/Product/records?field=name&prefix=sbt_a"), None);
    }

    #[test]
    fn each_identity_passes_its_own_doors_only() {
        let dir = tempfile::tempdir().unwrap();
        let access = Access::open(dir.path()).unwrap();
        let now = Timestamp::from_unix_ms(1);
        let logins = crate::login::Logins::new(crate::login::Settings {
            data_dir: dir.path(),
            node: "box-1".parse().unwrap(),
            site: "store-7".parse().unwrap(),
            key: &ed25519_dalek::SigningKey::from_bytes(&[1; 32]),
            pepper: None,
            times: crate::config::Login::default(),
        });
        let till = access.add(Kind::Terminal, "till-1", [1; 32], now).unwrap();
        let node = access.add(Kind::Node, "store-1", [2; 32], now).unwrap();
        let far = Peer::Network("192.0.2.1:5".parse().unwrap());
        let near = Peer::Network("127.0.0.1:5".parse().unwrap());
        let code = |path: &str, token: Option<&str>, peer| {
            let mut request = axum::http::Request::builder().uri(path);
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            let (method, headers) = (&head.method, &head.headers);
            let ask = Ask { method, path, headers, claim: None, peer, shown: None, now };
            admit(&access, &logins, &ask).err().map(|refusal| refusal.0.code)
        };
        for (path, nobody, as_till, as_node, as_operator) in [
            ("/healthz", true, true, true, true),
            ("/metrics", false, false, true, true),
            ("/v1/terminal/config", false, true, false, false),
            ("/v1/transactions", false, true, false, true),
            ("/sync/v1/feeds", false, false, true, true),
            ("/v1/refresh", false, false, false, true),
        ] {
            assert_eq!(code(path, None, far).is_none(), nobody, "{path}");
            assert_eq!(code(path, Some(&till), far).is_none(), as_till, "{path}");
            assert_eq!(code(path, Some(&node), far).is_none(), as_node, "{path}");
            assert_eq!(code(path, None, Peer::Control).is_none(), as_operator, "{path}");
        }
        assert_eq!(code("/metrics", None, near), None);
        assert_eq!(code("/metrics", Some(&till), near), Some(Code::Forbidden));
        assert_eq!(code("/healthz", Some("sbt_00"), near), Some(Code::Unauthenticated));
        access.revoke(Kind::Terminal, "till-1", now).unwrap();
        assert_eq!(code("/v1/models", Some(&till), far), Some(Code::Revoked));
    }
}
