//! One connection to a box over TLS, and requests on it: what a newcomer, a till of our own and the tests use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use storebox_proto::problem::Problem;
use storebox_proto::trust::proof::{Channel, EXPORTER_LABEL};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::client::{Credentials, Way};

const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(75);
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or the other side is not believed.
    #[error("connect to {address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be set up on this side.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The connection broke.
    #[error("talk to the box")]
    Http(#[from] hyper::Error),
    /// The box is silent.
    #[error("the box did not answer in time")]
    Late,
    /// The box refuses.
    #[error("refused: {0}")]
    Refused(Problem),
    /// The answer is not understood.
    #[error("the box answered {0}, which is not understood")]
    Answer(StatusCode),
}

/// An open connection; dropping it closes it.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    channel: Channel,
    host: String,
    _driver: JoinSet<()>,
}

/// What the box has answered.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: hyper::HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Connection {
    /// Connects to the box at this address, if it is whom we believe.
    pub async fn open(
        address: SocketAddr,
        way: &Way,
        credentials: Option<Credentials>,
    ) -> Result<Self, CallError> {
        let fail = |source| CallError::Connect { address, source };
        let connector = TlsConnector::from(Arc::new(way.config(credentials)?));
        let name: ServerName<'static> = way.server_name();
        let host = name.to_str().into_owned();
        let handshake = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            connector.connect(name, stream).await
        };
        let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "not within five seconds");
        let done = tokio::time::timeout(CONNECT_MAX, handshake).await;
        let stream = done.map_err(|_| fail(late()))?.map_err(fail)?;
        let (_, tls) = stream.get_ref();
        let channel = tls.export_keying_material([0; 32], EXPORTER_LABEL, None)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(Self { sender, channel, host, _driver: driver })
    }

    /// What names this connection on both ends.
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// Says another host than the site's name, as a browser would.
    #[cfg(test)]
    pub(crate) fn say_host(&mut self, host: &str) {
        host.clone_into(&mut self.host);
    }

    /// Sends a request and reads all of the answer; a stream of events has no end and is not read.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, CallError> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()));
        let request = request.map_err(|_| CallError::Answer(StatusCode::BAD_REQUEST))?;
        let talk = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let kind = head.headers.get("content-type").map(|kind| kind.as_bytes());
            if kind == Some(b"text/event-stream") {
                return Ok(Answer {
                    status: head.status,
                    headers: head.headers,
                    body: Bytes::new(),
                });
            }
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_| CallError::Answer(head.status))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(ANSWER_MAX, talk).await.map_err(|_| CallError::Late)?
    }

    /// Posts JSON and expects JSON.
    pub async fn post<A: serde::de::DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<A, CallError> {
        let body = serde_json::to_vec(body).expect("messages are JSON");
        let json = [("content-type", "application/json")];
        self.send(Method::POST, path, &json, body).await?.json()
    }
}

impl Answer {
    /// The JSON of a success, or the refusal.
    pub fn json<A: serde::de::DeserializeOwned>(&self) -> Result<A, CallError> {
        if self.status.is_success() {
            return serde_json::from_slice(&self.body).map_err(|_| CallError::Answer(self.status));
        }
        match serde_json::from_slice(&self.body) {
            Ok(problem) => Err(CallError::Refused(problem)),
            Err(_) => Err(CallError::Answer(self.status)),
        }
    }
}
