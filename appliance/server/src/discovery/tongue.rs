//! Plain HTTP or TLS: which of them an endpoint speaks is found out by asking, and remembered.
//!
//! Nothing that is announced is believed, so it is not announced.
//! Over TLS a box is alive only if it is the box of this site: a fake one that has the address fails the handshake.
//! An endpoint that speaks plain HTTP may be anybody, as before; what is sent to it proves itself in other ways.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use storebox_proto::limits::BOOK_ENDPOINTS_MAX;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Whom to believe over TLS.
#[derive(Debug, Clone)]
pub struct Greeting {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Greeting {
    /// Boxes that this side of TLS believes under this name.
    pub fn new(config: ClientConfig, name: ServerName<'static>) -> Self {
        Self { config: Arc::new(config), name }
    }
}

/// What an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tongue {
    Plain,
    Tls,
}

/// An open connection in either of them.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What is known of all endpoints; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Tongues {
    greeting: Option<Greeting>,
    known: Arc<Mutex<BTreeMap<SocketAddr, Tongue>>>,
}

impl Tongues {
    /// Without a greeting everything is asked in the open.
    pub(super) fn new(greeting: Option<Greeting>) -> Self {
        Self { greeting, known: Arc::default() }
    }

    /// What to try at this endpoint, in order.
    pub(super) fn to_try(&self, endpoint: SocketAddr) -> &'static [Tongue] {
        match (&self.greeting, self.of(endpoint)) {
            (None, _) | (Some(_), Some(Tongue::Plain)) => &[Tongue::Plain],
            (Some(_), Some(Tongue::Tls)) => &[Tongue::Tls],
            (Some(_), None) => &[Tongue::Plain, Tongue::Tls],
        }
    }

    /// What this endpoint has answered in.
    pub(super) fn of(&self, endpoint: SocketAddr) -> Option<Tongue> {
        self.lock().get(&endpoint).copied()
    }

    /// It has answered in this one; or in none, and may be another box tomorrow.
    pub(super) fn learn(&self, endpoint: SocketAddr, tongue: Option<Tongue>) {
        let mut known = self.lock();
        match tongue {
            None => drop(known.remove(&endpoint)),
            Some(tongue) => {
                if known.len() >= BOOK_ENDPOINTS_MAX && !known.contains_key(&endpoint) {
                    known.pop_first();
                }
                known.insert(endpoint, tongue);
            }
        }
    }

    /// Opens a connection.
    pub(super) async fn open(
        &self,
        endpoint: SocketAddr,
        tongue: Tongue,
    ) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(endpoint).await?;
        stream.set_nodelay(true)?;
        match (tongue, &self.greeting) {
            (Tongue::Tls, Some(Greeting { config, name })) => {
                let connector = TlsConnector::from(Arc::clone(config));
                Ok(Box::new(connector.connect(name.clone(), stream).await?))
            }
            (Tongue::Plain, _) | (Tongue::Tls, None) => Ok(Box::new(stream)),
        }
    }

    /// A plain map, whole even if a thread died while holding the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Tongue>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
