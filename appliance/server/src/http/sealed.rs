//! Sealed requests: unsealed here, dispatched inwardly as if they had come in the open, and answered sealed.
//!
//! A sealed GET is shared: it has no identity of its own, only what everybody in the scope may see, and its answer
//! may lie in caches. A sealed POST is one caller's: the token is inside, the table of doors decides as always.
//! What the seal itself refuses is said in the open (it tells strangers nothing); whatever happens behind the seal,
//! refusals too, is sealed and looks like every other answer.

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use axum::response::IntoResponse;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use storebox_proto::limits::{SEALED_BODY_BYTES_MAX, SEALED_HEADERS_MAX};
use storebox_proto::problem::Code;
use storebox_proto::seal::answer::{self, Answer, Question, Standing};
use storebox_proto::seal::read::{self, Query};
use storebox_proto::seal::write::{self, Write};
use storebox_proto::seal::{Keys, Moment, PATH_PREFIX, Scope, SealError};
use storebox_proto::time::Timestamp;

use super::auth::{self, Ask, Caller};
use super::correlation;
use super::guard::PromptBody;
use super::identity::Identity;
use super::problem::Refusal;
use super::server::{Peer, Server};
use super::shown::Shown;
use crate::config;
use crate::env;
use crate::seal::{Callers, Given, Seals, Taken};
use crate::wire::{COUNTER, MEDIA_TYPE};

/// What the seal adds to a request's body.
const OVERHEAD_BYTES: usize = 64 * 1024;
/// Headers of a request that count inside.
const INWARD: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::ACCEPT,
    header::IF_NONE_MATCH,
    HeaderName::from_static("last-event-id"),
    correlation::HEADER,
];
/// Headers of an answer that the caller gets, besides our own.
const OUTWARD: [HeaderName; 5] =
    [header::CONTENT_TYPE, header::ETAG, header::RETRY_AFTER, header::ALLOW, header::LOCATION];
/// Begins our own headers.
const OWN: &str = "storebox-";

/// What unsealing needs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sealing {
    seals: Seals,
    callers: Callers,
    max_age_s: u32,
    required: Vec<Scope>,
}

impl Sealing {
    /// Sealing as configured.
    pub fn new(seals: Seals, settings: &config::Seal) -> Self {
        let (max_age_s, required) = (settings.max_age_s, settings.required.clone());
        Self { seals, callers: Callers::default(), max_age_s, required }
    }

    /// Refuses in the open what is to come sealed.
    pub(super) fn check_open(&self, identity: Option<&Identity>) -> Result<(), Refusal> {
        let scope = match identity {
            Some(Identity::Node(_)) => Scope::Boxes,
            Some(Identity::Terminal(_)) => Scope::Tills,
            Some(Identity::Operator) | None => return Ok(()),
        };
        if self.required.contains(&scope) {
            let detail = format!("this box takes what {scope} ask sealed only");
            return Err(Refusal::new(Code::SealRequired, detail));
        }
        Ok(())
    }
}

