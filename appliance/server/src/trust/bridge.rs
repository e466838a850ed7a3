//! The way to another server over TLS, for clients that speak plain HTTP to a Unix socket of this box.
//!
//! What replicates and what ships transactions stays as it is; here its bytes are put into TLS, and the server at the
//! other end is believed by what the configuration says: head office's certificates, or authorities of the company.
//! The socket is in a folder of the box that nobody else can enter; whoever could has its keys too.
//! A bridge stands as long as somebody holds it; what is under way when it goes is cut.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// A connection and its handshake take no longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Connections at once; each client of a bridge holds a few.
const CONNECTIONS_MAX: usize = 32;
/// When no connection can be taken, for want of descriptors, it is tried again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the far end: where to connect, whose name to ask for, and what it is believed by.
#[derive(Clone)]
pub(super) struct Far {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) name: ServerName<'static>,
    pub(super) config: Arc<ClientConfig>,
}

/// A socket that leads to a server.
#[derive(Debug)]
pub(super) struct Bridge {
    socket: PathBuf,
    _carrier: JoinSet<()>,
}

impl Bridge {
    /// Opens the way at this socket.
    pub(super) fn open(socket: PathBuf, far: Far) -> io::Result<Self> {
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&socket)?;
        let mut carrier = JoinSet::new();
        carrier.spawn(carry_all(listener, far));
        Ok(Self { socket, _carrier: carrier })
    }

    /// Where clients connect.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // The next one of the same name would take its place anyway.
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn carry_all(listener: UnixListener, far: Far) {
    enum Event {
        Came(io::Result<UnixStream>),
        Ended,
    }
    let mut carried = JoinSet::new();
    loop {
        let event = tokio::select! {
            came = listener.accept(), if carried.len() < CONNECTIONS_MAX => {
                Event::Came(came.map(|(stream, _)| stream))
            }
            Some(_) = carried.join_next() => Event::Ended,
        };
        match event {
            Event::Came(Ok(near)) => {
                let far = far.clone();
                carried.spawn(async move {
                    let to = far.host.clone();
                    if let Err(error) = carry(near, far).await {
                        tracing::warn!(%error, to, "the server is not believed or does not answer");
                    }
                });
            }
            Event::Came(Err(error)) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
            Event::Ended => {}
        }
    }
}

async fn carry(mut near: UnixStream, far: Far) -> io::Result<()> {
    let Far { host, port, name, config } = far;
    let connect = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(config).connect(name, stream).await
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, "not within five seconds");
    let mut far = tokio::time::timeout(CONNECT_MAX, connect).await.map_err(|_| late())??;
    // How a connection ends is no news: both sides close when they like.
    let _ = copy_bidirectional(&mut near, &mut far).await;
    Ok(())
}
