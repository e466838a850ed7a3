//! Another box, by HTTP.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use storebox_proto::feed::Position;
use storebox_proto::ids::{FeedId, Hash32};
use storebox_proto::limits::{LONG_POLL_MAX, object_time};
use storebox_proto::skew;

use storebox_proto::seal::answer::Answer;

use crate::client;
use crate::pass::{Pass, version};

use super::{HeadWish, SIGNED_HEAD_BYTES_MAX, SourceError, SourceRefused};
use crate::trust::line::Line;
use crate::valve::Valve;
use crate::wire::{Ask, Wire, WireError};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A line that was cut does not say so: held requests would wait for their whole time.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEPALIVE_MISSED_MAX: u32 = 3;
/// A look at a source takes no longer.
const PROBE_MAX: Duration = Duration::from_secs(5);
/// What of a redirect's target is repeated.
const TARGET_CHARS_MAX: usize = 200;

/// Another box, by HTTP.
#[derive(Clone)]
pub struct HttpSource {
    client: Client,
    base: Url,
    _line: Line,
    pass: Pass,
    page_timeout: Duration,
    wire: Option<Wire>,
    valve: Valve,
}

impl HttpSource {
    /// A source at this address, to which this node is known by its token.
    pub fn new(address: &str, token: &str, page_timeout: Duration) -> Result<Self, SourceRefused> {
        HeaderValue::try_from(format!("Bearer {token}"))?;
        Self::with(address, Pass::Token(token.to_owned()), page_timeout)
    }

    /// A source at this address, to which this node shows this.
    pub fn with(address: &str, pass: Pass, page_timeout: Duration) -> Result<Self, SourceRefused> {
        Self::over(&Line::straight(address), pass, page_timeout)
    }

    /// The same over this line.
    pub fn over(line: &Line, pass: Pass, page_timeout: Duration) -> Result<Self, SourceRefused> {
        let address = line.url();
        let refuse = || SourceRefused::Address { address: address.to_owned() };
        let base = Url::parse(address).map_err(|_| refuse())?;
        if base.cannot_be_a_base() || base.scheme() != "http" {
            return Err(refuse());
        }
        let client = client::builder()
            .connect_timeout(CONNECT_MAX)
            .default_headers(version())
            .tcp_keepalive(KEEPALIVE_AFTER)
            .tcp_keepalive_interval(KEEPALIVE_EVERY)
            .tcp_keepalive_retries(KEEPALIVE_MISSED_MAX);
        let client = line.client(client).map_err(SourceRefused::Client)?;
        let (wire, valve, line) = (None, Valve::default(), line.clone());
        Ok(Self { client, base, _line: line, pass, page_timeout, wire, valve })
    }

    /// Asks everything over this sealed line, if there is one.
    #[must_use]
    pub fn sealed(self, wire: Option<Wire>) -> Self {
        Self { wire: wire.map(|wire| wire.patient(self.page_timeout)), ..self }
    }

    /// Asks everything through this valve.
    #[must_use]
    pub fn behind(self, valve: &Valve) -> Self {
        Self { valve: valve.clone(), ..self }
    }

