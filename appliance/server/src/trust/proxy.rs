//! The way out of a shop whose firewall lets nothing out but a proxy.
//!
//! Everything goes through a tunnel (CONNECT), plain HTTP as well: so what the proxy says itself is never taken for the
//! word of the server behind it, and a proxy that refuses is a line that is down, not a refusal of sales.
//! What went wrong last is kept for each server, with the proxy's name, for the status: a proxy that does not lead to
//! one server may lead to all others. It is forgotten with the next tunnel to that server.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::upgrade::{self, Upgraded};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::keepalive;
use crate::config;

/// A proxy in the shop or at the provider takes a connection at once, or not at all.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// It then looks for the server.
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// Servers beyond the shop whose last tunnel is remembered; a box has a handful.
const TARGETS_MAX: usize = 64;

/// Bytes to and from the server behind the proxy.
pub type Tunnel = TokioIo<Upgraded>;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Nobody takes connections there.
    #[error("the proxy {proxy} does not answer")]
    Silent {
        /// Which.
        proxy: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took the connection and broke off, or speaks no HTTP.
    #[error("the proxy {proxy} breaks off")]
    Broken {
        /// Which.
        proxy: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// It took the connection and says nothing.
    #[error("the proxy {proxy} says nothing about {to}")]
    Late {
        /// Which.
        proxy: String,
        /// Where the tunnel was to lead.
        to: String,
    },
    /// What the tunnel was to lead to is no host and port.
    #[error("{to:?} is nowhere that a proxy leads to")]
    Target {
        /// Where it was to lead.
        to: String,
        /// Why not.
        #[source]
        source: hyper::http::Error,
    },
    /// It does not connect.
    #[error("the proxy {proxy} does not connect to {to}: it answers {status}")]
    Refused {
        /// Which.
        proxy: String,
        /// Where the tunnel was to lead.
        to: String,
        /// Its answer.
        status: StatusCode,
    },
}

impl ProxyError {
    /// Whether the proxy does its work, and what it says is about one server.
    pub fn is_beyond(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Target { .. } => true,
            Self::Silent { .. } | Self::Broken { .. } | Self::Late { .. } => false,
        }
    }

    /// Whether it is known that the proxy does not work; one that is late may wait for a server that is away.
    fn is_its_own(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Late { .. } | Self::Refused { .. } | Self::Target { .. } => false,
        }
    }
}

/// A proxy; cheap to clone.
#[derive(Debug, Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
}

/// What came of the last tunnel to each server; nothing: it was opened.
type Targets = BTreeMap<String, Option<Arc<ProxyError>>>;

#[derive(Debug)]
struct Inner {
    host: String,
    port: u16,
    url: String,
    settings: config::Proxy,
    targets: Mutex<Targets>,
}

impl Proxy {
    /// The one of the configuration, if there is one.
    pub fn of(settings: &config::Proxy) -> Option<Self> {
        let (host, port) = settings.url.0.clone()?;
        let url = String::from(settings.url.clone());
        let inner =
            Inner { host, port, url, settings: settings.clone(), targets: Mutex::default() };
        Some(Self { inner: Arc::new(inner) })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Whether this host is reached through it.
    pub fn leads_to(&self, host: &str) -> bool {
        !self.inner.settings.is_direct(host)
    }

    /// Why it does not work, if it is the proxy itself; late about all servers is as good as silent.
    pub fn fault(&self) -> Option<Arc<ProxyError>> {
        let targets = self.targets();
        let faults = || targets.values().flatten();
        let own = faults().find(|fault| fault.is_its_own());
        let leads_nowhere = !targets.values().any(Option::is_none);
        own.or_else(|| faults().find(|fault| leads_nowhere && !fault.is_beyond())).cloned()
    }

    /// What it said of the server behind this URL, if no tunnel leads there.
    pub fn said_of(&self, url: &str) -> Option<Arc<ProxyError>> {
        let (host, port) = super::line::target(url)?;
        self.targets().get(&authority(&host, port)).cloned().flatten()
    }

    /// Opens a tunnel to a server.
    pub async fn tunnel(&self, host: &str, port: u16) -> Result<Tunnel, Arc<ProxyError>> {
        let to = authority(host, port);
        let opened = self.open(&to).await.map_err(Arc::new);
        self.note(to, opened.as_ref().err().cloned());
        opened
    }

    fn note(&self, to: String, fault: Option<Arc<ProxyError>>) {
        let mut targets = self.targets();
        if fault.is_none() {
            // It works, whatever it was for others before.
            targets.retain(|_, fault| !fault.as_ref().is_some_and(|fault| fault.is_its_own()));
        }
        if targets.len() >= TARGETS_MAX && !targets.contains_key(&to) {
            targets.pop_first();
        }
        targets.insert(to, fault);
    }

    fn targets(&self) -> MutexGuard<'_, Targets> {
        self.inner.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, to: &str) -> Result<Tunnel, ProxyError> {
        let proxy = || self.inner.url.clone();
        // Nobody is disturbed for an address that leads nowhere.
        let request = Request::builder().method(Method::CONNECT).uri(to).header(HOST, to);
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|source| ProxyError::Target { to: to.to_owned(), source })?;
        let silent = |source| ProxyError::Silent { proxy: proxy(), source };
        let connect = TcpStream::connect((self.inner.host.as_str(), self.inner.port));
        let stream = match timeout(CONNECT_MAX, connect).await {
            Ok(connected) => connected.map_err(silent)?,
            Err(_) => return Err(silent(io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(silent)?;
        keepalive::keep(&stream).map_err(silent)?;
        let late = |_| ProxyError::Late { proxy: proxy(), to: to.to_owned() };
        timeout(ANSWER_MAX, self.ask(stream, request, to)).await.map_err(late)?
    }

    async fn ask(
        &self,
        stream: TcpStream,
        request: Request<Empty<Bytes>>,
        to: &str,
    ) -> Result<Tunnel, ProxyError> {
        let proxy = || self.inner.url.clone();
        let broken = |source| ProxyError::Broken { proxy: proxy(), source };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let asked = async move {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            if !status.is_success() {
                return Err(ProxyError::Refused { proxy: proxy(), to: to.to_owned(), status });
            }
            upgrade::on(response).await.map_err(broken)
        };
        let connection = async { connection.with_upgrades().await.map_err(broken) };
        let ((), upgraded) = tokio::try_join!(connection, asked)?;
        Ok(TokioIo::new(upgraded))
    }
}

/// A server as a proxy is told of it.
fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests;
