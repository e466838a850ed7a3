//! The sealed line to another box: what [`crate::replica`] and [`crate::uplink`] use where the source says `sealed`.
//!
//! Between here and the other box anything may stand: it sees key ids and lengths.
//! A sealed line never falls back: an answer in the open is refused, whatever it says.
//! Reads carry no token, so that a cache may answer them; everything else is sealed with the token inside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use storebox_proto::problem::{Code, Problem};
use storebox_proto::seal::answer::{self, Answer, Horizon, Question};
use storebox_proto::seal::read::{self, Query};
use storebox_proto::seal::write::{self, Write};
use storebox_proto::seal::{Keys, Scope, SealError};
use storebox_proto::skew;

use crate::client;
use crate::env;
use crate::seal::Seals;
use crate::secrets::SecretText;
use crate::trust::line::Line;

/// The media type of everything sealed.
pub const MEDIA_TYPE: &str = "application/vnd.storebox.sealed";
/// The newest counter that the other box took from this one.
pub const COUNTER: &str = "storebox-counter";
/// What the seal and the headers inside add to a body, at most.
const OVERHEAD_BYTES_MAX: usize = 64 * 1024;
/// A refusal in the open is shorter.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An answer that has begun goes on within this, unless its reader says otherwise.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A write is sealed again so often: for another life of the box, and for another counter.
const TRIES_MAX: usize = 3;

/// Why a sealed exchange fails.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No ring of the scope is here.
    #[error("no ring of scope {scope} is here to seal with; `storebox seal add` takes one")]
    NoKey {
        /// Which scope.
        scope: Scope,
    },
    /// No answer, or not in time.
    #[error("exchange sealed bytes")]
    Transport(#[source] reqwest::Error),
    /// An answer that has begun, or should have, and does not go on.
    #[error("nothing comes for {silence:?}")]
    Silent {
        /// For how long.
        silence: Duration,
    },
    /// What came back is not opened or not believed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The other side, or something in between, refused in the open.
    #[error("refused in the open with {status}{}", .problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        problem: Option<Problem>,
    },
    /// The answer is longer than it may be; the rest of it was not read.
    #[error("more than {bytes_max} bytes came")]
    TooLarge {
        /// What it may be.
        bytes_max: usize,
    },
}

impl WireError {
    /// Whether it is certain that nothing arrived.
    pub fn is_before_sending(&self) -> bool {
        match self {
            Self::NoKey { .. } => true,
            Self::Transport(error) => error.is_connect() || error.is_builder(),
            Self::Silent { .. } | Self::Seal(_) | Self::Refused { .. } | Self::TooLarge { .. } => {
                false
            }
        }
    }
}

/// What is asked in a sealed write.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'a str,
    /// Path and query at the other box.
    pub target: String,
    /// A JSON body; empty: none.
    pub body: Vec<u8>,
    /// How long the answer may take.
    pub within: Duration,
    /// How long its body may be.
    pub bytes_max: usize,
}

/// A sealed line; cheap to clone.
#[derive(Clone, Debug)]
pub struct Wire {
    inner: Arc<Inner>,
    silence: Duration,
}

struct Inner {
    client: Client,
    seals: Seals,
    scope: Scope,
    base: String,
    _line: Line,
    token: SecretText,
    life: AtomicU64,
    counter: AtomicU64,
    horizon: Mutex<Horizon>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({} in {} …)", self.base, self.scope)
    }
}

impl Wire {
    /// A line to the box at this address, to which this one is known by its token.
    pub fn new(
        address: &str,
        token: SecretText,
        seals: Seals,
        scope: Scope,
    ) -> Result<Self, reqwest::Error> {
        Self::over(&Line::straight(address), token, seals, scope)
    }

