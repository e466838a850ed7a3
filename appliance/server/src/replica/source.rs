//! Where heads and objects come from.
//!
//! A source needs no trust: heads are signed and objects are named by their hash, both checked by the fetch machine.
//! What it could still do is waste time and memory, so every answer has a time and a size that it may not exceed,
//! and a redirect is never followed: it could lead anywhere.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderValue, InvalidHeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use storebox_proto::feed::Position;
use storebox_proto::ids::{FeedId, Hash32};
use storebox_proto::limits::{HEAD_BYTES_MAX, LONG_POLL_MAX};

use super::board::Board;

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A signed head as it travels: its payload is quoted, so at most twice as long.
const SIGNED_HEAD_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;

/// Why a source did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No answer, or not in time.
    #[error("ask {url}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is no help.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The source does not have it (any more).
    #[error("{url} is not there")]
    Gone {
        /// What was asked for.
        url: String,
    },
    /// The answer is longer than it may be; the rest of it was not read.
    #[error("{url} sent more than {bytes_max} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// What it may be.
        bytes_max: usize,
    },
    /// This node's own board and segments have no such object.
    #[error("object {name} is not on this node")]
    Missing {
        /// Its name.
        name: Hash32,
    },
}

/// Why a source cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum SourceRefused {
    /// Not an address.
    #[error("{address:?} is not a URL such as http://main.example:7600")]
    Address {
        /// What was given.
        address: String,
    },
    /// The token has characters that no header may have.
    #[error("the token of the source cannot be sent")]
    Token(#[from] InvalidHeaderValue),
    /// The HTTP client does not start.
    #[error("start the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Another box, by HTTP.
#[derive(Clone)]
pub struct HttpSource {
    client: Client,
    base: Url,
    authorization: HeaderValue,
    page_timeout: Duration,
}

/// Who feeds a replica.
#[derive(Clone)]
pub enum Source {
    /// Another box.
    Http(HttpSource),
    /// The author on this very node: its heads are on the board, its objects in the same segment store.
    Local(Board),
}

impl HttpSource {
    /// A source at this address, to which this node is known by its token.
    pub fn new(address: &str, token: &str, page_timeout: Duration) -> Result<Self, SourceRefused> {
        Self::through(None, address, token, page_timeout)
    }

    /// The same, reached through a socket of this box that leads there.
    pub fn through(
        socket: Option<&Path>,
        address: &str,
        token: &str,
        page_timeout: Duration,
    ) -> Result<Self, SourceRefused> {
        let refuse = || SourceRefused::Address { address: address.to_owned() };
        let base = Url::parse(address).map_err(|_| refuse())?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(refuse());
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_MAX);
        let client = match socket {
            Some(socket) => client.unix_socket(socket),
            None => client,
        };
        let client = client.build().map_err(SourceRefused::Client)?;
        Ok(Self { client, base, authorization, page_timeout })
    }

    async fn head(
        &self,
        feed: &FeedId,
        after: Option<Position>,
        wait: bool,
    ) -> Result<Option<Bytes>, SourceError> {
        let held = if wait { LONG_POLL_MAX } else { Duration::ZERO };
        let mut url = self.url(&["sync", "v1", "feeds", feed.as_str(), "head"]);
        url.query_pairs_mut().append_pair("wait_s", &held.as_secs().to_string());
        if let Some(Position { epoch, revision }) = after {
            url.query_pairs_mut()
                .append_pair("after_epoch", &epoch.to_string())
                .append_pair("after_revision", &revision.to_string());
        }
        let response = self.get(&url, self.page_timeout + held).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        bounded(response, &url, SIGNED_HEAD_BYTES_MAX).await.map(Some)
    }

    async fn object(&self, name: &Hash32, bytes_max: u32) -> Result<Bytes, SourceError> {
        let url = self.url(&["sync", "v1", "objects", &name.to_string()]);
        let response = self.get(&url, self.page_timeout).await?;
        bounded(response, &url, bytes_max as usize).await
    }

    async fn get(&self, url: &Url, timeout: Duration) -> Result<Response, SourceError> {
        let request = self.client.get(url.clone()).timeout(timeout);
        let request = request.header(AUTHORIZATION, &self.authorization);
        request.send().await.map_err(unreachable(url))
    }

    /// Tells the other box something; what it answers does not matter beyond its status.
    pub async fn post(&self, path: &[&str], body: &impl Serialize) -> Result<(), SourceError> {
        let url = self.url(path);
        let request = self.client.post(url.clone()).timeout(self.page_timeout).json(body);
        let request = request.header(AUTHORIZATION, &self.authorization);
        let response = request.send().await.map_err(unreachable(&url))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(SourceError::Status { url: url.to_string(), status: status.as_u16() }),
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

impl Source {
    /// The signed head, or nothing if it is still this one.
    pub async fn head(
        &self,
        feed: &FeedId,
        after: Option<Position>,
        wait: bool,
    ) -> Result<Option<Bytes>, SourceError> {
        match self {
            Self::Http(source) => source.head(feed, after, wait).await,
            Self::Local(board) => {
                let within = if wait { LONG_POLL_MAX } else { Duration::ZERO };
                Ok(board.newer(feed, after, within).await.map(|posted| posted.bytes))
            }
        }
    }

    /// An object of at most so many bytes.
    pub async fn object(&self, name: &Hash32, bytes_max: u32) -> Result<Bytes, SourceError> {
        match self {
            Self::Http(source) => source.object(name, bytes_max).await,
            Self::Local(_) => Err(SourceError::Missing { name: *name }),
        }
    }
}

/// The whole body, if it is no longer than it may be.
async fn bounded(
    mut response: Response,
    url: &Url,
    bytes_max: usize,
) -> Result<Bytes, SourceError> {
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(SourceError::Gone { url: url.to_string() }),
        status => {
            return Err(SourceError::Status { url: url.to_string(), status: status.as_u16() });
        }
    }
    let too_large = || SourceError::TooLarge { url: url.to_string(), bytes_max };
    if response.content_length().is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(part) = response.chunk().await.map_err(unreachable(url))? {
        if body.len() + part.len() > bytes_max {
            return Err(too_large());
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn unreachable(url: &Url) -> impl FnOnce(reqwest::Error) -> SourceError + '_ {
    |source| SourceError::Unreachable { url: url.to_string(), source: source.without_url() }
}
