//! A program of the chain that boxes call: it remembers what it was told and answers as it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use crate::site::PATIENCE;

/// The program; it ends with its owner.
pub(crate) struct Target {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    told: Mutex<mpsc::UnboundedReceiver<Value>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Target {
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let status = Arc::new(AtomicU16::new(200));
        let (sender, receiver) = mpsc::unbounded_channel();
        let answering = Arc::clone(&status);
        let serving = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, status) = (sender.clone(), Arc::clone(&answering));
                spawn(async move {
                    let _ = converse(stream, &sender, &status).await;
                });
            }
        });
        Ok(Self { address, status, told: Mutex::new(receiver), serving })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/told", self.address)
    }

    /// How it answers from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// What it is told next and takes.
    pub(crate) async fn told(&self) -> anyhow::Result<Value> {
        let mut told = self.told.lock().await;
        tokio::time::timeout(PATIENCE, told.recv()).await?.context("the program ended")
    }

    /// What it has been told beyond that.
    pub(crate) async fn more(&self, within: Duration) -> Option<Value> {
        tokio::time::timeout(within, self.told.lock().await.recv()).await.ok()?
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a program of its own, not a part of the box")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(work)
}

/// Requests of one connection; only what is answered with success is remembered.
async fn converse(
    stream: TcpStream,
    sender: &mpsc::UnboundedSender<Value>,
    status: &AtomicU16,
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let status = status.load(Ordering::SeqCst);
        if (200..300).contains(&status) {
            let _ = sender.send(serde_json::from_slice(&body)?);
        }
        let answer = format!("HTTP/1.1 {status} As Told\r\ncontent-length: 0\r\n\r\n");
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}