    /// The same over this line.
    pub fn over(
        line: &Line,
        token: SecretText,
        seals: Seals,
        scope: Scope,
    ) -> Result<Self, reqwest::Error> {
        let client = line.client(client::builder().connect_timeout(CONNECT_MAX))?;
        // Above whatever an earlier process counted, unless a clock went back: then the other box says where it is.
        let now = u64::try_from(env::believable().unix_ms()).unwrap_or(0);
        let inner = Inner {
            client,
            seals,
            scope,
            base: line.url().trim_end_matches('/').to_owned(),
            _line: line.clone(),
            token,
            life: AtomicU64::new(0),
            counter: AtomicU64::new(now << 10),
            horizon: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner), silence: SILENCE_MAX })
    }

    /// The same line for somebody whose answers may stop for so long and no longer.
    #[must_use]
    pub fn patient(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// Reads what everybody in the scope may have; a cache may answer.
    ///
    /// A large answer on a slow line may take all of its time, as long as something of it comes.
    pub async fn read(
        &self,
        path: &str,
        pairs: Vec<(String, String)>,
        within: Duration,
        bytes_max: usize,
    ) -> Result<Answer, WireError> {
        let keys = self.keys()?;
        let url = read::seal(&keys, &Query::new(path, pairs)?);
        let request = self.inner.client.get(self.address(&url)).timeout(within);
        let exchange = self.exchange(request, self.silence.min(within), bytes_max);
        self.open(&keys, &Question::read(&url), &exchange.await?)
    }

    /// Asks as this box: for its own eyes, and once.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Answer, WireError> {
        let key = env::random();
        let mut tries = 1;
        loop {
            let answer = self.ask_once(&ask, key).await?;
            if tries < TRIES_MAX && self.is_to_be_sealed_again(&answer) {
                tries += 1;
                continue;
            }
            return Ok(answer);
        }
    }

    async fn ask_once(&self, ask: &Ask<'_>, key: [u8; 16]) -> Result<Answer, WireError> {
        let keys = self.keys()?;
        let mut headers = Vec::new();
        // Whoever is known otherwise needs no token.
        if !self.inner.token.reveal().is_empty() {
            let bearer = format!("Bearer {}", self.inner.token.reveal());
            headers.push(("authorization".to_owned(), bearer));
        }
        headers.push((skew::HEADER.to_owned(), skew::API.to_string()));
        if !ask.body.is_empty() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let write = Write {
            life: self.inner.life.load(Ordering::Relaxed),
            counter: self.inner.counter.fetch_add(1, Ordering::Relaxed) + 1,
            key,
            method: ask.method.to_owned(),
            target: ask.target.clone(),
            headers,
            body: ask.body.clone(),
        };
        let (url, body) = write::seal(&keys, &write, &env::random());
        let question = Question::write(&url, &body);
        let request = self.inner.client.post(self.address(&url)).timeout(ask.within);
        let request = request.header("content-type", MEDIA_TYPE).body(body);
        let sealed = self.exchange(request, ask.within, ask.bytes_max).await?;
        self.open(&keys, &question, &sealed)
    }

    /// Learns from a refusal by the seal what the next try needs.
    fn is_to_be_sealed_again(&self, answer: &Answer) -> bool {
        if answer.status != Code::SealRestarted.status() {
            return false;
        }
        let top = answer.header(COUNTER).and_then(|text| text.parse().ok());
        if let Some(top) = top {
            self.inner.counter.fetch_max(top, Ordering::Relaxed);
        }
        let problem = serde_json::from_slice::<Problem>(&answer.body);
        let code = problem.map(|problem| problem.code);
        let ours = [Code::SealRestarted, Code::SealReplayed, Code::SealReordered];
        code.is_ok_and(|code| ours.contains(&code))
    }

    fn open(&self, keys: &Keys, question: &Question, sealed: &[u8]) -> Result<Answer, WireError> {
        let answer = answer::open(keys, question, sealed)?;
        answer.check_age(env::believable())?;
        let mut horizon = self.inner.horizon.lock().unwrap_or_else(PoisonError::into_inner);
        horizon.check(&answer)?;
        self.inner.life.store(answer.life, Ordering::Relaxed);
        Ok(answer)
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        begins_within: Duration,
        bytes_max: usize,
    ) -> Result<Vec<u8>, WireError> {
        let response = soon(begins_within, request.send()).await?;
        let kind = response.headers().get("content-type").map(|kind| kind.as_bytes());
        let is_sealed = kind == Some(MEDIA_TYPE.as_bytes());
        let status = response.status();
        if status.is_success() && is_sealed {
            return body(response, self.silence, bytes_max + OVERHEAD_BYTES_MAX).await;
        }
        if status.is_success() {
            return Err(SealError::Downgraded.into());
        }
        let text = body(response, self.silence, REFUSAL_BYTES_MAX).await?;
        let problem = serde_json::from_slice(&text).ok();
        Err(WireError::Refused { status: status.as_u16(), problem })
    }

    fn keys(&self) -> Result<Keys, WireError> {
        let scope = self.inner.scope;
        let moment = self.inner.seals.moment(env::believable());
        moment.sealing(scope).cloned().ok_or(WireError::NoKey { scope })
    }

    fn address(&self, url: &str) -> String {
        format!("{}{url}", self.inner.base)
    }
}

async fn body(
    mut response: Response,
    silence: Duration,
    bytes_max: usize,
) -> Result<Vec<u8>, WireError> {
    let mut body = Vec::new();
    while let Some(part) = soon(silence, response.chunk()).await? {
        if body.len() + part.len() > bytes_max {
            return Err(WireError::TooLarge { bytes_max });
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// What the other side does in time.
async fn soon<T>(
    silence: Duration,
    work: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, WireError> {
    let done = tokio::time::timeout(silence, work).await;
    done.map_err(|_| WireError::Silent { silence })?.map_err(transport)
}

fn transport(error: reqwest::Error) -> WireError {
    WireError::Transport(error.without_url())
}
