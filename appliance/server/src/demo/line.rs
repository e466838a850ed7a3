//! The line between shop and head office: a relay that can be cut.
//!
//! A cut line refuses new connections and drops those that exist, as an operator's router does;
//! nothing that was under way is told whether it arrived.

use std::net::SocketAddr;

use tokio::io::{self, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Handle to a line; the relay ends with it.
pub struct Line {
    address: SocketAddr,
    state: watch::Sender<State>,
    _relay: JoinSet<()>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    up: bool,
    target: SocketAddr,
}

impl Line {
    /// Opens a line to `target` on a free port of loopback.
    pub async fn open(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (sender, state) = watch::channel(State { up: true, target });
        let mut relay = JoinSet::new();
        relay.spawn(accept(listener, state));
        Ok(Self { address, state: sender, _relay: relay })
    }

    /// Where the shop's side connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the line or brings it back.
    pub fn set_up(&self, up: bool) {
        self.state.send_modify(|state| state.up = up);
    }

    /// The far side has another address from now on, as after a restart on a free port.
    pub fn set_target(&self, target: SocketAddr) {
        self.state.send_modify(|state| state.target = target);
    }
}

async fn accept(listener: TcpListener, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let State { up, target } = *state.borrow();
        if up {
            connections.spawn(carry(near, target, state.clone()));
        }
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    tokio::select! {
        _ = io::copy_bidirectional(&mut near, &mut far) => {}
        _ = async { state.wait_for(|state| !state.up).await.is_err() } => {
            let _ = near.shutdown().await;
            let _ = far.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn echo_once(listener: TcpListener) {
        loop {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut word = [0; 4];
            if peer.read_exact(&mut word).await.is_ok() {
                peer.write_all(&word).await.unwrap();
            }
        }
    }

    async fn ask(address: SocketAddr) -> io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"ping").await?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await?;
        Ok(word)
    }

    #[tokio::test]
    async fn a_cut_line_carries_nothing_until_it_is_back() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(echo_once(server));
        let line = Line::open(target).await.unwrap();
        assert_eq!(&ask(line.address()).await.unwrap(), b"ping");
        line.set_up(false);
        assert!(ask(line.address()).await.is_err());
        line.set_up(true);
        assert_eq!(&ask(line.address()).await.unwrap(), b"ping");
    }
}
