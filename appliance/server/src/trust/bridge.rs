//! The way to another server over TLS, for clients that speak plain HTTP to a Unix socket of this box.
//!
//! What replicates and what ships transactions stays as it is; here its bytes are put into TLS with the box's own
//! certificate, and the server at the other end is believed only if head office has certified it for its site.
//! The socket is in the folder of the box's papers, which nobody else can enter; whoever could has the key too.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use storebox_proto::ids::SiteId;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::client::Way;
use super::house::House;

/// A connection and its handshake take no longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Connections at once; each client of a bridge holds a few.
const CONNECTIONS_MAX: usize = 32;

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The URL has no host, or a scheme that is not https.
    #[error("{0:?} is not a URL such as https://main.example:8443")]
    Address(String),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    /// The socket cannot be made.
    #[error("make the socket {path}")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An open socket and where it leads.
pub struct Bridge {
    listener: UnixListener,
    path: PathBuf,
    config: Arc<ClientConfig>,
    way: Way,
    target: (String, u16),
}

/// Where clients of a bridge connect, whether it is open or not.
pub fn socket(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.sock"))
}

impl Bridge {
    /// Opens the way to the server of a site at this https URL.
    pub fn open(
        house: &House,
        folder: &Path,
        name: &str,
        url: &str,
        site: SiteId,
    ) -> Result<Self, BridgeError> {
        let target = target(url).ok_or_else(|| BridgeError::Address(url.to_owned()))?;
        let (way, credentials) = house.way_to(site);
        let config = way.config(Some(credentials)).map_err(BridgeError::Tls)?;
        let path = socket(folder, name);
        let fail = |source| BridgeError::Socket { path: path.clone(), source };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path).map_err(fail)?;
        Ok(Self { listener, path, config: Arc::new(config), way, target })
    }

    /// Where clients connect.
    pub fn socket(&self) -> &Path {
        &self.path
    }

    /// Carries connections until the box stops; what is under way when this is dropped is cut.
    pub async fn run(self, stop: CancellationToken) {
        let mut carried = JoinSet::new();
        loop {
            enum Event {
                Stop,
                Came(io::Result<UnixStream>),
                Ended,
            }
            let event = tokio::select! {
                () = stop.cancelled() => Event::Stop,
                came = self.listener.accept(), if carried.len() < CONNECTIONS_MAX => {
                    Event::Came(came.map(|(stream, _)| stream))
                }
                Some(_) = carried.join_next() => Event::Ended,
            };
            match event {
                Event::Stop => return,
                Event::Came(Ok(near)) => {
                    let (config, way) = (Arc::clone(&self.config), self.way.clone());
                    let target = self.target.clone();
                    carried.spawn(async move {
                        if let Err(error) = carry(near, config, way, &target).await {
                            tracing::warn!(%error, to = %target.0, "the server is not believed or does not answer");
                        }
                    });
                }
                Event::Came(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Event::Ended => {}
            }
        }
    }
}

async fn carry(
    mut near: UnixStream,
    config: Arc<ClientConfig>,
    way: Way,
    target: &(String, u16),
) -> io::Result<()> {
    let connect = async {
        let stream = TcpStream::connect((target.0.as_str(), target.1)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(config).connect(way.server_name(), stream).await
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, "not within five seconds");
    let mut far = tokio::time::timeout(CONNECT_MAX, connect).await.map_err(|_| late())??;
    // How a connection ends is no news: both sides close when they like.
    let _ = copy_bidirectional(&mut near, &mut far).await;
    Ok(())
}

/// Host and port of an https URL.
fn target(url: &str) -> Option<(String, u16)> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split('/').next().filter(|authority| !authority.contains('@'))?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        Some(_) | None => (authority, 443),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_a_url_is_its_host_and_port() {
        let is = |url: &str, host: &str, port| {
            assert_eq!(target(url), Some((host.to_owned(), port)), "{url}");
        };
        is("https://main.example:8443", "main.example", 8443);
        is("https://main.example/", "main.example", 443);
        is("https://[fe80::1]:8443/", "fe80::1", 8443);
        is("https://[fe80::1]", "fe80::1", 443);
        for bad in ["http://main.example", "https://", "https://a@b:1", "https://a:99999"] {
            assert_eq!(target(bad), None, "{bad}");
        }
    }
}
