//! The way out of a shop whose firewall lets nothing out but a proxy.
//!
//! Everything goes through a tunnel (CONNECT), plain HTTP as well: so what the proxy says itself is never taken for the
//! word of the server behind it, and a proxy that refuses is a line that is down, not a refusal of sales.
//! What went wrong last is kept, with the proxy's name, for the status; it is forgotten with the next tunnel.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
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

use crate::config;

/// A proxy in the shop or at the provider takes a connection at once, or not at all.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// It then looks for the server.
const ANSWER_MAX: Duration = Duration::from_secs(4);

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
    /// Whether the proxy does its work and it is the server behind it that is not reached.
    pub fn is_beyond(&self) -> bool {
        match self {
            Self::Refused { status, .. } => status.is_server_error(),
            Self::Target { .. } => true,
            Self::Silent { .. } | Self::Broken { .. } | Self::Late { .. } => false,
        }
    }
}

/// A proxy; cheap to clone.
#[derive(Debug, Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    host: String,
    port: u16,
    url: String,
    settings: config::Proxy,
    fault: Mutex<Option<Arc<ProxyError>>>,
}

impl Proxy {
    /// The one of the configuration, if there is one.
    pub fn of(settings: &config::Proxy) -> Option<Self> {
        let (host, port) = settings.url.0.clone()?;
        let url = String::from(settings.url.clone());
        let inner = Inner { host, port, url, settings: settings.clone(), fault: Mutex::default() };
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

    /// What went wrong when it was used last.
    pub fn fault(&self) -> Option<Arc<ProxyError>> {
        self.inner.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a tunnel to a server.
    pub async fn tunnel(&self, host: &str, port: u16) -> Result<Tunnel, Arc<ProxyError>> {
        let to = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let opened = self.open(&to).await.map_err(Arc::new);
        let fault = opened.as_ref().err().cloned();
        *self.inner.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        opened
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

#[cfg(test)]
mod tests;