impl From<SealError> for Refusal {
    fn from(error: SealError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// How a sealed request came in.
#[derive(Clone, Copy)]
struct Way<'a> {
    peer: Peer,
    shown: Option<&'a Shown>,
}

/// Whether a path is a sealed one.
pub(super) fn is_sealed(path: &str) -> bool {
    path.starts_with(PATH_PREFIX)
}

/// Answers a sealed request.
pub(super) async fn serve(
    house: &Server,
    head: Parts,
    body: Incoming,
    peer: Peer,
    shown: Option<&Shown>,
) -> Response<Body> {
    let now = env::believable();
    let moment = house.sealing.seals.moment(now);
    let url = head.uri.to_string();
    let answered = match head.method {
        Method::GET => serve_read(house, &moment, &url, now).await,
        Method::POST => {
            let way = Way { peer, shown };
            serve_write(house, &moment, &url, body, way, now).await
        }
        _ => Err(Refusal::new(Code::MethodNotAllowed, "what is sealed is read or posted")),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

async fn serve_read(
    house: &Server,
    moment: &Moment,
    url: &str,
    now: Timestamp,
) -> Result<Response<Body>, Refusal> {
    let (keys, query) = read::open(moment, url)?;
    if !read::is_shared(keys.scope(), query.path()) {
        let detail = "not everybody in the scope may have this; ask for it with a sealed POST";
        return Err(Refusal::new(Code::SealNotShared, detail));
    }
    let identity = shared_identity(keys.scope());
    let inner = Request::get(target(&query)?).body(Body::empty());
    let inner = inner.map_err(|_| SealError::Content("the path"))?;
    auth::pass(&identity, query.path())?;
    let shared = Caller { identity: Some(identity), ..Caller::default() };
    let response = house.route(inner, shared, house.limits.request_timeout()).await;
    let code = response.extensions().get::<Code>().copied();
    let max_age_s = fresh_for(&response, &house.sealing, moment, keys, now);
    let answer = answer_of(response, house.sealing.seals.life(), max_age_s, now).await?;
    let cache = match max_age_s {
        0 => HeaderValue::from_static("no-store"),
        _ => HeaderValue::try_from(format!("public, max-age={max_age_s}")).expect("digits"),
    };
    Ok(sealed(keys, &Question::read(url), &answer, cache, code))
}

/// Whoever reads what is shared: no till and no box has this name.
fn shared_identity(scope: Scope) -> Identity {
    let name = crate::terminal::access::SHARED;
    match scope {
        Scope::Boxes => Identity::Node(name.parse().expect("a literal that keeps the rule")),
        Scope::Tills => Identity::Terminal(name.parse().expect("a literal that keeps the rule")),
    }
}

fn target(query: &Query) -> Result<Uri, SealError> {
    let mut target = query.path().to_owned();
    if !query.pairs().is_empty() {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(query.pairs());
        target = format!("{target}?{}", encoded.finish());
    }
    target.try_into().map_err(|_| SealError::Content("the path"))
}

/// Seconds for which caches may keep an answer: never beyond the epoch, whose URL nobody asks for afterwards.
fn fresh_for(
    response: &Response<Body>,
    sealing: &Sealing,
    moment: &Moment,
    keys: &Keys,
    now: Timestamp,
) -> u32 {
    if response.status() != 200 {
        return 0;
    }
    let said = response.headers().get(header::CACHE_CONTROL).and_then(|said| said.to_str().ok());
    let age = match said {
        None => sealing.max_age_s,
        Some(said) if said.starts_with("public, max-age=") => {
            let digits = said["public, max-age=".len()..].split(',').next().unwrap_or_default();
            digits.trim().parse().unwrap_or(0)
        }
        Some(_) => 0,
    };
    age.min(moment.lasts_s(keys.kid(), now))
}

async fn serve_write(
    house: &Server,
    moment: &Moment,
    url: &str,
    body: Incoming,
    way: Way<'_>,
    now: Timestamp,
) -> Result<Response<Body>, Refusal> {
    let max = (house.limits.body_bytes_max + OVERHEAD_BYTES).min(SEALED_BODY_BYTES_MAX);
    let body = Limited::new(PromptBody::new(body, house.limits.body_timeout()), max);
    let body = body.collect().await.map_err(|error| {
        match error.is::<http_body_util::LengthLimitError>() {
            true => Refusal::new(Code::TooLarge, format!("a sealed body may have {max} bytes")),
            false => Refusal::new(Code::BodyMalformed, "the body did not arrive"),
        }
    })?;
    let body = body.to_bytes();
    let (keys, write) = write::open(moment, url, &body)?;
    let question = Question::write(url, &body);
    let life = house.sealing.seals.life();
    let given = match carry_out(house, write, way, now).await {
        Ok(given) => given,
        Err(refused) => given_of(refused.into_response()).await?,
    };
    let code = given.code;
    let answer = opened(given, life, now);
    Ok(sealed(keys, &question, &answer, HeaderValue::from_static("no-store"), code))
}

/// Does what a write asks, once.
async fn carry_out(
    house: &Server,
    write: Write,
    way: Way<'_>,
    now: Timestamp,
) -> Result<Given, Refusal> {
    let headers = inward(&write.headers)?;
    let method = Method::try_from(write.method.as_str()).map_err(|_| SealError::Shape)?;
    let Way { peer, shown } = way;
    let (path, headers) = (write.path(), &headers);
    let ask = Ask { method: &method, path, headers, claim: None, peer, shown, now };
    let admitted = house.let_in(&ask)?;
    let identity = admitted.identity.as_ref().ok_or_else(|| {
        Refusal::new(Code::Unauthenticated, "a sealed write has the caller's token inside")
    })?;
    let caller = name(identity);
    let sealing = &house.sealing;
    let tell = |error: SealError, top: u64| Given {
        status: error.code().status(),
        code: Some(error.code()),
        headers: vec![
            ("content-type".to_owned(), "application/problem+json".to_owned()),
            (COUNTER.to_owned(), top.to_string()),
        ],
        body: serde_json::to_vec(&Refusal::from(error).0).expect("a problem is plain text"),
    };
    if write.life != sealing.seals.life() {
        return Ok(tell(SealError::OtherLife, 0));
    }
    match sealing.callers.take(&caller, write.counter, write.key, env::instant()) {
        Err((error, top)) => return Ok(tell(error, top)),
        Ok(Taken::Again(given)) => return Ok((*given).clone()),
        Ok(Taken::New) => {}
    }
    let mut inner = Request::builder().method(method).uri(&write.target);
    if let Some(all) = inner.headers_mut() {
        *all = headers.clone();
    }
    let body = if write.body.is_empty() { Body::empty() } else { Body::from(write.body) };
    let inner = inner.body(body).map_err(|_| SealError::Content("the target"))?;
    let response = house.route(inner, admitted, house.limits.request_timeout()).await;
    let given = given_of(response).await?;
    // What may succeed later is done again; what was done or refused for good stays as it is.
    if given.status < 500 {
        sealing.callers.keep(&caller, write.key, given.clone(), env::instant());
    }
    Ok(given)
}

fn name(identity: &Identity) -> String {
    match identity {
        Identity::Terminal(terminal) => format!("terminal/{terminal}"),
        Identity::Node(node) => format!("node/{node}"),
        Identity::Operator => "operator".to_owned(),
    }
}

fn inward(pairs: &[(String, String)]) -> Result<HeaderMap, SealError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::try_from(name).map_err(|_| SealError::Content("a header"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| SealError::Content("a header"))?;
        if INWARD.contains(&name) || name.as_str().starts_with(OWN) {
            value.set_sensitive(name == header::AUTHORIZATION);
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

async fn given_of(response: Response<Body>) -> Result<Given, Refusal> {
    let code = response.extensions().get::<Code>().copied();
    let (head, body) = response.into_parts();
    let is_ours = |name: &HeaderName| OUTWARD.contains(name) || name.as_str().starts_with(OWN);
    let headers = head.headers.iter().filter(|(name, _)| is_ours(name));
    let headers = headers.filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let headers = headers.take(SEALED_HEADERS_MAX).collect();
    let body = to_bytes(body, SEALED_BODY_BYTES_MAX).await;
    let body = body.map_err(|_| Refusal::new(Code::TooLarge, "more than is sealed at once"))?;
    Ok(Given { status: head.status.as_u16(), code, headers, body: body.into() })
}

async fn answer_of(
    response: Response<Body>,
    life: u64,
    max_age_s: u32,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let answer = opened(given_of(response).await?, life, now);
    Ok(Answer { max_age_s, ..answer })
}

fn opened(given: Given, life: u64, now: Timestamp) -> Answer {
    let Given { status, headers, body, .. } = given;
    let of = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    let standing = match (of("storebox-feed"), of("storebox-epoch"), of("storebox-revision")) {
        (Some(feed), Some(epoch), Some(revision)) => epoch
            .parse()
            .ok()
            .zip(revision.parse().ok())
            .map(|(epoch, revision)| Standing { feed: feed.clone(), epoch, revision }),
        (_, _, _) => None,
    };
    Answer { status, headers, made: now, max_age_s: 0, life, standing, body }
}

fn sealed(
    keys: &Keys,
    question: &Question,
    answer: &Answer,
    cache: HeaderValue,
    code: Option<Code>,
) -> Response<Body> {
    let bytes = answer::seal(keys, question, answer, &env::random());
    let kind = HeaderValue::from_static(MEDIA_TYPE);
    let mut response =
        ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], bytes).into_response();
    if let Some(code) = code {
        // For this box's own counters; outside, a refusal looks like every other answer.
        response.extensions_mut().insert(code);
    }
    response
}
