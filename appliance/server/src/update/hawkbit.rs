//! hawkBit's device API (DDI), for a chain that has such a server already: it takes the place of head office's shelf.
//!
//! The box polls, takes the deployment that it is given for a release of its board, downloads the bundle with ranges,
//! compares it with the SHA-256 that the server named, and tells what became of it.
//! When it is installed, and whether, is decided as for any other release: by the window, the transactions and the
//! steward.
//!
//! Links are followed on the configured server only, whatever they say: an answer sends nobody elsewhere.

mod download;
mod words;

use std::io;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use storebox_proto::ids::NodeId;
use storebox_proto::release::{Release, State};
use storebox_proto::rings::EVERYONE;

use crate::client;
use crate::env;
use crate::logging::chain;
use crate::pause::Pause;
use crate::secrets::SecretText;
use crate::trust::line::Line;

use download::Download;
pub(super) use download::sum;
use words::{Cancel, ConfigData, Deployment, Feedback, Found, Root};

/// An answer of the API is far smaller.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A server that sends nothing for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// An answer other than a bundle is here within this, however slowly it comes.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const POLL_MIN: Duration = Duration::from_secs(1);
const POLL_MAX: Duration = Duration::from_secs(3600);
/// A server that does not answer is asked again within this.
const FAILED_MAX: Duration = Duration::from_secs(300);

/// Why the server is no help now.
#[derive(Debug, thiserror::Error)]
pub enum HawkBitError {
    /// No answer, or not in time.
    #[error("ask hawkBit")]
    Unreachable(#[source] reqwest::Error),
    /// It refuses.
    #[error("hawkBit answered {status} to {path}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        path: String,
    },
    /// Its answer is not understood.
    #[error("hawkBit's answer to {path}: {why}")]
    Answer {
        /// What was asked for.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be written.
    #[error("write the bundle")]
    File(#[from] io::Error),
    /// The bundle is another one than was announced.
    #[error("the bundle has SHA-256 {found}, announced is {announced}")]
    Sum {
        /// What came.
        found: String,
        /// What was to come.
        announced: String,
        /// Its first bytes were here before, and may have been another bundle's.
        is_resumed: bool,
    },
    /// The bundle is longer or shorter than was announced.
    #[error("the bundle does not have the {announced} bytes that were announced")]
    Size {
        /// What was to come.
        announced: u64,
        /// Its first bytes were here before, and may have been another bundle's.
        is_resumed: bool,
    },
}

impl HawkBitError {
    /// Whether the bundle will never be what was announced, however often it is fetched.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Sum { is_resumed, .. } | Self::Size { is_resumed, .. } => !is_resumed,
            Self::Unreachable(_) | Self::Status { .. } | Self::Answer { .. } | Self::File(_) => {
                false
            }
        }
    }
}

/// One server, one box.
pub struct HawkBit {
    client: Client,
    base: Url,
    _line: Line,
    token: SecretText,
    home: String,
    next_poll: Option<Instant>,
    pause: Pause,
    /// Before that, nothing is known of what the server wants.
    has_answered: bool,
    found: Option<Found>,
    /// The bundle that is under way.
    download: Option<Download>,
    /// The action, what was said about it last, and for which kind of reason.
    told: Option<(String, &'static str, &'static str)>,
    trouble: Option<String>,
}

impl HawkBit {
    /// The server at this line, where this box is known by this token.
    pub fn new(
        line: Line,
        tenant: &str,
        node: &NodeId,
        token: SecretText,
    ) -> Result<Self, HawkBitError> {
        let home = format!("/{tenant}/controller/v1/{node}");
        let bad = |why: &str| HawkBitError::Answer { path: home.clone(), why: why.to_owned() };
        let base = Url::parse(line.url()).map_err(|_| bad("the address is no URL"))?;
        let client = client::builder().connect_timeout(CONNECT_MAX).read_timeout(SILENCE_MAX);
        let client = line.client(client).map_err(HawkBitError::Unreachable)?;
        Ok(Self {
            client,
            base,
            _line: line,
            token,
            home,
            next_poll: None,
            pause: Pause::new(POLL_MIN, FAILED_MAX),
            has_answered: false,
            found: None,
            download: None,
            told: None,
            trouble: None,
        })
    }

    /// What the server wants installed here; asks when it is time to.
    ///
    /// While it does not answer, what it said last counts. `is_begun` tells of a version, or of any where the server
    /// has named none, whether it is too late to take it back.
    pub(super) async fn offered(
        &mut self,
        board: &str,
        is_begun: impl Fn(Option<&str>) -> bool,
    ) -> Vec<Release> {
        if self.next_poll.is_none_or(|at| at <= env::instant()) {
            let wait = match self.poll(board, is_begun).await {
                Ok(sleep) => {
                    self.pause.reset();
                    (self.has_answered, self.trouble) = (true, None);
                    sleep
                }
                Err(error) => {
                    self.trouble = Some(chain(&error));
                    self.pause.after_failure()
                }
            };
            self.next_poll = Some(env::instant() + wait);
        }
        self.found.iter().filter_map(|found| release(found, board)).collect()
    }

