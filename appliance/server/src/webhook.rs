//! A signed call of another program, by the rules of Standard Webhooks.
//!
//! Three headers protect it against change and replay: `webhook-id` names what is told, `webhook-timestamp` is the time
//! of this attempt, and `webhook-signature` holds, over `id.timestamp.body`, `v1a,` with the Ed25519 signature of this
//! box (`storebox key` prints the public key) and, if there is a shared secret, `v1,` with an HMAC-SHA256.
//!
//! Masterdata names the file that holds a secret; the secret is on the box alone, and neither log nor error shows it.
//! A program behind an https address is believed by authorities, as the configuration names them; behind the shop's
//! proxy every program is reached, whatever its address begins with.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use serde_json::Value;
use sha2::Sha256;
use storebox_proto::estate::channel::Webhook;

use crate::client;
use crate::env;
use crate::logging;
use crate::trust::line::{Believed, Line, Lines};
use crate::valve::Valve;

/// The folder of the data directory that holds shared secrets, a file each.
pub const SECRETS: &str = "secrets";
/// The prefix of a shared secret whose rest is base64, as Standard Webhooks writes it.
const SECRET_PREFIX: &str = "whsec_";
/// Time to connect.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Programs to which the way is kept.
const WAYS_MAX: usize = 64;
/// Of a refusal, so much is shown.
const ANSWER_SHOWN_MAX: usize = 300;
/// The longest answer that is read.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A secret goes on in something else than base64 behind its prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a secret that begins with whsec_ goes on in base64")]
pub struct InvalidSecret;

/// Why a call did not bring an answer.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// The box does not have the secret.
    #[error("read the secret {name}")]
    Secret {
        /// The name of its file.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The secret is not one.
    #[error(transparent)]
    Invalid(#[from] InvalidSecret),
    /// Nobody answers, or not in time.
    #[error("{0}")]
    Unavailable(String),
    /// The other side does not want what it was told; it will not want it later either.
    #[error("{status} {text}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// The beginning of its answer.
        text: String,
    },
    /// The other side has taken it; what it says beyond that is cut off, too long, or no JSON.
    #[error("the answer {0}")]
    Answer(String),
}

impl CallFault {
    /// Whether the very same call may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Secret { .. } | Self::Unavailable(_) => true,
            Self::Invalid(_) | Self::Refused { .. } | Self::Answer(_) => false,
        }
    }
}

/// Calls other programs; cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    client: Client,
    signer: SigningKey,
    secrets: PathBuf,
    ways: Option<Arc<Ways>>,
    valve: Valve,
}

/// The ways to programs that are not reached straight: over TLS, or through the shop's proxy.
struct Ways {
    lines: Lines,
    authorities: PathBuf,
    known: Mutex<BTreeMap<String, Way>>,
}

/// A client and the line that it goes over; neither is of use without the other.
#[derive(Clone)]
struct Way {
    client: Client,
    line: Line,
}

impl Ways {
    /// Whether programs at such an origin are reached over a line of their own.
    fn lead_to(&self, origin: &str) -> bool {
        origin.starts_with("https://") || self.lines.proxy().is_some()
    }

    /// The way to this origin, which is opened when it is asked for first.
    fn to(&self, origin: &str) -> Result<Way, CallFault> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = known.get(origin) {
            return Ok(way.clone());
        }
        let line = self.lines.open(origin, Believed::Authorities(&self.authorities));
        let line = line.map_err(|error| CallFault::Unavailable(logging::chain(&error)))?;
        let client = line.client(builder(4));
        let client = client.map_err(|error| CallFault::Unavailable(logging::chain(&error)))?;
        if known.len() >= WAYS_MAX {
            known.clear();
        }
        let way = Way { client, line };
        known.insert(origin.to_owned(), way.clone());
        Ok(way)
    }
}

/// Scheme, host and port of an address, and what follows.
fn split(url: &str) -> Option<(&str, &str)> {
    let begin = ["https://", "http://"].into_iter().find(|begin| url.starts_with(begin))?.len();
    let rest = &url[begin..];
    let end = begin + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some(url.split_at(end))
}

