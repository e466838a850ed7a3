//! The way to another server over TLS or through a proxy, for clients that speak plain HTTP to a Unix socket of this box.
//!
//! What replicates and what ships transactions stays as it is; here its bytes are put into TLS, and the server at the
//! other end is believed by what the configuration says: head office's certificates, or authorities of the company.
//! Where the way out leads through a proxy, they go through it, without TLS where the URL has none.
//! The socket is in a folder of the box that nobody else can enter; whoever could has its keys too.
//! A bridge stands as long as somebody holds it; what is under way when it goes is cut.
//! A far side that is gone without a word is noticed by the kernel, and one that never closes is left after a while:
//! connections are few, and each that stays open for nothing is one that a client waits for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;

use super::keepalive;
use super::proxy::{Proxy, Tunnel};

/// A connection and its handshake take no longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Connections at once; each client of a bridge holds a few.
const CONNECTIONS_MAX: usize = 32;
/// Once one side has said its last word, the other has so long to say its own.
const REST_MAX: Duration = Duration::from_secs(60);
/// When no connection can be taken, for want of descriptors, it is tried again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the far end: where to connect, and through what.
#[derive(Clone)]
pub(super) struct Far {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) proxy: Option<Proxy>,
    /// Nothing: it is spoken to in the open.
    pub(super) tls: Option<Tls>,
}

/// Whose name to ask for, and what it is believed by.
#[derive(Clone)]
pub(super) struct Tls {
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

async fn carry(near: UnixStream, far: Far) -> io::Result<()> {
    let Far { host, port, proxy, tls } = far;
    let stream = connect(&host, port, proxy.as_ref()).await?;
    let Some(Tls { name, config }) = tls else {
        join(near, stream).await;
        return Ok(());
    };
    let shake = TlsConnector::from(config).connect(name, stream);
    let far = tokio::time::timeout(CONNECT_MAX, shake).await.map_err(|_| late())??;
    join(near, far).await;
    Ok(())
}

async fn connect(
    host: &str,
    port: u16,
    proxy: Option<&Proxy>,
) -> io::Result<Either<TcpStream, Tunnel>> {
    if let Some(proxy) = proxy {
        return Ok(Either::Right(proxy.tunnel(host, port).await.map_err(io::Error::other)?));
    }
    let stream = TcpStream::connect((host, port));
    let stream = tokio::time::timeout(CONNECT_MAX, stream).await.map_err(|_| late())??;
    stream.set_nodelay(true)?;
    keepalive::keep(&stream)?;
    Ok(Either::Left(stream))
}

/// Carries both ways until both sides have ended, or one has and the other goes on for too long.
///
/// How a connection ends is no news: its client sees it, and knows what was under way.
async fn join(near: UnixStream, far: impl AsyncRead + AsyncWrite) {
    let (near, far) = (split(near), split(far));
    let (up, down) = (carry_one_way(near.0, far.1), carry_one_way(far.0, near.1));
    tokio::pin!(up, down);
    tokio::select! {
        () = &mut up => drop(tokio::time::timeout(REST_MAX, down).await),
        () = &mut down => drop(tokio::time::timeout(REST_MAX, up).await),
    }
}

async fn carry_one_way(from: impl AsyncRead, to: impl AsyncWrite) {
    tokio::pin!(from, to);
    let _ = copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "not within five seconds")
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{getsockopt, sockopt};
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_far_side_that_never_closes_is_left_after_it_had_time_for_its_last_word() {
        let (mut client, near) = UnixStream::pair().unwrap();
        let (far, mut server) = duplex(64);
        let talk = async {
            client.write_all(b"asked").await.unwrap();
            client.shutdown().await.unwrap();
            let mut asked = String::new();
            server.read_to_string(&mut asked).await.unwrap();
            server.write_all(b"answered").await.unwrap();
            let mut answered = String::new();
            client.read_to_string(&mut answered).await.unwrap();
            (asked, answered)
        };
        let ((), talked) = tokio::join!(join(near, far), talk);
        assert_eq!(talked, ("asked".to_owned(), "answered".to_owned()));
        // Still open at its end, and yet nobody is joined to it.
        assert!(server.write_all(b"more").await.is_err());
    }

    #[tokio::test]
    async fn a_far_side_that_is_gone_without_a_word_is_asked_for_by_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let opened = connect(&at.ip().to_string(), at.port(), None).await.unwrap();
        let Either::Left(stream) = opened else { panic!("no proxy is here") };
        assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap());
        assert!(getsockopt(&stream, sockopt::TcpKeepIdle).unwrap() <= 60);
    }
}