    /// What a drill shuts.
    pub(super) fn valve(&self) -> &Valve {
        &self.valve
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(super) async fn head(
        &self,
        feed: &FeedId,
        wish: HeadWish,
    ) -> Result<Option<Bytes>, SourceError> {
        let HeadWish { after, wait, whole } = wish;
        let held = wait.min(LONG_POLL_MAX);
        let mut url = self.url(&["sync", "v1", "feeds", feed.as_str(), "head"]);
        url.query_pairs_mut().append_pair("wait_s", &held.as_secs().to_string());
        if whole {
            url.query_pairs_mut().append_pair("whole", "true");
        }
        if let Some(Position { epoch, revision }) = after {
            url.query_pairs_mut()
                .append_pair("after_epoch", &epoch.to_string())
                .append_pair("after_revision", &revision.to_string());
        }
        if let Some(wire) = &self.wire {
            let within = self.page_timeout + held;
            let answer = self.ask(wire, "GET", &url, Vec::new(), within).await?;
            return match answer.status {
                304 => Ok(None),
                _ => given(answer, &url).map(Some),
            };
        }
        let response = self.get(&url, self.page_timeout + held).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        bounded(response, &url, SIGNED_HEAD_BYTES_MAX, self.page_timeout).await.map(Some)
    }

    pub(super) async fn object(&self, name: &Hash32, bytes_max: u32) -> Result<Bytes, SourceError> {
        let url = self.url(&["sync", "v1", "objects", &name.to_string()]);
        if let Some(wire) = &self.wire {
            // Shared: whatever stands in between may answer it from its cache.
            let path = format!("/sync/v1/objects/{name}");
            let within = object_time(self.page_timeout, bytes_max);
            let read = wire.read(&path, Vec::new(), within, bytes_max as usize).await;
            return given(read.map_err(not_sealed(&url))?, &url);
        }
        // A large object on a slow line may take long, as long as something of it comes.
        let silence = self.page_timeout;
        let response = self.get(&url, object_time(silence, bytes_max));
        let response = soon(silence, &url, response).await??;
        bounded(response, &url, bytes_max as usize, silence).await
    }

    pub(super) async fn probe(&self) -> Result<(), SourceError> {
        let url = self.url(&["sync", "v1", "feeds"]);
        if let Some(wire) = &self.wire {
            let answer = self.ask(wire, "GET", &url, Vec::new(), PROBE_MAX).await?;
            return given(answer, &url).map(drop);
        }
        let response = self.get(&url, PROBE_MAX).await?;
        match response.status() {
            StatusCode::OK => Ok(()),
            _ => Err(refusal(&response, &url)),
        }
    }

    async fn get(&self, url: &Url, timeout: Duration) -> Result<Response, SourceError> {
        let request = self.client.get(url.clone()).timeout(timeout);
        let request = request.header(AUTHORIZATION, self.shown("GET", url, &[]));
        let response = request.send().await.map_err(unreachable(url))?;
        // A cache in between keeps what it wants of the head.
        if let Some(said) = response.headers().get(skew::HEADER) {
            skew::check(skew::API, Some(said.as_bytes()))
                .map_err(|skew| SourceError::Skew { url: url.to_string(), skew })?;
        }
        Ok(response)
    }

    fn shown(&self, method: &str, url: &Url, body: &[u8]) -> HeaderValue {
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let header = self.pass.show(method, &path, body).header;
        let mut value = HeaderValue::try_from(header).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// Tells the other box something; what it answers does not matter beyond its status.
    pub async fn post(&self, path: &[&str], body: &impl Serialize) -> Result<(), SourceError> {
        self.valve.pass(self.tell(path, body)).await.unwrap_or(Err(SourceError::Drill))
    }

    async fn tell(&self, path: &[&str], body: &impl Serialize) -> Result<(), SourceError> {
        let url = self.url(path);
        let body = serde_json::to_vec(body).unwrap_or_default();
        if let Some(wire) = &self.wire {
            let answer = self.ask(wire, "POST", &url, body, self.page_timeout).await?;
            return match answer.status {
                200..300 => Ok(()),
                status => Err(SourceError::Status { url: url.to_string(), status }),
            };
        }
        let request = self.client.post(url.clone()).timeout(self.page_timeout);
        let request = request.header(AUTHORIZATION, self.shown("POST", &url, &body));
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(unreachable(&url))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(SourceError::Status { url: url.to_string(), status: status.as_u16() }),
        }
    }

    /// Tells the other box something and reads what it answers, which is short.
    pub async fn call<A: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<A, SourceError> {
        self.valve.pass(self.converse(path, body)).await.unwrap_or(Err(SourceError::Drill))
    }

    async fn converse<A: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<A, SourceError> {
        let url = self.url(path);
        let body = serde_json::to_vec(body).unwrap_or_default();
        let (status, answer) = match &self.wire {
            Some(wire) => {
                let answer = self.ask(wire, "POST", &url, body, self.page_timeout).await?;
                (answer.status, Bytes::from(answer.body))
            }
            None => {
                let request = self.client.post(url.clone()).timeout(self.page_timeout);
                let request = request.header(AUTHORIZATION, self.shown("POST", &url, &body));
                let request = request.header(CONTENT_TYPE, "application/json").body(body);
                let response = request.send().await.map_err(unreachable(&url))?;
                let status = response.status().as_u16();
                (status, bounded(response, &url, SIGNED_HEAD_BYTES_MAX, self.page_timeout).await?)
            }
        };
        let odd = || SourceError::Status { url: url.to_string(), status };
        match status {
            200..300 => serde_json::from_slice(&answer).map_err(|_| odd()),
            _ => Err(odd()),
        }
    }

    async fn ask(
        &self,
        wire: &Wire,
        method: &str,
        url: &Url,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Answer, SourceError> {
        // What the other box is asked has no part of the way to it.
        let prefix = self.base.path().trim_end_matches('/');
        let path = url.path().strip_prefix(prefix).unwrap_or(url.path());
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (target, bytes_max) = (format!("{path}{query}"), SIGNED_HEAD_BYTES_MAX);
        let ask = Ask { method, target, body, within, bytes_max };
        wire.ask(ask).await.map_err(not_sealed(url))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// The body of a sealed answer.
fn given(answer: Answer, url: &Url) -> Result<Bytes, SourceError> {
    match answer.status {
        200 => Ok(answer.body.into()),
        404 | 410 => Err(SourceError::Gone { url: url.to_string() }),
        status => Err(SourceError::Status { url: url.to_string(), status }),
    }
}

fn not_sealed(url: &Url) -> impl FnOnce(WireError) -> SourceError + '_ {
    |source| SourceError::Sealed { url: url.to_string(), source }
}

/// What a source does in time.
async fn soon<T>(
    silence: Duration,
    url: &Url,
    work: impl Future<Output = T>,
) -> Result<T, SourceError> {
    let silent = |_| SourceError::Silent { url: url.to_string(), silence };
    tokio::time::timeout(silence, work).await.map_err(silent)
}

/// The whole body, if it is no longer than it may be and does not stop coming.
async fn bounded(
    mut response: Response,
    url: &Url,
    bytes_max: usize,
    silence: Duration,
) -> Result<Bytes, SourceError> {
    if response.status() != StatusCode::OK {
        return Err(refusal(&response, url));
    }
    let too_large = || SourceError::TooLarge { url: url.to_string(), bytes_max };
    if response.content_length().is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(part) = soon(silence, url, response.chunk()).await?.map_err(unreachable(url))? {
        if body.len() + part.len() > bytes_max {
            return Err(too_large());
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn refusal(response: &Response, url: &Url) -> SourceError {
    let (status, url) = (response.status(), url.to_string());
    if status.is_redirection() {
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let to = to.unwrap_or_default().chars().take(TARGET_CHARS_MAX).collect();
        return SourceError::Redirected { url, to };
    }
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => SourceError::Gone { url },
        status => SourceError::Status { url, status: status.as_u16() },
    }
}

fn unreachable(url: &Url) -> impl FnOnce(reqwest::Error) -> SourceError + '_ {
    |source| SourceError::Unreachable { url: url.to_string(), source: source.without_url() }
}