impl Webhooks {
    /// Calls signed by this key, with shared secrets out of this directory.
    pub fn new(signer: SigningKey, secrets: PathBuf) -> Result<Self, reqwest::Error> {
        let (client, valve) = (builder(4).build()?, Valve::default());
        Ok(Self { client, signer, secrets, ways: None, valve })
    }

    /// Reaches https addresses, and behind a proxy all, over these lines, believing these authorities (an empty name: those of the machine).
    #[must_use]
    pub fn over(self, lines: Lines, authorities: PathBuf) -> Self {
        let ways = Ways { lines, authorities, known: Mutex::default() };
        Self { ways: Some(Arc::new(ways)), ..self }
    }

    /// Calls everybody through this valve: other programs are where the line leads to, as far as a box can tell.
    #[must_use]
    pub fn behind(self, valve: &Valve) -> Self {
        Self { valve: valve.clone(), ..self }
    }

    /// Tells something and reads the answer: JSON, or null if it is empty.
    ///
    /// The definition's time holds for all of it, from connecting to the last byte.
    pub async fn call(&self, to: &Webhook, id: &str, told: &Value) -> Result<Value, CallFault> {
        self.ask(to, id, told, |response| async { read(accepted(response).await?).await }).await
    }

    /// Tells something to somebody of whom nothing is asked: a 2xx has taken it, whatever its body says.
    pub async fn tell(&self, to: &Webhook, id: &str, told: &Value) -> Result<(), CallFault> {
        self.ask(to, id, told, |response| async { accepted(response).await.map(drop) }).await
    }

    async fn ask<T, F: Future<Output = Result<T, CallFault>>>(
        &self,
        to: &Webhook,
        id: &str,
        told: &Value,
        judge: impl FnOnce(Response) -> F,
    ) -> Result<T, CallFault> {
        let secret = to.secret.as_ref().map(|name| self.secret(name)).transpose()?;
        let body = serde_json::to_vec(told).expect("a JSON value has string keys");
        let now = env::timestamp().unix_ms() / 1000;
        let signature = sign(&self.signer, secret.as_deref(), id, now, &body);
        let way = match (split(&to.url), &self.ways) {
            (Some((origin, rest)), Some(ways)) if ways.lead_to(origin) => {
                Some((ways.to(origin)?, rest))
            }
            (Some(_), _) | (None, _) => None,
        };
        let request = match &way {
            Some((way, rest)) => way.client.post(format!("{}{rest}", way.line.url())),
            None => self.client.post(&to.url),
        };
        let request = request
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(body);
        let limit = Duration::from_millis(u64::from(to.timeout_ms));
        let late = || CallFault::Unavailable(format!("no answer within {} ms", to.timeout_ms));
        let asked = async {
            let response = request.send().await;
            let response =
                response.map_err(|error| CallFault::Unavailable(logging::chain(&error)))?;
            judge(response).await
        };
        let cut = || CallFault::Unavailable("a drill cuts the line".to_owned());
        let answered = self.valve.pass(tokio::time::timeout(limit, asked)).await.ok_or_else(cut)?;
        answered.map_err(|_| late())?
    }

    fn secret(&self, name: &str) -> Result<Vec<u8>, CallFault> {
        let text = std::fs::read_to_string(self.secrets.join(name))
            .map_err(|source| CallFault::Secret { name: name.to_owned(), source })?;
        Ok(shared(text.trim())?)
    }
}

/// A client for the programs of others.
pub fn builder(idle_max: usize) -> ClientBuilder {
    client::builder().connect_timeout(CONNECT_MAX).pool_max_idle_per_host(idle_max)
}

/// The bytes of a shared secret.
pub fn shared(text: &str) -> Result<Vec<u8>, InvalidSecret> {
    match text.strip_prefix(SECRET_PREFIX) {
        None => Ok(text.as_bytes().to_vec()),
        Some(rest) => STANDARD.decode(rest).map_err(|_| InvalidSecret),
    }
}

