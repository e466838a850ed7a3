//! A web server that hands out pieces of one file, and counts what went over the wire.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::lan;

const HEADERS_MAX: usize = 100;

/// What was asked for so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes: AtomicU64,
    pub(crate) requests: AtomicU64,
}

/// Serves until the runtime ends; returns the address of the file.
pub(crate) async fn serve(file: &Path) -> anyhow::Result<(String, Arc<Counts>)> {
    let listener = TcpListener::bind((lan::HOST, 0)).await?;
    let url = format!("http://{}/update.raucb", listener.local_addr()?);
    let counts = Arc::new(Counts::default());
    let (file, counting) = (file.to_owned(), Arc::clone(&counts));
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            start(converse(stream, file.clone(), Arc::clone(&counting)));
        }
    };
    start(accept);
    Ok((url, counts))
}

#[expect(clippy::disallowed_methods, reason = "a test's own server; it ends with the test")]
fn start<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) {
    tokio::spawn(task);
}

/// One connection, any number of requests.
async fn converse(stream: TcpStream, path: PathBuf, counts: Arc<Counts>) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut file = File::open(&path).await?;
    let total = file.metadata().await?.len();
    while let Some(request) = lines.next_line().await? {
        let mut range = None;
        for _ in 0..HEADERS_MAX {
            let line = lines.next_line().await?.context("a whole request")?.to_lowercase();
            if line.is_empty() {
                break;
            }
            range = line.strip_prefix("range: bytes=").map(str::to_owned).or(range);
        }
        let (start, end) = bounds(range.as_deref(), total);
        let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\n\
             Content-Range: bytes {start}-{}/{total}\r\nContent-Type: application/octet-stream\r\n\r\n",
            end - start,
            end.saturating_sub(1),
        );
        writer.write_all(head.as_bytes()).await?;
        counts.requests.fetch_add(1, Ordering::Relaxed);
        if request.starts_with("HEAD") {
            continue;
        }
        file.seek(std::io::SeekFrom::Start(start)).await?;
        let sent = tokio::io::copy(&mut (&mut file).take(end - start), &mut writer).await?;
        counts.bytes.fetch_add(sent, Ordering::Relaxed);
    }
    Ok(())
}

fn bounds(range: Option<&str>, total: u64) -> (u64, u64) {
    let parts = range.and_then(|range| range.split_once('-'));
    let start = parts.and_then(|(start, _)| start.parse().ok()).unwrap_or(0);
    let last = parts.and_then(|(_, last)| last.trim().parse::<u64>().ok());
    let end = last.map_or(total, |last| last.saturating_add(1)).min(total);
    (start.min(end), end)
}
