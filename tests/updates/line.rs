//! A line to head office that counts what it carries and can be cut, also after so many bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A relay; it ends with its owner.
pub(crate) struct CountingLine {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _relay: JoinSet<()>,
}

struct State {
    target: SocketAddr,
    down: AtomicBool,
    /// Bytes that came from head office.
    carried: AtomicU64,
    /// When so many were carried, the line is cut.
    cut_at: AtomicU64,
}

impl CountingLine {
    pub(crate) async fn open(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            target,
            down: AtomicBool::new(false),
            carried: AtomicU64::new(0),
            cut_at: AtomicU64::new(u64::MAX),
        });
        let (mut relay, shared) = (JoinSet::new(), Arc::clone(&state));
        relay.spawn(async move {
            let mut carriers = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                while carriers.try_join_next().is_some() {}
                if !shared.down.load(Ordering::SeqCst) {
                    carriers.spawn(carry(near, Arc::clone(&shared)));
                }
            }
        });
        Ok(Self { address, state, _relay: relay })
    }

    pub(crate) fn carried(&self) -> u64 {
        self.state.carried.load(Ordering::SeqCst)
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.state.down.load(Ordering::SeqCst)
    }

    /// Cuts the line when so many more bytes were carried.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.state.cut_at.store(self.carried() + bytes, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.state.cut_at.store(u64::MAX, Ordering::SeqCst);
        self.state.down.store(false, Ordering::SeqCst);
    }
}

async fn carry(near: TcpStream, state: Arc<State>) {
    let Ok(far) = TcpStream::connect(state.target).await else { return };
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from_near.read(&mut buffer).await {
            if state.down.load(Ordering::SeqCst) || to_far.write_all(&buffer[..read]).await.is_err()
            {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from_far.read(&mut buffer).await {
            let carried = state.carried.fetch_add(read as u64, Ordering::SeqCst) + read as u64;
            if carried > state.cut_at.load(Ordering::SeqCst) {
                state.down.store(true, Ordering::SeqCst);
            }
            if state.down.load(Ordering::SeqCst)
                || to_near.write_all(&buffer[..read]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