/// The value of `webhook-signature`.
pub fn sign(signer: &SigningKey, secret: Option<&[u8]>, id: &str, now: i64, body: &[u8]) -> String {
    let mut signed = format!("{id}.{now}.").into_bytes();
    signed.extend_from_slice(body);
    let own = STANDARD.encode(signer.sign(&signed).to_bytes());
    let mut signature = format!("v1a,{own}");
    if let Some(secret) = secret {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of HMAC has any length");
        let mac = mac.chain_update(&signed).finalize().into_bytes();
        signature = format!("v1,{} {signature}", STANDARD.encode(mac));
    }
    signature
}

/// What a refusal by its content is: the same content is refused again.
pub fn is_final(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 409 | 413 | 415 | 422)
}

/// An answer that says by its status that what was told is taken.
async fn accepted(response: Response) -> Result<Response, CallFault> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = shown(response).await;
    match is_final(status) {
        true => Err(CallFault::Refused { status, text }),
        false => Err(CallFault::Unavailable(format!("{status} {text}"))),
    }
}

async fn read(mut response: Response) -> Result<Value, CallFault> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => {
                return Err(CallFault::Answer(format!("breaks off: {}", logging::chain(&error))));
            }
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(CallFault::Answer(format!("is longer than {ANSWER_BYTES_MAX} bytes")));
        }
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| CallFault::Answer(format!("is not JSON: {error}")))
}

/// The beginning of an answer, for a person.
pub async fn shown(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_SHOWN_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(|c| !c.is_control()).take(ANSWER_SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Verifier;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config;
    use crate::trust::proxy::Proxy;

    fn told(url: String) -> Webhook {
        serde_json::from_value(serde_json::json!({ "url": url })).unwrap()
    }

    fn webhooks(dir: &std::path::Path) -> Webhooks {
        Webhooks::new(SigningKey::from_bytes(&[7; 32]), dir.join(SECRETS)).unwrap()
    }

    /// Takes one connection, gives this answer, and returns what was asked.
    async fn answer(listener: &TcpListener, answer: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn a_program_without_tls_is_reached_through_the_shops_proxy_as_well() {
        let (dir, proxy) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").await);
        let proxy = proxy.unwrap();
        let at = proxy.local_addr().unwrap();
        let url = config::ProxyUrl(Some((at.ip().to_string(), at.port())));
        let settings = config::Proxy { url, ..config::Proxy::default() };
        let lines = Lines::through(Proxy::of(&settings), dir.path(), None);
        let webhooks = webhooks(dir.path()).over(lines, PathBuf::new());
        let hook = told("http://erp.example/told".to_owned());
        let asking = answer(&proxy, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        let (asked, called) = tokio::join!(asking, webhooks.call(&hook, "1", &Value::Null));
        assert!(asked.starts_with("CONNECT erp.example:80 HTTP/1.1\r\n"), "{asked}");
        assert!(
            matches!(called, Err(CallFault::Unavailable(_))),
            "the proxy's word is not the program's"
        );
    }

    #[test]
    fn what_follows_the_origin_of_an_address_is_kept() {
        assert_eq!(split("https://erp:8443/told?x=1"), Some(("https://erp:8443", "/told?x=1")));
        assert_eq!(split("https://erp"), Some(("https://erp", "")));
        assert_eq!(split("https://erp?x=1"), Some(("https://erp", "?x=1")));
        assert_eq!(split("http://erp/told"), Some(("http://erp", "/told")));
        assert_eq!(split("ftp://erp/told"), None);
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn the_hmac_is_that_of_the_specification() {
        let secret = shared("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signer = SigningKey::from_bytes(&[7; 32]);
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let text = sign(&signer, Some(&secret), id, 1_614_265_330, body);
        let (first, second) = text.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let bytes = STANDARD.decode(second.strip_prefix("v1a,").unwrap()).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&bytes).unwrap();
        let mut signed = format!("{id}.1614265330.").into_bytes();
        signed.extend_from_slice(body);
        assert!(signer.verifying_key().verify(&signed, &signature).is_ok());
    }
}