    /// Why the last poll was not answered.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether the server has said what it wants since this program started.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Asks what is wanted; tells how long to wait before it is asked again.
    async fn poll(
        &mut self,
        board: &str,
        is_begun: impl Fn(Option<&str>) -> bool,
    ) -> Result<Duration, HawkBitError> {
        let root: Root = self.get(&self.own(&self.home)?).await?;
        if let Some(link) = root.config_data() {
            let url = self.own(link)?;
            let request = self.request(Method::PUT, &url).json(&ConfigData::of(board));
            self.send(request, &url).await?;
        }
        if let Some(link) = root.cancel() {
            let url = self.own(link)?;
            let Cancel { id, .. } = self.get(&url).await?;
            let version = self.found.as_ref().map(|found| found.version.as_str());
            if is_begun(version) {
                let why = "it is installed, or about to be";
                self.feed_back(url.path(), &Feedback::of(&id, "rejected", "none", why)).await?;
            } else {
                self.feed_back(url.path(), &Feedback::of(&id, "closed", "success", "")).await?;
                self.found = None;
            }
        } else if let Some(link) = root.deployment() {
            let url = self.own(link)?;
            let deployment: Deployment = self.get(&url).await?;
            let bad = |why: String| HawkBitError::Answer { path: url.path().to_owned(), why };
            let found = deployment.found(url.path()).map_err(bad)?;
            let is_new = self.found.as_ref().is_none_or(|before| before.action != found.action);
            if is_new {
                self.told = None;
            }
            self.found = Some(found);
        } else {
            self.found = None;
        }
        Ok(root.sleep().unwrap_or(POLL_MAX).clamp(POLL_MIN, POLL_MAX))
    }

    /// Tells what became of the action, once for each kind of reason: its words may change with every sale.
    pub(super) async fn tell(
        &mut self,
        word: &'static str,
        kind: &'static str,
        why: &str,
    ) -> Result<(), HawkBitError> {
        let Some(found) = &self.found else { return Ok(()) };
        let action = found.action.clone();
        let told = Some((action.clone(), word, kind));
        if self.told == told {
            return Ok(());
        }
        let (execution, result) = match word {
            "confirmed" => ("closed", "success"),
            "failed" => ("closed", "failure"),
            "handed-over" => ("downloaded", "none"),
            "held" => ("scheduled", "none"),
            _ => ("proceeding", "none"),
        };
        let path = found.path.clone();
        self.feed_back(&path, &Feedback::of(&action, execution, result, why)).await?;
        self.told = told;
        Ok(())
    }

    /// Speaks of the action at this path.
    async fn feed_back(&self, of: &str, feedback: &Feedback) -> Result<(), HawkBitError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{of}/feedback"));
        let request = self.request(Method::POST, &url).json(feedback);
        self.send(request, &url).await.map(|_| ())
    }

    async fn get<A: serde::de::DeserializeOwned>(&self, url: &Url) -> Result<A, HawkBitError> {
        let request = self.request(Method::GET, url).header(ACCEPT, "application/hal+json");
        let mut answer = self.send(request, url).await?;
        let bad = |why: String| HawkBitError::Answer { path: url.path().to_owned(), why };
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await.map_err(HawkBitError::Unreachable)? {
            body.extend_from_slice(&bytes);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(bad("it is too long".to_owned()));
            }
        }
        serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))
    }

    /// Sends what is answered shortly.
    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Response, HawkBitError> {
        let answer = request.timeout(ANSWER_MAX).send().await;
        let answer = answer.map_err(HawkBitError::Unreachable)?;
        judge(&answer, url)?;
        Ok(answer)
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let token = format!("TargetToken {}", self.token.reveal());
        self.client.request(method, url.clone()).header(AUTHORIZATION, token)
    }

    fn own(&self, link: &str) -> Result<Url, HawkBitError> {
        own(&self.base, link)
            .map_err(|why| HawkBitError::Answer { path: link.chars().take(200).collect(), why })
    }
}

/// Where a link leads on the configured server: nothing but its path and its query counts.
fn own(base: &Url, link: &str) -> Result<Url, String> {
    let far = base.join(link).map_err(|error| error.to_string())?;
    let mut url = base.clone();
    url.set_path(far.path());
    url.set_query(far.query());
    Ok(url)
}

/// A deployment as a release; nothing if it is not for this board or its version is none.
fn release(found: &Found, board: &str) -> Option<Release> {
    let version = found.version.parse().ok()?;
    let release = Release {
        id: Release::id_of(board, version),
        version,
        board: board.to_owned(),
        bytes: found.size,
        digest: found.sha256,
        index: found.sha256,
        index_bytes: 1,
        ring: EVERYONE.to_owned(),
        state: State::Offered,
        failures_max: 0,
        why: String::new(),
        approval: String::new(),
    };
    release.check().is_ok().then_some(release)
}

fn judge(answer: &Response, url: &Url) -> Result<(), HawkBitError> {
    let path = || url.path().to_owned();
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(HawkBitError::Status { status: status.as_u16(), path: path() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_the_configured_server_whatever_it_says() {
        let base = Url::parse("https://hawkbit.example:8443/").unwrap();
        for link in [
            "http://evil.example/p?c=1",
            "http://evil.example//evil.example/p",
            "//evil.example/p",
            "/\\evil.example/p",
            "https://evil.example:1/\\evil.example/p",
            "/p/../../p",
        ] {
            let url = own(&base, link).unwrap();
            let origin = (url.scheme(), url.host_str(), url.port());
            assert_eq!(origin, ("https", Some("hawkbit.example"), Some(8443)), "{link} to {url}");
        }
        let far = own(&base, "http://evil.example/DEFAULT/p?c=-1").unwrap();
        assert_eq!(far.as_str(), "https://hawkbit.example:8443/DEFAULT/p?c=-1");
        assert!(own(&base, "http://[").is_err());
    }
}
